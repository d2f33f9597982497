//! What a run of the model is made of: the mode, the rules in force, the faults that may happen.

use crate::model::Action;
use crate::rules::{Rule, Rules};

/// How the cluster replicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One named synchronous standby: what commits waits for it; it is the one that is promoted.
    Synchronous,
    /// Nobody waits; a failover may lose what was committed last.
    Asynchronous,
    /// Any one of several standbys: a failover loses nothing that was acknowledged before it, but a standby that still
    /// follows the deposed primary goes on acknowledging its commits.
    Quorum,
}

/// How long a deposed primary goes on answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deposed {
    /// It is dead before another is promoted.
    Never,
    /// Until `fence` after the promotion at the latest.
    UntilFence,
    /// For as long as it likes.
    ForEver,
}

/// The bounds of a run. Times are in ticks.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fault of its own, and all combine"
)]
#[derive(Clone, Debug)]
pub struct Config {
    /// How the cluster replicates.
    pub mode: Mode,
    /// Which rules are in force.
    pub rules: Rules,
    /// How many revocations happen: 1 or 2.
    pub revocations: u8,
    /// L.
    pub lease: u8,
    /// What the bound is longer than L by (0.2 L of the design), below 0 to see it fail.
    pub margin: i8,
    /// `revocation.fence`.
    pub fence: u8,
    /// Whether there may be a failover, and what becomes of the old primary.
    pub failover: Option<Deposed>,
    /// The reader's clock may stand still for one tick in every L + 1.
    pub drift: bool,
    /// How often the reader may crash and start again, or shut down.
    pub reader_restarts: u8,
    /// How often the waiter may.
    pub waiter_restarts: u8,
    /// Whether dead rows are deleted.
    pub janitor: bool,
    /// Whether a beat goes on at the server after the reader has given it up.
    pub orphans: bool,
    /// Whether the standby holds no slot and nobody has said that there is one: nothing tells that it is missed.
    pub unslotted: bool,
    /// Whether a validation may freeze between its two looks.
    pub slow_validation: bool,
    /// What has happened before the run begins.
    pub prelude: &'static [Action],
}

impl Config {
    /// The smallest world: one revocation, no failover, no restart, no drift, no janitor.
    pub const fn calm(mode: Mode) -> Self {
        Self {
            mode,
            rules: Rules::all(),
            revocations: 1,
            lease: 2,
            margin: 1,
            fence: 1,
            failover: None,
            drift: false,
            reader_restarts: 0,
            waiter_restarts: 0,
            janitor: false,
            orphans: false,
            unslotted: false,
            slow_validation: false,
            prelude: &[],
        }
    }

    /// A world with a failover, after which the old primary lives as long as the mode's promise allows.
    pub const fn failover(mode: Mode) -> Self {
        let deposed = match mode {
            Mode::Synchronous => Deposed::ForEver,
            Mode::Asynchronous | Mode::Quorum => Deposed::UntilFence,
        };
        let mut config = Self::calm(mode);
        config.failover = Some(deposed);
        config
    }

    /// The same without these rules.
    #[must_use]
    pub fn without(mut self, rules: &[Rule]) -> Self {
        for rule in rules {
            self.rules = self.rules.without(*rule);
        }
        self
    }

    /// The same with changes.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Whether the rule is in force.
    pub const fn has(&self, rule: Rule) -> bool {
        self.rules.has(rule)
    }

    /// How long after COMMIT a revocation is everywhere, in ticks.
    pub fn bound(&self) -> u8 {
        let margin = if self.has(Rule::BoundLongerThanLease) {
            self.margin
        } else {
            0
        };
        self.lease.saturating_add_signed(margin)
    }

    /// How long on a new timeline nothing is answered early, in ticks.
    pub fn quarantine(&self) -> u8 {
        self.bound() + self.fence
    }
}
