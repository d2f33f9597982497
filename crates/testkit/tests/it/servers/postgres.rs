//! PostgreSQL alone.

use std::process::{Command, Output};

use sso_testkit::{
    pki::{Authority, Wanted},
    servers::{Options, Postgres},
};
use time::OffsetDateTime;

/// Asks over TCP, as a service does.
async fn psql(url: String) -> Output {
    let mut psql = Command::new("psql");
    psql.args([
        "-X",
        "-A",
        "-t",
        "-c",
        "select ssl from pg_stat_ssl where pid = pg_backend_pid()",
    ])
    .args(["-d", &url]);
    tokio::task::spawn_blocking(move || psql.output())
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn each_test_has_a_database_of_its_own_on_a_shared_server() {
    let server = Postgres::shared().await.unwrap();
    server.database("one").await.unwrap();
    server
        .node
        .execute_in("one", "create table here (what text)")
        .await
        .unwrap();
    server.database_from("one", "two").await.unwrap();
    server
        .node
        .execute_in("two", "insert into here values ('copied')")
        .await
        .unwrap();
    let rows = "select count(*) from here";
    assert_eq!(server.node.execute_in("one", rows).await.unwrap(), "0");
    assert_eq!(server.node.execute_in("two", rows).await.unwrap(), "1");
}

#[tokio::test]
async fn a_server_has_the_settings_that_a_test_asks_for() {
    let server = Options::new()
        .setting("synchronous_commit", "off")
        .setting("max_connections", "17")
        .start()
        .await
        .unwrap();
    let shown = server.execute("show max_connections").await.unwrap();
    assert_eq!(shown, "17");
    let shown = server.execute("show synchronous_commit").await.unwrap();
    assert_eq!(shown, "off");
    assert_eq!(psql(server.url()).await.stdout, b"f\n");
    let wrong = server.url().replace("superuser", "somebody");
    assert!(!psql(wrong).await.status.success(), "any password will do");
}

#[tokio::test]
async fn a_server_that_wants_tls_refuses_who_comes_without_or_trusts_another() {
    let (authority, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    #[expect(
        clippy::disallowed_methods,
        reason = "psql goes by the machine's clock"
    )]
    let now = OffsetDateTime::now_utc();
    let issued = authority.issue(&Wanted::of(&["127.0.0.1"], now)).unwrap();
    let server = Options::new().only_tls(&issued).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let verified = |authority: &Authority| {
        let root = folder.path().join("root.pem");
        std::fs::write(&root, authority.root()).unwrap();
        format!(
            "{}?sslmode=verify-full&sslrootcert={}",
            server.url(),
            root.display()
        )
    };
    assert_eq!(psql(verified(&authority)).await.stdout, b"t\n");
    assert!(!psql(verified(&other)).await.status.success());
    let plain = format!("{}?sslmode=disable", server.url());
    assert!(!psql(plain).await.status.success());
}

#[tokio::test]
async fn a_server_that_cannot_start_shows_what_it_logged() {
    let options = Options::new().setting("max_connections", "many");
    let error = options.start().await.unwrap_err();
    let told = format!("{error:#}");
    assert!(told.contains("invalid value for parameter"), "{told}");
}
