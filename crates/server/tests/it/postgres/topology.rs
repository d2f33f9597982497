//! Servers of PostgreSQL that are not what the configuration takes them for: one clear sentence, from
//! the start and from `sso doctor`. Other sentences are in `start` and `sentences`.
//!
//! Seen red: without the comparison of system identifiers.

use anyhow::ensure;
use serde_json::Value;
use sso_testkit::{
    pki::{Authority, Wanted},
    servers::{Node, Options, Pair, Postgres},
};
use time::macros::datetime;

use super::{start::fails, *};

/// The start and the doctor say it, and neither shows a password.
fn is_refused(site: &Site, sentence: &str) -> Result<()> {
    fails(&site.run(&["serve"])?, 78, sentence);
    let output = site.run(&["doctor", "--output", "json"])?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    let said = String::from_utf8(output.stdout)?;
    ensure!(!said.contains(sso_testkit::servers::SUPERUSER_PASSWORD));
    let report: Value = serde_json::from_str(&said)?;
    let findings = report["findings"].as_array().context("no findings")?;
    let found = findings
        .iter()
        .any(|one| one["severity"] == "error" && one["what"] == sentence);
    ensure!(found, "{said}");
    Ok(())
}

async fn system(node: &Node) -> Result<String> {
    node.execute("select system_identifier from pg_control_system()")
        .await
}

#[tokio::test]
async fn servers_that_are_not_what_they_are_taken_for_are_one_sentence() -> Result<()> {
    let pair = Pair::start().await?;
    let (primary, replica) = (&pair.primary, &pair.replicas[0].node);
    let mut site = on(&primary.url("postgres"))?;
    replica.caught_up_with(primary).await?;

    let itself = primary.url("postgres").replace("127.0.0.1", "localhost");
    site.set("SSO__DATABASE__REPLICAS", itself);
    let port = primary.port();
    is_refused(
        &site,
        &format!(
            "database.replicas (localhost:{port}) is the primary itself, not a replica: name \
             replicas there, or leave it empty"
        ),
    )?;

    let second = Postgres::shared().await?;
    site.set("SSO__DATABASE__REPLICAS", second.url());
    let address = second.node.address();
    is_refused(
        &site,
        &format!(
            "database.replicas ({address}) is a primary, not a replica: name replicas there, or \
             leave it empty"
        ),
    )?;

    site.unset("SSO__DATABASE__REPLICAS")
        .set("SSO__DATABASE__URL", replica.url("postgres"));
    let address = replica.address();
    is_refused(
        &site,
        &format!(
            "database.url ({address}) is a replica, not a primary: it is in recovery and accepts \
             no writes"
        ),
    )
}

#[tokio::test]
async fn a_server_of_another_cluster_is_one_sentence_whatever_it_is_there() -> Result<()> {
    let ours = Postgres::shared().await?;
    let foreign = Options::new().foreign().start().await?;
    let mut site = on(&ours.database("topology_foreign").await?)?;
    site.set("SSO__DATABASE__REPLICAS", foreign.url());
    let sentence = format!(
        "database.replicas ({}) is a server of another cluster than database.url: its system \
         identifier is {}, not {}",
        foreign.node.address(),
        system(&foreign.node).await?,
        system(&ours.node).await?,
    );
    is_refused(&site, &sentence)?;
    // Which of the two is meant, the doctor takes from database.url.
    let report = site.run(&["doctor"])?;
    let said = String::from_utf8(report.stdout)?;
    let other = format!(
        "database.replicas: {} is a server of another",
        foreign.node.address()
    );
    ensure!(said.contains(&other), "{said}");
    let primary = format!("database.url: {} is the primary", ours.node.address());
    ensure!(said.contains(&primary), "{said}");
    Ok(())
}

#[tokio::test]
async fn whom_we_do_not_trust_and_whose_tables_we_do_not_know_are_one_sentence() -> Result<()> {
    let (authority, other) = (Authority::new()?, Authority::new()?);
    let mut wanted = Wanted::of(&["127.0.0.1"], datetime!(2000-01-01 00:00 UTC));
    wanted.lasts = time::Duration::days(36_500);
    let server = Options::new()
        .only_tls(&authority.issue(&wanted)?)
        .start()
        .await?;
    let url = format!("{}?sslmode=verify-full", server.url());
    let mut site = unmigrated(&url)?;
    let trust = |site: &mut Site, root: String| -> Result<()> {
        let file = site.folder().join("ca.pem");
        std::fs::write(&file, root)?;
        site.set("SSO__DATABASE__TLS_CA", file.display());
        Ok(())
    };
    trust(&mut site, other.root())?;
    let address = server.node.address();
    is_refused(
        &site,
        &format!(
            "database.url ({address}): its certificate is not signed by a CA of database.tls_ca"
        ),
    )?;
    trust(&mut site, authority.root())?;
    server.execute("create table customers (id int)").await?;
    is_refused(
        &site,
        "the database holds the tables of another program: choose another database or schema",
    )
}

/// As `psql "sslmode=verify-full sslcert=.. sslkey=.."`: no password anywhere.
#[tokio::test]
async fn a_certificate_takes_the_place_of_the_password() -> Result<()> {
    let (authority, other) = (Authority::new()?, Authority::new()?);
    let from = datetime!(2000-01-01 00:00 UTC);
    let wanted = |names: &'static [&'static str], of: Option<&'static str>| {
        let mut wanted = Wanted::of(names, from);
        (wanted.common_name, wanted.lasts) = (of, time::Duration::days(36_500));
        wanted
    };
    let server = Options::new()
        .only_certified(
            &authority.issue(&wanted(&["127.0.0.1"], None))?,
            authority.root(),
        )
        .start()
        .await?;
    let address = server.node.address();
    let url = format!("postgres://postgres@{address}/postgres?sslmode=verify-full");
    let mut site = unmigrated(&url)?;
    let write = |site: &Site, name: &str, text: &str| -> Result<String> {
        let file = site.folder().join(name);
        std::fs::write(&file, text)?;
        Ok(file.display().to_string())
    };
    let ca = write(&site, "ca.pem", &authority.root())?;
    site.set("SSO__DATABASE__TLS_CA", ca);
    let nobody = site.run(&["serve"])?;
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    ensure!(nobody.status.code() == Some(78), "{said}");
    ensure!(
        said.contains("connection requires a valid client certificate"),
        "{said}"
    );

    let somebody = wanted(&[], Some("somebody"));
    let ours = wanted(&[], Some("postgres"));
    for (issued, sentence) in [
        (
            authority.issue(&somebody)?,
            Some("certificate authentication failed for user \"postgres\""),
        ),
        (
            other.issue(&ours)?,
            Some("it does not accept the certificate of database.tls_cert"),
        ),
        (authority.issue(&ours)?, None),
    ] {
        let certificate = write(&site, "client.pem", &issued.certificate)?;
        let key = write(&site, "client.key", &issued.key)?;
        site.set("SSO__DATABASE__TLS_CERT", certificate)
            .set("SSO__DATABASE__TLS_KEY", key);
        let done = site.run(&["migrate", "up"])?;
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        let expected = sentence.is_none_or(|sentence| said.contains(sentence));
        ensure!(
            done.status.success() == sentence.is_none() && expected,
            "{said}"
        );
        ensure!(said.trim().lines().count() <= 1, "{said}");
    }
    let serving = site.serve().await?;
    sso_testkit::persona::Persona::register(&serving.http, "alice").await?;
    let who = "select count(*), bool_and(s.ssl), min(s.client_dn) from pg_stat_ssl s
               join pg_stat_activity a using (pid) where a.application_name = 'sso'";
    let who = server.execute(who).await?;
    ensure!(who.ends_with("|t|/CN=postgres"), "{who}");
    Ok(())
}
