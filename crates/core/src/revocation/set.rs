use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use time::OffsetDateTime;

use crate::{
    ports::store::{Revocation, Revoked},
    values::{SessionId, UserId, Version},
};

/// The revocations that still matter, in memory. Entries leave only by expiry.
#[derive(Debug, Default)]
pub struct RevocationSet(RwLock<Entries>);

#[derive(Debug, Default)]
struct Entries {
    sessions: HashMap<SessionId, OffsetDateTime>,
    users: HashMap<UserId, (Version, OffsetDateTime)>,
}

impl RevocationSet {
    /// Adds an entry. Adding one twice, or in another order, gives the same set.
    pub fn apply(&self, entry: &Revocation) {
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match entry.revoked {
            Revoked::Session(session) => {
                let until = entries.sessions.entry(session).or_insert(entry.until);
                *until = entry.until.max(*until);
            }
            Revoked::TokensBelow(user, version) => {
                let held = entries.users.entry(user).or_insert((version, entry.until));
                *held = (held.0.max(version), held.1.max(entry.until));
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
    pub fn forget_before(&self, now: OffsetDateTime) {
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

    const NOW: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

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
            until: NOW,
        }
    }

    #[test]
    fn an_entry_hits_its_session_or_the_older_tokens_of_its_user() {
        let set = RevocationSet::default();
        set.apply(&entry(Revoked::Session(session(1))));
        set.apply(&entry(Revoked::TokensBelow(user(2), Version::new(5))));
        set.apply(&entry(Revoked::TokensBelow(user(2), Version::new(3))));

        assert!(set.hits(session(1), user(9), Version::new(9)));
        assert!(!set.hits(session(2), user(1), Version::ZERO));
        assert!(set.hits(session(2), user(2), Version::new(4)));
        assert!(!set.hits(session(2), user(2), Version::new(5)));
        assert_eq!(set.floor(user(2)), Version::new(5));
    }

    #[test]
    fn entries_leave_only_by_expiry() {
        let set = RevocationSet::default();
        set.apply(&entry(Revoked::Session(session(1))));
        set.forget_before(NOW);
        assert_eq!(set.len(), 1);
        set.forget_before(NOW + time::Duration::MICROSECOND);
        assert!(set.is_empty());
    }
}
