//! A timeline that its cluster has thrown away.
//!
//! The primary is the one on the highest timeline that was met. But a leader that is replaced and comes
//! back a moment later may take Patroni's lock again; then the one that was promoted meanwhile is rewound,
//! and nobody will ever be on its timeline again. No partition, pause or deposed primary looks like
//! that: data that were on a timeline are on an earlier one only if who owns them threw it away.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use super::Identity;

/// A timeline that was met and that nobody is on any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the cluster has given up timeline {timeline}: the server {server}, which was the primary on it, \
     follows timeline {follows} now; only a new process may go on with that"
)]
pub struct GivenUp {
    /// The highest that was met.
    pub timeline: u32,
    /// Who was the primary on it, and is a standby now.
    pub server: String,
    /// On this one.
    pub follows: u32,
}

/// Who was the primary.
#[derive(Debug, Clone)]
pub(super) struct Led {
    timeline: u32,
    run: Arc<str>,
    at: (IpAddr, u16),
    /// Since when it is seen on an earlier timeline.
    follows_since: Option<Instant>,
}

impl Led {
    /// `None`: it does not say where it listens.
    pub(super) fn by(who: &Identity, timeline: u32) -> Option<Self> {
        Some(Self {
            timeline,
            run: Arc::clone(&who.run),
            at: who.listens_at()?,
            follows_since: None,
        })
    }

    /// Whether a server of this cluster, in which nobody leads on the highest timeline, has shown for
    /// `patience` that it was given up. Not the same run: nothing is rewound while it runs, so that is an
    /// answer of before the promotion. And not at once: where servers give the same address for
    /// themselves (NAT) it may be another one while the leader restarts.
    pub(super) fn given_up(
        &mut self,
        who: &Identity,
        now: Instant,
        patience: Duration,
    ) -> Option<GivenUp> {
        let follows = who.follows.filter(|follows| *follows < self.timeline)?;
        if who.run == self.run || who.listens_at() != Some(self.at) {
            return None;
        }
        let since = *self.follows_since.get_or_insert(now);
        (now.saturating_duration_since(since) >= patience).then(|| GivenUp {
            timeline: self.timeline,
            server: SocketAddr::from(self.at).to_string(),
            follows,
        })
    }
}
