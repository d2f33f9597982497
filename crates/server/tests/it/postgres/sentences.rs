//! What else can be wrong at the start, beside `start`: one clear sentence each.

use sso_testkit::{
    pki::{Authority, Wanted},
    servers::{Options, Postgres},
};
use time::macros::datetime;

use super::{start::fails, *};

#[tokio::test]
async fn a_schema_of_a_later_program_or_without_a_history_is_refused() -> Result<()> {
    let server = Postgres::shared().await?;
    let site = on(&server.database("sentences_schema").await?)?;
    let later = "insert into refinery_schema_history select 3, 'later', applied_on, checksum from
                 refinery_schema_history where version = 1;
                 update compatibility set min_version = 3";
    server.node.execute_in("sentences_schema", later).await?;
    for command in [&["serve"][..], &["user", "list"]] {
        fails(
            &site.run(command)?,
            78,
            "the database has schema 3 and needs a program that knows schema 3 or later, this \
             one knows 2: use the newer version of this program",
        );
    }
    let damage = "update refinery_schema_history set checksum = 'none'";
    server.node.execute_in("sentences_schema", damage).await?;
    fails(
        &site.run(&["serve"])?,
        65,
        "the history of the database's migrations is damaged: restore a backup",
    );
    Ok(())
}

#[tokio::test]
async fn a_second_primary_is_no_replica() -> Result<()> {
    let (server, second) = (Postgres::shared().await?, Postgres::start().await?);
    let mut site = on(&server.database("sentences_second").await?)?;
    site.set("SSO__DATABASE__REPLICAS", second.url());
    let sentence = format!(
        "database.replicas ({}) is a primary, not a replica: name replicas there, or leave it \
         empty",
        second.node.address()
    );
    for command in [&["serve"][..], &["user", "list"]] {
        fails(&site.run(command)?, 78, &sentence);
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_cannot_be_trusted_is_refused_and_says_why() -> Result<()> {
    let authority = Authority::new()?;
    let start = async |names: &'static [&'static str], days: i64| {
        let mut wanted = Wanted::of(names, datetime!(2000-01-01 00:00 UTC));
        wanted.lasts = time::Duration::days(days);
        Options::new().tls(&authority.issue(&wanted)?).start().await
    };
    let another = start(&["elsewhere.example.com"], 36_500).await?;
    let expired = start(&["127.0.0.1"], 365).await?;
    let plain = Postgres::shared().await?;
    let sentences = [
        (
            &another,
            "its certificate is for another host name (sslmode=verify-full)",
        ),
        (&expired, "its certificate has expired"),
        (
            plain,
            "error performing TLS handshake: server does not support TLS",
        ),
    ];
    for (server, sentence) in sentences {
        let mut site = unmigrated(&format!("{}?sslmode=verify-full", server.url()))?;
        let file = site.folder().join("ca.pem");
        std::fs::write(&file, authority.root())?;
        site.set("SSO__DATABASE__TLS_CA", file.display());
        let said = format!("database.url ({}): {sentence}", server.node.address());
        fails(&site.run(&["serve"])?, 78, &said);
    }
    Ok(())
}
