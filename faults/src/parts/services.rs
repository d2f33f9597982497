//! What happens to the services that live on the events, and to the mail server.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sso_testkit::{
    program::{Program, Running},
    servers::SmtpSink,
};
use tokio::time::sleep;

use super::AWAY;

/// How long a service may take until it serves, whatever else is away meanwhile.
const PATIENCE: Duration = Duration::from_mins(3);
/// How one ends that finds no database at its start; its supervisor starts it.
const UNAVAILABLE: i32 = 69;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// Mails that a full mail server refuses for now.
const REFUSED: u32 = 50;

/// welcome and loyalty.
pub(crate) struct Services {
    pub(crate) welcome: Service,
    pub(crate) loyalty: Service,
    pub(crate) mail: SmtpSink,
}

/// A service and where it is started from.
pub(crate) struct Service {
    pub(crate) program: Program,
    pub(crate) running: Running,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OfServices {
    KillWelcome,
    KillLoyalty,
    RestartBoth,
    RefuseMail,
}

impl OfServices {
    pub(crate) const ALL: [Self; 4] = [
        Self::KillWelcome,
        Self::KillLoyalty,
        Self::RestartBoth,
        Self::RefuseMail,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::KillWelcome => "welcome is killed and started",
            Self::KillLoyalty => "loyalty is killed and started",
            Self::RestartBoth => "welcome and loyalty drain and are started",
            Self::RefuseMail => "the mail server refuses 50 mails for now",
        }
    }
}

impl Services {
    /// Returns when they run again; what they need may be away, so nobody waits for readiness.
    pub(super) async fn happen(&mut self, fault: OfServices) -> Result<()> {
        match fault {
            OfServices::KillWelcome => self.welcome.kill().await?,
            OfServices::KillLoyalty => self.loyalty.kill().await?,
            OfServices::RestartBoth => {
                self.welcome.restart().await?;
                self.loyalty.restart().await?;
            }
            OfServices::RefuseMail => self.mail.fail_next(REFUSED),
        }
        Ok(())
    }
}

impl Services {
    /// Waits until both serve.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        self.welcome.ready().await.context("welcome")?;
        self.loyalty.ready().await.context("loyalty")
    }
}

impl Service {
    pub(crate) async fn start(program: Program) -> Result<Self> {
        let running = program.start().await?;
        Ok(Self { program, running })
    }

    async fn kill(&mut self) -> Result<()> {
        self.running.kill()?;
        sleep(AWAY / 4).await;
        self.running = self.program.spawn()?;
        Ok(())
    }

    async fn ready(&mut self) -> Result<()> {
        let began = Instant::now();
        loop {
            match self.running.status()? {
                Some(status) if status.code() == Some(UNAVAILABLE) => {
                    self.running = self.program.spawn()?;
                }
                Some(status) => bail!("it ended with {status}"),
                None => {
                    let reply = self.running.http.get("/metrics", None).await;
                    if reply.is_ok_and(|reply| reply.status == 200) {
                        return Ok(());
                    }
                }
            }
            ensure!(began.elapsed() < PATIENCE, "it does not serve");
            sleep(PAUSE).await;
        }
    }

    async fn restart(&mut self) -> Result<()> {
        self.running.stop().await?;
        self.running = self.program.spawn()?;
        Ok(())
    }
}
