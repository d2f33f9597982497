use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use crate::{
    ports::store::{Revocation, Revoked},
    values::{SessionId, UserId, Version},
};

/// The revocations that still matter, in memory. Entries leave only by expiry, by the monotonic
/// clock: a wall clock that is set forward for a while must not make revoked tokens good.
#[derive(Debug, Default)]
pub struct RevocationSet(RwLock<Entries>);

#[derive(Debug, Default)]
struct Entries {
    sessions: HashMap<SessionId, Duration>,
    users: HashMap<UserId, (Version, Duration)>,
}

impl RevocationSet {
    /// Adds an entry, to be held `until` then, and what is news `at_least` until then. Adding one
    /// twice, or in another order, gives the same set.
    pub fn apply(&self, entry: &Revocation, until: Duration, at_least: Duration) {
        let news = until.max(at_least);
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match entry.revoked {
            Revoked::Session(session) => {
                let held = entries.sessions.entry(session).or_insert(news);
                *held = until.max(*held);
            }
            Revoked::TokensBelow(user, version) => {
                let held = entries.users.entry(user).or_insert((version, news));
                let until = if version > held.0 { news } else { until };
                *held = (held.0.max(version), held.1.max(until));
            }
            // The key ring forgets the key itself.
            Revoked::Key(_) => {}
        }
    }

    /// Whether this session is over.
    pub fn hits_session(&self, session: SessionId) -> bool {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        entries.sessions.contains_key(&session)
    }

    /// Whether a token of this session, user and version is over.
    pub fn hits(&self, session: SessionId, user: UserId, version: Version) -> bool {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        entries.sessions.contains_key(&session)
            || entries
                .users
                .get(&user)
                .is_some_and(|(below, _)| version < *below)
    }

    /// The lowest version of the user's row that is not known to be old.
    pub fn floor(&self, user: UserId) -> Version {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        entries
            .users
            .get(&user)
            .map_or(Version::ZERO, |(version, _)| *version)
    }

    /// All of them, without their ids.
    pub fn snapshot(&self) -> Vec<Revocation> {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let entry = |revoked, until| Revocation {
            id: 0,
            revoked,
            until,
        };
        let sessions = entries.sessions.iter();
        let sessions = sessions.map(|(session, until)| entry(Revoked::Session(*session), *until));
        let users = entries.users.iter();
        let users =
            users.map(|(user, (below, until))| entry(Revoked::TokensBelow(*user, *below), *until));
        sessions.chain(users).collect()
    }

    /// Forgets what can concern no valid token any more.
    pub fn forget_before(&self, now: Duration) {
        let due = {
            let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
            entries.sessions.values().any(|until| *until < now)
                || entries.users.values().any(|(_, until)| *until < now)
        };
        if due {
            let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
            entries.sessions.retain(|_, until| *until >= now);
            entries.users.retain(|_, (_, until)| *until >= now);
        }
    }

    /// How many entries it holds.
    pub fn len(&self) -> usize {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        entries.sessions.len() + entries.users.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;
    use uuid::Uuid;

    const NOW: Duration = Duration::from_hours(1);

    fn user(n: u128) -> UserId {
        UserId::from_uuid(Uuid::from_u128(n))
    }

    fn session(n: u128) -> SessionId {
        SessionId::from_uuid(Uuid::from_u128(n))
    }

    fn entry(revoked: Revoked) -> Revocation {
        Revocation {
            id: 1,
            revoked,
            until: datetime!(2026-01-01 00:00 UTC),
        }
    }

    #[test]
    fn an_entry_hits_its_session_or_the_older_tokens_of_its_user() {
        let set = RevocationSet::default();
        set.apply(&entry(Revoked::Session(session(1))), NOW, NOW);
        set.apply(
            &entry(Revoked::TokensBelow(user(2), Version::new(5))),
            NOW,
            NOW,
        );
        set.apply(
            &entry(Revoked::TokensBelow(user(2), Version::new(3))),
            NOW,
            NOW,
        );

        assert!(set.hits(session(1), user(9), Version::new(9)));
        assert!(!set.hits(session(2), user(1), Version::ZERO));
        assert!(set.hits(session(2), user(2), Version::new(4)));
        assert!(!set.hits(session(2), user(2), Version::new(5)));
        assert_eq!(set.floor(user(2)), Version::new(5));
    }

    #[test]
    fn what_is_heard_again_is_held_no_longer_and_what_is_news_is() {
        let (set, later) = (RevocationSet::default(), NOW + Duration::from_secs(1));
        let below = |version| entry(Revoked::TokensBelow(user(1), Version::new(version)));
        set.apply(&entry(Revoked::Session(session(1))), Duration::ZERO, NOW);
        set.apply(&below(5), Duration::ZERO, NOW);
        for again in [entry(Revoked::Session(session(1))), below(5), below(4)] {
            set.apply(&again, Duration::ZERO, later);
        }
        set.forget_before(NOW);
        assert_eq!(set.len(), 2);
        set.forget_before(later);
        assert_eq!(set.len(), 0);
        set.apply(&below(5), Duration::ZERO, NOW);
        set.apply(&below(6), Duration::ZERO, later);
        set.forget_before(later);
        assert_eq!(set.len(), 1);
    }

    #[test]
    fn entries_leave_only_by_expiry() {
        let set = RevocationSet::default();
        set.apply(&entry(Revoked::Session(session(1))), NOW, NOW);
        set.forget_before(NOW);
        assert_eq!(set.len(), 1);
        set.forget_before(NOW + Duration::from_micros(1));
        assert!(set.is_empty());
    }
}
