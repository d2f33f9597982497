//! What is over, in memory. Entries leave only by expiry.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use uuid::Uuid;

use crate::{
    Claims,
    claims::id,
    keys::KeySet,
    proto::v1::{Revocation, revocation::Over},
};

/// The set. Times are in seconds since 1970.
#[derive(Debug, Default)]
pub(crate) struct OverSet(RwLock<Entries>);

#[derive(Debug, Default)]
struct Entries {
    sessions: HashMap<Uuid, i64>,
    users: HashMap<Uuid, (u64, i64)>,
    keys: HashMap<Uuid, i64>,
}

/// An entry that this version cannot read: something is over, and nobody here knows what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a revocation of an unknown kind: this verifier is too old for the service")]
pub(crate) struct Unreadable;

impl OverSet {
    /// Adds entries. Adding one twice, or in another order, gives the same set.
    pub(crate) fn apply(&self, news: &[Revocation]) -> Result<(), Unreadable> {
        if news.is_empty() {
            return Ok(());
        }
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for entry in news {
            let until = entry.until.ok_or(Unreadable)?;
            // Rounded up: too early is wrong, too late is not.
            let until = until.seconds.saturating_add(1);
            let later = |held: &mut i64| *held = until.max(*held);
            match entry.over.as_ref().ok_or(Unreadable)? {
                Over::SessionId(session) => {
                    let session = id(session).ok_or(Unreadable)?;
                    later(entries.sessions.entry(session).or_insert(until));
                }
                Over::TokensBelow(below) => {
                    let user = id(&below.user_id).ok_or(Unreadable)?;
                    let held = entries.users.entry(user).or_insert((below.version, until));
                    held.0 = held.0.max(below.version);
                    later(&mut held.1);
                }
                Over::KeyTag(tag) => {
                    let tag = id(tag).ok_or(Unreadable)?;
                    later(entries.keys.entry(tag).or_insert(until));
                }
            }
        }
        Ok(())
    }

    /// Whether a token with these claims that the key of this tag signed is over.
    pub(crate) fn hits(&self, claims: &Claims, key: Uuid) -> bool {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        entries.sessions.contains_key(&claims.session_id)
            || entries.keys.contains_key(&key)
            || entries
                .users
                .get(&claims.user_id)
                .is_some_and(|(below, _)| claims.version < *below)
    }

    /// Forgets what can concern no valid token any more; of keys not those that `known` still has:
    /// whoever stole one signs with it what lives on.
    pub(crate) fn forget_before(&self, now: i64, known: &KeySet) {
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        entries.sessions.retain(|_, until| *until >= now);
        entries.users.retain(|_, (_, until)| *until >= now);
        entries
            .keys
            .retain(|tag, until| *until >= now || known.has(*tag));
    }

    pub(crate) fn len(&self) -> usize {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        entries.sessions.len() + entries.users.len() + entries.keys.len()
    }
}
