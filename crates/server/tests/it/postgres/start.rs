//! Starts, and starts that must fail: one clear sentence, the contract's exit code.

use std::{process::Output, time::Duration};

use anyhow::ensure;
use sso_testkit::{
    persona::Persona,
    pki::{Authority, Wanted},
    servers::{Options, Pair, Port, Postgres},
};
use time::macros::datetime;
use tokio_postgres::NoTls;

use super::*;
use crate::support::eventually_within;

const LONG: Duration = Duration::from_secs(20);

pub(super) fn fails(output: &Output, code: i32, sentence: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert_eq!(said.trim(), format!("sso: {sentence}"));
}

#[tokio::test]
async fn a_database_is_migrated_when_it_is_asked_for_and_refused_until_then() -> Result<()> {
    let server = Postgres::shared().await?;
    let mut site = unmigrated(&server.database("start_migrations").await?)?;
    let behind = "the database has schema 0 and this program needs 2: run `sso migrate up`, or set \
                  database.migrate to true";
    fails(&site.run(&["serve"])?, 78, behind);
    fails(&site.run(&["user", "list"])?, 78, behind);
    let status = site.run_ok(&["migrate", "status"])?;
    assert_eq!(
        status,
        "schema 0 of 2\npending: V1__initial\npending: V2__sweeps\n"
    );
    assert_eq!(site.run_ok(&["migrate", "up"])?, "schema 2 of 2\n");
    assert_eq!(site.run_ok(&["migrate", "up"])?, "schema 2 of 2\n");
    let status = site.run_ok(&["migrate", "status", "--output", "json"])?;
    assert_eq!(status.trim(), r#"{"current":2,"latest":2,"pending":[]}"#);
    drop(site.serve().await?);

    site.set(
        "SSO__DATABASE__URL",
        server.database("start_migrates").await?,
    )
    .set("SSO__DATABASE__MIGRATE", true);
    let serving = site.serve().await?;
    Persona::register(&serving.http, "alice").await?;
    Ok(())
}

/// Whoever asks is told so, and it can be told to end.
#[tokio::test]
async fn until_its_first_beat_an_instance_says_that_it_starts_and_validates_nothing() -> Result<()>
{
    let url = Postgres::shared()
        .await?
        .database("start_first_beat")
        .await?;
    let site = on(&url)?;
    let before = site.serve().await?;
    let alice = Persona::register(&before.http, "alice").await?;
    drop(before);
    let (mut holder, connection) = tokio_postgres::connect(&url, NoTls).await?;
    let connection = tokio::spawn(connection);
    let held = holder.transaction().await?;
    held.batch_execute("lock table readers in access exclusive mode")
        .await?;

    let mut server = site.start()?;
    let starting = async || {
        let Ok(reply) = server.http.get("/auth/ready", None).await else {
            return Ok(false);
        };
        ensure!(reply.status == 503, "{reply:?}");
        Ok(reply.json()["state"] == "starting")
    };
    eventually_within(LONG, "starting", starting).await?;
    let reply = alice.at(&server.http).info().await?;
    assert_eq!(reply.status, 503, "{reply:?}");
    server.terminate()?;
    let ended = server.wait(Duration::from_secs(3)).await?;
    ensure!(ended.success(), "{}", site.log()?);

    let server = site.start()?;
    held.rollback().await?;
    let ready = async || {
        let reply = server.http.get("/auth/ready", None).await;
        Ok(reply.is_ok_and(|reply| reply.status == 200))
    };
    eventually_within(LONG, "readiness", ready).await?;
    ensure!(alice.at(&server.http).info().await?.status == 200);
    connection.abort();
    Ok(())
}

#[tokio::test]
async fn the_master_key_is_mandatory_and_must_be_that_of_the_database() -> Result<()> {
    let server = Postgres::shared().await?;
    let mut site = on(&server.database("start_master_key").await?)?;
    site.run_ok(&["keys", "list"])?;
    site.unset("SSO__KEYS__MASTER_KEY");
    fails(
        &site.run(&["serve"])?,
        78,
        "keys.master_key (default): is needed with PostgreSQL, the same for every instance: set it to what \
         `openssl rand -base64 32` prints",
    );
    let another = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWE=";
    site.set("SSO__KEYS__MASTER_KEY", another);
    let output = site.run(&["serve"])?;
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(
        !site.data_dir().exists(),
        "nothing of it belongs into a folder"
    );
    Ok(())
}

#[tokio::test]
async fn a_foreign_schema_is_left_alone() -> Result<()> {
    let server = Postgres::shared().await?;
    let site = unmigrated(&server.database("start_foreign").await?)?;
    let foreign = "create table customers (id int)";
    server.node.execute_in("start_foreign", foreign).await?;
    let sentence = "the database holds the tables of another program: choose another database or \
                    schema";
    for command in [&["serve"][..], &["migrate", "up"], &["user", "list"]] {
        fails(&site.run(command)?, 78, sentence);
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_topology_is_one_sentence() -> Result<()> {
    let pair = Pair::start().await?;
    let (primary, replica) = (&pair.primary, &pair.replicas[0].node);
    let mut site = on(&primary.url("postgres"))?;
    replica.caught_up_with(primary).await?;

    site.set(
        "SSO__DATABASE__REPLICAS",
        primary.url("postgres").replace("127.0.0.1", "localhost"),
    );
    fails(
        &site.run(&["serve"])?,
        78,
        &format!(
            "database.replicas (localhost:{}) is the primary itself, not a replica: name replicas \
             there, or leave it empty",
            primary.port()
        ),
    );
    site.unset("SSO__DATABASE__REPLICAS")
        .set("SSO__DATABASE__URL", replica.url("postgres"));
    let sentence = format!(
        "database.url ({}) is a replica, not a primary: it is in recovery and accepts no writes",
        replica.address()
    );
    for command in [&["serve"][..], &["migrate", "up"], &["user", "list"]] {
        fails(&site.run(command)?, 78, &sentence);
    }
    Ok(())
}

#[tokio::test]
async fn who_cannot_be_reached_or_trusted_is_one_sentence_without_a_password() -> Result<()> {
    let (ours, other) = (Authority::new()?, Authority::new()?);
    let mut wanted = Wanted::of(&["127.0.0.1"], datetime!(2000-01-01 00:00 UTC));
    wanted.lasts = time::Duration::days(36_500);
    let server = Options::new()
        .only_tls(&ours.issue(&wanted)?)
        .start()
        .await?;
    let address = server.node.address();
    let mut site = unmigrated(&format!("{}?sslmode=verify-full", server.url()))?;
    let write = |name: &str, text: String| {
        let file = site.folder().join(name);
        std::fs::write(&file, text).map(|()| file.display().to_string())
    };
    let (good, bad) = (
        write("ours.pem", ours.root())?,
        write("other.pem", other.root())?,
    );
    site.set("SSO__DATABASE__TLS_CA", bad);
    fails(
        &site.run(&["serve"])?,
        78,
        &format!(
            "database.url ({address}): its certificate is not signed by a CA of database.tls_ca"
        ),
    );
    site.set("SSO__DATABASE__TLS_CA", good);
    site.run_ok(&["migrate", "up"])?;
    drop(site.serve().await?);

    // The password from a file of its own.
    let without = format!("postgres://postgres@{address}/postgres?sslmode=verify-full");
    let right = server
        .url()
        .split([':', '@'])
        .nth(2)
        .context("no password")?
        .to_owned();
    for (password, good) in [("not-the-secret", false), (&*right, true)] {
        let file = site.folder().join("password");
        std::fs::write(&file, format!("{password}\n"))?;
        site.set("SSO__DATABASE__URL", &without)
            .set("SSO__DATABASE__PASSWORD_FILE", file.display());
        let output = site.run(&["migrate", "status"])?;
        if good {
            assert!(output.status.success(), "{output:?}");
        } else {
            let said = format!(
                "database.url ({address}): password authentication failed for user \"postgres\" \
                 (28P01)"
            );
            fails(&output, 78, &said);
        }
    }

    let nobody = Port::free()?;
    site.set(
        "SSO__DATABASE__URL",
        format!(
            "postgres://u:top-secret@{}/d?sslmode=verify-full",
            nobody.address()
        ),
    );
    let output = site.run(&["serve"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(
        said.starts_with("sso: database.url: no server can be reached: "),
        "{said}"
    );
    assert!(!said.contains("top-secret"), "{said}");
    Ok(())
}
