use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
    sync::{
        PoisonError, RwLock,
        atomic::{self, AtomicUsize},
    },
    time::Duration,
};

use time::OffsetDateTime;

use crate::{
    ports::store::{Answer, Revocation, Revoked},
    values::{SessionId, UserId, Version},
};

/// Most hints that wait for a beat to confirm them. Beyond, a hint only asks for the beat.
pub(super) const MOST: usize = 4_096;

/// Revocations that somebody says are committed: obeyed until a beat says whether they are.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// Without any, nothing is locked.
    len: AtomicUsize,
    heard: RwLock<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    hints: HashMap<i64, Hint>,
    sessions: HashSet<SessionId>,
    users: HashMap<UserId, Version>,
}

#[derive(Debug)]
struct Hint {
    entry: Revocation,
    /// When, on the monotonic clock.
    at: Duration,
    /// On which timeline a registration has offered it to be written back.
    offered: u32,
}

/// What an answer says about hints.
pub(super) struct Verdict<'a> {
    pub(super) answer: &'a Answer,
    /// When its question was sent.
    pub(super) sent: Duration,
    /// When it is.
    pub(super) now: OffsetDateTime,
    /// How long one is obeyed whose timeline this instance has not met.
    pub(super) patience: Duration,
}

impl Hints {
    /// Obeys `entry` until it is judged. A key cannot be ended provisionally.
    pub(super) fn hear(&self, entry: &Revocation, at: Duration) {
        let mut heard = self.heard.write().unwrap_or_else(PoisonError::into_inner);
        if matches!(entry.revoked, Revoked::Key(_)) || heard.hints.len() >= MOST {
            return;
        }
        let entry = *entry;
        let offered = 0;
        let hint = Hint { entry, at, offered };
        heard.hints.entry(entry.id).or_insert(hint);
        heard.obey(&entry);
        self.len.store(heard.hints.len(), atomic::Ordering::Release);
    }

    pub(super) fn hits_session(&self, session: SessionId) -> bool {
        self.ask(false, |heard| heard.sessions.contains(&session))
    }

    pub(super) fn floor(&self, user: UserId) -> Version {
        self.ask(Version::ZERO, |heard| {
            heard.users.get(&user).copied().unwrap_or_default()
        })
    }

    pub(super) fn entries(&self) -> Vec<Revocation> {
        self.ask(Vec::new(), |heard| {
            heard.hints.values().map(|hint| hint.entry).collect()
        })
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.len.load(atomic::Ordering::Acquire) == 0
    }

    /// Whether one is of a timeline before this one: then a failover may have lost it, and no beat
    /// will ever tell. Not one that was offered: that was swept, or comes as a row.
    pub(super) fn has_older(&self, timeline: u32) -> bool {
        self.ask(false, |heard| {
            let mut hints = heard.hints.values();
            hints.any(|hint| hint.is_older(timeline) && hint.offered < timeline)
        })
    }

    /// What was heard until `sent` was offered with a registration on this timeline.
    pub(super) fn offered(&self, timeline: u32, sent: Duration) {
        let mut heard = self.heard.write().unwrap_or_else(PoisonError::into_inner);
        for hint in heard.hints.values_mut() {
            if hint.is_older(timeline) && hint.at <= sent {
                hint.offered = timeline;
            }
        }
    }

    /// Forgets those that are settled: what `holds` says came with a beat, and what is no
    /// revocation. To be called when the answer's entries are obeyed. Says how many were none.
    pub(super) fn judge(&self, verdict: &Verdict<'_>, holds: impl Fn(i64) -> bool) -> usize {
        if self.is_empty() {
            return 0;
        }
        let mut refuted = 0;
        let mut heard = self.heard.write().unwrap_or_else(PoisonError::into_inner);
        heard.hints.retain(|id, hint| {
            if holds(*id) || hint.entry.until < verdict.now {
                return false;
            }
            let stays = !verdict.refutes(hint);
            refuted += usize::from(!stays);
            stays
        });
        heard.index();
        self.len.store(heard.hints.len(), atomic::Ordering::Release);
        refuted
    }

    fn ask<T>(&self, none: T, question: impl FnOnce(&Heard) -> T) -> T {
        if self.is_empty() {
            return none;
        }
        question(&self.heard.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Hint {
    fn is_older(&self, timeline: u32) -> bool {
        self.entry.stamp.timeline < timeline
    }
}

impl Verdict<'_> {
    /// Whoever hints had the answer to his COMMIT. So a transaction that is visible and brought no
    /// row is none, and so is one that is not visible to a question sent after the hint.
    fn refutes(&self, hint: &Hint) -> bool {
        let stamp = hint.entry.stamp;
        let sent_after = hint.at < self.sent;
        match stamp.timeline.cmp(&self.answer.timeline) {
            Ordering::Equal => sent_after || self.answer.snapshot.sees(stamp.xid),
            // Nobody whom we ask has met that timeline; a lease does not live longer than this.
            Ordering::Greater => hint.at + self.patience < self.sent,
            // Lost, perhaps: written back with the next registration, and then it comes as a row.
            Ordering::Less => false,
        }
    }
}

impl Heard {
    fn obey(&mut self, entry: &Revocation) {
        match entry.revoked {
            Revoked::Session(session) => {
                self.sessions.insert(session);
            }
            Revoked::TokensBelow(user, below) => {
                let held = self.users.entry(user).or_insert(below);
                *held = below.max(*held);
            }
            Revoked::Key(_) => {}
        }
    }

    fn index(&mut self) {
        self.sessions.clear();
        self.users.clear();
        let entries: Vec<_> = self.hints.values().map(|hint| hint.entry).collect();
        for entry in &entries {
            self.obey(entry);
        }
    }
}
