//! Which server is used for what, while things happen to the servers.

mod connections;
mod failover;
mod outcome;
mod patience;
mod replicas;
mod start;
mod tls;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sso_store_postgres::servers::{Connection, Servers, Settings};
use sso_testkit::patience::eventually;
use uuid::Uuid;

/// For what must come, however busy the machine is.
const LIMIT: Duration = Duration::from_secs(30);
/// A replica is left alone beyond this.
const MAX_LAG: Duration = Duration::from_secs(1);

/// Quick to give up, so that tests are quick.
fn settings(url: &str, replicas: &[String]) -> Result<Settings> {
    let mut settings = Settings::new(url.parse()?);
    for replica in replicas {
        settings.replicas.push(replica.parse()?);
    }
    settings.max_lag = MAX_LAG;
    settings.connect_timeout = Duration::from_secs(1);
    settings.probe_interval = Duration::from_millis(50);
    Ok(settings)
}

/// A URL with its password that leads through `address`.
fn through(url: &str, address: std::net::SocketAddr) -> Result<String> {
    let (before, after) = url.rsplit_once('@').context("no password")?;
    let (_, path) = after.split_once('/').context("no database")?;
    Ok(format!("{before}@{address}/{path}"))
}

/// The port of the server itself, whatever lies between.
async fn port(connection: &Connection) -> Result<u16> {
    let row = connection
        .query_one("select inet_server_port()", &[])
        .await?;
    Ok(u16::try_from(row.get::<_, i32>(0))?)
}

/// Beats as an instance does, until it is dropped.
struct Beating(tokio::task::JoinHandle<()>);

impl Beating {
    async fn start(servers: &Servers) -> Result<Self> {
        let reader = Uuid::from_u128(7);
        let primary = servers.primary().await?;
        primary
            .batch_execute("create table if not exists readers (id uuid primary key, beat bigint)")
            .await?;
        let insert = "insert into readers values ($1, 0) on conflict (id) do update set beat = 0";
        primary.execute(insert, &[&reader]).await?;
        drop(primary);
        let servers = servers.clone();
        Ok(Self(tokio::spawn(async move {
            for beat in 1_i64.. {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let Ok(primary) = servers.primary().await else {
                    continue;
                };
                servers.beat_sent(reader, beat);
                let update = "update readers set beat = $2 where id = $1";
                if let Err(error) = primary.execute(update, &[&reader, &beat]).await {
                    primary.failed(&error);
                }
            }
        })))
    }
}

impl Drop for Beating {
    fn drop(&mut self) {
        self.0.abort();
    }
}
