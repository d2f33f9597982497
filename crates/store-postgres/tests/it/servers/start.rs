use sso_store_postgres::servers::{OpenError, Servers};
use sso_testkit::servers::{Pair, Postgres};

use super::*;

/// What the configuration is told.
async fn problem(url: &str, replicas: &[String]) -> Result<String> {
    match Servers::open(&settings(url, replicas)?).await {
        Err(OpenError::Settings(said)) => Ok(said),
        Err(other) => anyhow::bail!("not a problem of the configuration: {other}"),
        Ok(_) => anyhow::bail!("it was opened"),
    }
}

#[tokio::test]
async fn a_wrong_topology_is_one_sentence() -> Result<()> {
    let pair = Pair::start().await?;
    let (primary, replica) = (&pair.primary, &pair.replicas[0].node);
    let (primary_url, replica_url) = (primary.url("postgres"), replica.url("postgres"));
    assert_eq!(
        problem(&replica_url, &[]).await?,
        format!(
            "database.url ({}) is a replica, not a primary: it is in recovery and accepts no writes",
            replica.address()
        )
    );
    let by_name = primary_url.replace("127.0.0.1", "localhost");
    assert_eq!(
        problem(&primary_url, std::slice::from_ref(&by_name)).await?,
        format!(
            "database.replicas (localhost:{}) is the primary itself, not a replica: name replicas \
             there, or leave it empty",
            primary.port()
        )
    );
    let other = Postgres::shared().await?;
    assert_eq!(
        problem(&primary_url, &[other.url()]).await?,
        format!(
            "database.replicas ({}) is a primary, not a replica: name replicas there, or leave it \
             empty",
            other.node.address()
        )
    );
    Ok(())
}

/// As after a failover of servers that are named directly.
#[tokio::test]
async fn roles_that_are_exchanged_are_found_out() -> Result<()> {
    let pair = Pair::start().await?;
    let (primary, replica) = (&pair.primary, &pair.replicas[0].node);
    let servers = settings(&replica.url("postgres"), &[primary.url("postgres")])?;
    let servers = Servers::open(&servers).await?;
    assert_eq!(port(&servers.primary().await?).await?, primary.port());
    let _beating = Beating::start(&servers).await?;
    eventually("the replica", async || {
        Ok(servers.replica().await.is_some())
    })
    .await?;
    let read = servers.replica().await.context("no replica")?;
    assert_eq!(port(&read).await?, replica.port());
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_or_database_is_one_sentence() -> Result<()> {
    let server = Postgres::shared().await?;
    let address = server.node.address();
    let wrong = format!("postgres://postgres:wrong-secret@{address}/postgres");
    let said = problem(&wrong, &[]).await?;
    assert_eq!(
        said,
        format!(
            "database.url ({address}): password authentication failed for user \"postgres\" (28P01)"
        )
    );
    assert_eq!(
        problem(&server.node.url("nothing"), &[]).await?,
        format!("database.url ({address}): database \"nothing\" does not exist (3D000)")
    );
    let said = problem(&format!("postgres://postgres@{address}/postgres"), &[]).await?;
    assert!(said.contains("password missing"), "{said}");
    Ok(())
}

#[tokio::test]
async fn nobody_who_listens_is_one_sentence_and_no_fault_of_the_configuration() -> Result<()> {
    let port = sso_testkit::servers::Port::free()?;
    let url = format!("postgres://u:secret@127.0.0.1:{}/d", port.number());
    match Servers::open(&settings(&url, &[])?).await {
        Err(OpenError::Unreachable(said)) => {
            assert!(
                said.starts_with("database.url: no server can be reached: "),
                "{said}"
            );
            assert!(said.contains("Connection refused"), "{said}");
            assert!(!said.contains("secret"), "{said}");
        }
        other => anyhow::bail!("{:?}", other.map(|_| ())),
    }
    Ok(())
}
