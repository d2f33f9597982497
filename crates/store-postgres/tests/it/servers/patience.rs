use anyhow::bail;
use sso_core::ports::Store;
use sso_store_postgres::{Limits, PostgresStore, servers::Allowance};
use sso_testkit::servers::{Postgres, Proxy};

use super::*;

const ALLOWED: Allowance = Allowance {
    connections: Duration::from_secs(2),
    answers: Duration::from_secs(3),
};

/// A network before a server, and the settings with which a new database is reached through it.
async fn network(database: &str) -> Result<(Proxy, Settings)> {
    let server = Postgres::shared().await?;
    let network = Proxy::start(server.node.address())?;
    let url = server.database(database).await?;
    let mut settings = settings(&through(&url, network.address())?, &[])?;
    settings.acquire_timeout = ALLOWED.connections;
    Ok((network, settings))
}

/// Seen red without the allowance of the request: 4.0 s.
#[tokio::test]
async fn the_connections_of_one_request_are_waited_for_together() -> Result<()> {
    let (network, settings) = network("patience_connections").await?;
    let servers = Servers::open(&settings).await?;
    network.freeze();
    let start = Instant::now();
    ALLOWED
        .of_request(Box::pin(async {
            for _ in 0..2 {
                if servers.primary().await.is_ok() {
                    bail!("a connection through a frozen network");
                }
            }
            Ok(())
        }))
        .await?;
    let took = start.elapsed();
    ensure!(took >= ALLOWED.connections, "{took:?}");
    ensure!(took < ALLOWED.connections * 2, "{took:?}");
    // Who has waited for long still gets what is there at once.
    network.mend();
    eventually("the primary", async || Ok(servers.primary().await.is_ok())).await?;
    ALLOWED
        .of_request(Box::pin(async {
            tokio::time::sleep(ALLOWED.connections).await;
            ensure!(servers.primary().await.is_ok(), "not what is there");
            Ok(())
        }))
        .await
}

/// It would wait for the answer for 6 s, and then for another connection. Seen red without: 8.0 s.
#[tokio::test]
async fn the_answers_to_one_request_are_waited_for_no_longer_than_it_may_last() -> Result<()> {
    let (network, settings) = network("patience_answers").await?;
    let store = PostgresStore::open(&settings, Limits::default(), true).await?;
    store.ping().await?;
    network.freeze();
    let start = Instant::now();
    let refused = ALLOWED.of_request(store.ping()).await;
    let took = start.elapsed();
    ensure!(refused.is_err());
    ensure!(took < ALLOWED.answers + Duration::from_secs(1), "{took:?}");
    network.mend();
    eventually("an answer", async || Ok(store.ping().await.is_ok())).await
}
