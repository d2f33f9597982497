use sso_store_postgres::servers::{OpenError, Servers};
use sso_testkit::{
    pki::{Authority, Wanted},
    servers::{Options, Postgres},
};
use time::macros::datetime;

use super::*;

struct Secured {
    server: Postgres,
    folder: tempfile::TempDir,
}

/// A server that takes nobody in clear; its certificate is of 127.0.0.1 only.
async fn secured() -> Result<Secured> {
    let (ours, other) = (Authority::new()?, Authority::new()?);
    let mut wanted = Wanted::of(&["127.0.0.1"], datetime!(2000-01-01 00:00 UTC));
    wanted.lasts = time::Duration::days(36_500);
    let server = Options::new()
        .only_tls(&ours.issue(&wanted)?)
        .start()
        .await?;
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("ours.pem"), ours.root())?;
    std::fs::write(folder.path().join("other.pem"), other.root())?;
    Ok(Secured { server, folder })
}

impl Secured {
    /// Whether a connection stood and was encrypted, or what was wrong.
    async fn open(&self, mode: &str, host: &str, ca: Option<&str>) -> Result<Result<bool, String>> {
        let url = self.server.url().replace("127.0.0.1", host);
        let mut settings = settings(&format!("{url}?sslmode={mode}"), &[])?;
        settings.tls.ca = ca.map(|file| self.folder.path().join(file));
        let servers = match Servers::open(&settings).await {
            Ok(servers) => servers,
            Err(OpenError::Settings(said)) => return Ok(Err(said)),
            Err(other) => anyhow::bail!("not a problem of the configuration: {other}"),
        };
        let question = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
        let row = servers.primary().await?.query_one(question, &[]).await?;
        Ok(Ok(row.get(0)))
    }
}

#[tokio::test]
async fn each_sslmode_protects_against_what_it_says() -> Result<()> {
    let secured = secured().await?;
    let port = secured.server.node.port();
    let (ours, other) = (Some("ours.pem"), Some("other.pem"));
    for (mode, ca) in [
        ("prefer", None),
        ("require", None),
        ("require", ours),
        ("verify-ca", ours),
        ("verify-full", ours),
    ] {
        let opened = secured.open(mode, "127.0.0.1", ca).await?;
        assert_eq!(opened, Ok(true), "{mode} {ca:?}");
    }
    let unknown = "its certificate is not signed by a CA of database.tls_ca";
    for mode in ["require", "verify-ca", "verify-full"] {
        let refused = secured.open(mode, "127.0.0.1", other).await?;
        let said = format!("database.url (127.0.0.1:{port}): {unknown}");
        assert_eq!(refused, Err(said), "{mode}");
    }
    assert_eq!(
        secured.open("verify-ca", "localhost", ours).await?,
        Ok(true)
    );
    let name = "its certificate is for another host name (sslmode=verify-full)";
    assert_eq!(
        secured.open("verify-full", "localhost", ours).await?,
        Err(format!("database.url (localhost:{port}): {name}"))
    );
    let clear = secured.open("disable", "127.0.0.1", None).await?;
    assert!(clear.is_err_and(|said| said.contains("no encryption")));
    Ok(())
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_one_sentence() -> Result<()> {
    let server = Postgres::shared().await?;
    let url = format!("{}?sslmode=require", server.url());
    let said = Servers::open(&settings(&url, &[])?).await.err();
    let address = server.node.address();
    assert_eq!(
        said.map(|error| error.to_string()),
        Some(format!(
            "database.url ({address}): error performing TLS handshake: server does not support TLS"
        ))
    );
    Ok(())
}
