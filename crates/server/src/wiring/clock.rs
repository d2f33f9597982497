//! What time it is where several instances must agree.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use sso_core::ports::Clock;
use sso_store_postgres::servers::Servers;
use time::OffsetDateTime;

use crate::system::SystemClock;

/// A difference below this is the business of the machines' time daemons.
const TOLERATED: time::Duration = time::Duration::seconds(5);

/// This machine's clock, unless it is wrong by the primary's: then the primary's, as each instance
/// must know whether another's token is from the future, or over.
#[derive(Default)]
pub(super) struct CommonClock {
    machine: SystemClock,
    servers: OnceLock<Servers>,
    wrong: AtomicBool,
}

impl CommonClock {
    /// From now on the primary's time counts.
    pub(super) fn follow(&self, servers: Servers) {
        // Once: there is one store in a process.
        let _ = self.servers.set(servers);
    }

    fn tell(&self, off: time::Duration, wrong: bool) {
        if self.wrong.swap(wrong, Ordering::Relaxed) == wrong {
            return;
        }
        if wrong {
            tracing::warn!(
                seconds = off.whole_seconds(),
                "this machine's clock is off from the primary's, whose time is used: set it"
            );
        } else {
            tracing::info!("this machine's clock is right again");
        }
    }
}

#[async_trait]
impl Clock for CommonClock {
    fn now(&self) -> OffsetDateTime {
        let own = self.machine.now();
        let Some(since_epoch) = self.servers.get().and_then(Servers::time) else {
            return own;
        };
        let common = OffsetDateTime::UNIX_EPOCH + since_epoch;
        let off = own - common;
        let wrong = off.abs() > TOLERATED;
        self.tell(off, wrong);
        if wrong { common } else { own }
    }

    fn monotonic(&self) -> Duration {
        self.machine.monotonic()
    }

    async fn sleep_until(&self, until: Duration) {
        self.machine.sleep_until(until).await;
    }
}
