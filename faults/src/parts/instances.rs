//! What happens to the instances of `sso`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sso_testkit::process::{Server, Site};
use tokio::time::sleep;

use crate::system::LEASE;

/// How long an instance may take to be ready, whatever else is away meanwhile.
const PATIENCE: Duration = Duration::from_mins(3);
/// How long an instance may drain.
const DRAIN: Duration = Duration::from_mins(1);
/// How one ends whose timeline the cluster has given up; its supervisor starts it.
const GIVEN_UP: i32 = 69;

/// The instances and where they are started from.
pub(crate) struct Instances {
    pub(crate) sites: Vec<Site>,
    pub(crate) servers: Vec<Server>,
    /// Whose turn it is to be harmed.
    pub(crate) next: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OfInstances {
    Kill,
    Restart,
    FreezeBriefly,
    FreezeForLong,
}

impl OfInstances {
    pub(crate) const ALL: [Self; 4] = [
        Self::Kill,
        Self::Restart,
        Self::FreezeBriefly,
        Self::FreezeForLong,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Kill => "an instance is killed and started",
            Self::Restart => "an instance drains and is started",
            Self::FreezeBriefly => "an instance hangs for less than its lease",
            Self::FreezeForLong => "an instance hangs for longer than its lease",
        }
    }
}

impl Instances {
    /// Returns when it is as it was before.
    pub(super) async fn happen(&mut self, fault: OfInstances) -> Result<()> {
        let number = self.next % self.servers.len();
        self.next += 1;
        let server = &mut self.servers[number];
        match fault {
            OfInstances::Kill => {
                server.kill()?;
                *server = started(&self.sites[number]).await?;
            }
            OfInstances::Restart => {
                server.terminate()?;
                server.wait(DRAIN).await?;
                *server = started(&self.sites[number]).await?;
            }
            OfInstances::FreezeBriefly => frozen(server, LEASE / 2).await?,
            OfInstances::FreezeForLong => frozen(server, LEASE * 3 / 2).await?,
        }
        Ok(())
    }

    /// Waits until all of them take requests. How many of them had ended by themselves and were
    /// started, as a supervisor does.
    pub(crate) async fn ready(&mut self) -> Result<usize> {
        let began = Instant::now();
        let mut started_anew = 0;
        for (number, server) in self.servers.iter_mut().enumerate() {
            loop {
                if let Some(status) = server.ended()? {
                    if status.code() != Some(GIVEN_UP) {
                        bail!("instance {number} ended with {status}");
                    }
                    *server = started(&self.sites[number]).await?;
                    started_anew += 1;
                }
                let reply = server.http.get("/auth/ready", None).await;
                if reply.is_ok_and(|reply| reply.status == 200) {
                    break;
                }
                if began.elapsed() > PATIENCE {
                    let log = self.sites[number].log()?;
                    bail!("instance {number} is not ready: {}", tail(&log));
                }
                sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(started_anew)
    }
}

async fn frozen(server: &Server, time: Duration) -> Result<()> {
    server.freeze()?;
    sleep(time).await;
    server.thaw()
}

/// What it needs may be away at this moment.
async fn started(site: &Site) -> Result<Server> {
    let began = Instant::now();
    loop {
        match site.serve().await {
            Ok(server) => return Ok(server),
            Err(why) if began.elapsed() > PATIENCE => {
                return Err(why).context("an instance does not come back");
            }
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
}

fn tail(log: &str) -> &str {
    let from = log.len().saturating_sub(3_000);
    log.get(from..).unwrap_or(log)
}
