use std::{
    array,
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
};

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    pieces::Pieces,
    ports::store::{Effect, Revocation, Revoked, Stamp},
    values::{KeyTag, SessionId, UserId, Version},
};

/// So many that a lookup hardly ever meets a writer: a writer holds one of them for the time of
/// one insertion.
const SHARDS: usize = 64;

/// Entries are forgotten by the minute in which they end, so that looking for those costs nothing.
const MINUTE: i64 = 60 * SECOND;

const SECOND: i64 = 1_000_000;

/// The revocations that still matter, in memory. Entries leave only by expiry.
///
/// Looked up by sharded maps of what is over; the entries themselves, as they were committed, are
/// kept compactly beside them (some 140 bytes for each, all in all).
#[derive(Debug)]
pub struct RevocationSet {
    shards: [RwLock<Shard>; SHARDS],
    held: Mutex<Held>,
}

/// What is over, and until when it matters (microseconds since 1970).
#[derive(Debug, Default)]
struct Shard {
    sessions: HashMap<SessionId, i64>,
    users: HashMap<UserId, (Version, i64)>,
}

#[derive(Debug, Default)]
struct Held {
    ids: HashSet<i64>,
    by_end: BTreeMap<i64, Pieces<Entry>>,
    len: usize,
}

/// A [`Revocation`] in 64 bytes.
#[derive(Debug, Clone, Copy)]
struct Entry {
    id: i64,
    until: i64,
    subject: Uuid,
    /// Of a user's tokens.
    below: Version,
    xid: u64,
    timeline: u32,
    /// For how many seconds after `until` it is held here.
    longer: u32,
    kind: Kind,
    effect: Option<Effect>,
}

/// What the subject is.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Session,
    User,
    Key,
}

impl Default for RevocationSet {
    fn default() -> Self {
        Self {
            shards: array::from_fn(|_| RwLock::default()),
            held: Mutex::default(),
        }
    }
}

impl RevocationSet {
    /// Adds an entry, to be held until its end, and if it is news `at_least` until then: whoever
    /// wrote it may know another time than we do just now. Adding one twice, or in another order,
    /// gives the same set. Whether it was kept: not if it is known, nor if it has no id and tells of
    /// nothing that was not over.
    pub fn apply(&self, entry: &Revocation, at_least: OffsetDateTime) -> bool {
        let revoked = entry.revoked;
        let mut entry = Entry::from(entry);
        let news = entry.until.max(micros(at_least));
        // What is not kept ends with what is: nothing would look at it later.
        let until = if entry.id == 0 { i64::MIN } else { entry.until };
        // First what is looked up: whoever finds the id held finds it obeyed.
        let is_news = match revoked {
            Revoked::Session(session) => self.end_session(session, until, news),
            Revoked::TokensBelow(user, below) => self.end_tokens(user, below, until, news),
            // The key ring forgets the key itself.
            Revoked::Key(_) => !self.held().ids.contains(&entry.id),
        };
        if is_news {
            entry.hold_until(news);
        }
        self.held().keep(entry, is_news)
    }

    fn end_session(&self, session: SessionId, until: i64, news: i64) -> bool {
        let mut shard = write(self.shard(session.as_uuid()));
        let mut is_news = false;
        let held = shard.sessions.entry(session).or_insert_with(|| {
            is_news = true;
            news
        });
        *held = until.max(*held);
        is_news
    }

    fn end_tokens(&self, user: UserId, below: Version, until: i64, news: i64) -> bool {
        let mut shard = write(self.shard(user.as_uuid()));
        let held = shard.users.entry(user).or_insert((Version::ZERO, until));
        let is_news = below > held.0;
        let until = if is_news { news } else { until };
        *held = (held.0.max(below), held.1.max(until));
        is_news
    }

    /// Whether this session is over.
    pub fn hits_session(&self, session: SessionId) -> bool {
        let shard = self.shard(session.as_uuid());
        let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
        shard.sessions.contains_key(&session)
    }

    /// Whether a token of this session, user and version is over.
    pub fn hits(&self, session: SessionId, user: UserId, version: Version) -> bool {
        self.hits_session(session) || version < self.floor(user)
    }

    /// The lowest version of the user's row that is not known to be old.
    pub fn floor(&self, user: UserId) -> Version {
        let shard = self.shard(user.as_uuid());
        let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
        shard
            .users
            .get(&user)
            .map_or(Version::ZERO, |(version, _)| *version)
    }

    /// Whether the entry with this id is in it.
    pub fn holds(&self, id: i64) -> bool {
        self.held().ids.contains(&id)
    }

    /// Every entry, as it was committed.
    pub fn entries(&self) -> Vec<Revocation> {
        let held = self.held();
        let mut entries = Vec::with_capacity(held.ids.len());
        let known = held.by_end.values().flatten();
        entries.extend(known.filter(|entry| entry.id != 0).map(Revocation::from));
        entries
    }

    /// Everything that is over, also what was only heard of, without an id.
    pub fn snapshot(&self) -> Vec<Revocation> {
        let held = self.held();
        held.by_end
            .values()
            .flatten()
            .map(Revocation::from)
            .collect()
    }

    /// Forgets what can concern no valid token any more.
    pub fn forget_before(&self, now: OffsetDateTime) {
        let now = micros(now);
        let over = self.held().take_before(now);
        for entry in over {
            match entry.revoked() {
                Revoked::Session(session) => {
                    let mut shard = write(self.shard(session.as_uuid()));
                    // Another entry may say that it matters longer.
                    if shard.sessions.get(&session).is_some_and(|end| *end < now) {
                        shard.sessions.remove(&session);
                    }
                }
                Revoked::TokensBelow(user, _) => {
                    let mut shard = write(self.shard(user.as_uuid()));
                    if shard.users.get(&user).is_some_and(|(_, end)| *end < now) {
                        shard.users.remove(&user);
                    }
                }
                Revoked::Key(_) => {}
            }
        }
    }

    /// How many entries it holds.
    pub fn len(&self) -> usize {
        self.held().len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, id: Uuid) -> &RwLock<Shard> {
        &self.shards[number(id)]
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// What has no id is kept only if nothing else says it: it is forgotten by its end too.
    fn keep(&mut self, entry: Entry, is_news: bool) -> bool {
        let is_new = match entry.id {
            0 => is_news,
            id => self.ids.insert(id),
        };
        if is_new {
            let end = entry.end().div_euclid(MINUTE);
            self.by_end.entry(end).or_default().push(entry);
            self.len += 1;
        }
        is_new
    }

    fn take_before(&mut self, now: i64) -> Vec<Entry> {
        let mut over = Vec::new();
        while let Some(minute) = self.by_end.first_entry() {
            if minute.key() * MINUTE >= now {
                break;
            }
            let (end, entries) = minute.remove_entry();
            let (stay, ended): (Pieces<_>, Pieces<_>) =
                entries.into_iter().partition(|entry| entry.end() >= now);
            over.extend(ended);
            if !stay.is_empty() {
                self.by_end.insert(end, stay);
                break;
            }
        }
        self.len -= over.len();
        for entry in &over {
            self.ids.remove(&entry.id);
        }
        over
    }
}

impl Entry {
    fn revoked(&self) -> Revoked {
        match self.kind {
            Kind::Session => Revoked::Session(SessionId::from_uuid(self.subject)),
            Kind::User => Revoked::TokensBelow(UserId::from_uuid(self.subject), self.below),
            Kind::Key => Revoked::Key(KeyTag::from_uuid(self.subject)),
        }
    }

    /// Until when it is held here: `until`, or later.
    fn end(&self) -> i64 {
        self.until.saturating_add(i64::from(self.longer) * SECOND)
    }

    /// Until then, rounded up.
    fn hold_until(&mut self, end: i64) {
        let longer = end.saturating_sub(self.until).max(0);
        let seconds = longer.div_euclid(SECOND) + i64::from(longer.rem_euclid(SECOND) != 0);
        self.longer = u32::try_from(seconds).unwrap_or(u32::MAX);
    }
}

impl From<&Revocation> for Entry {
    fn from(revocation: &Revocation) -> Self {
        let (kind, subject, below) = match revocation.revoked {
            Revoked::Session(session) => (Kind::Session, session.as_uuid(), Version::ZERO),
            Revoked::TokensBelow(user, below) => (Kind::User, user.as_uuid(), below),
            Revoked::Key(key) => (Kind::Key, key.as_uuid(), Version::ZERO),
        };
        Self {
            id: revocation.id,
            until: micros(revocation.until),
            subject,
            below,
            xid: revocation.stamp.xid,
            timeline: revocation.stamp.timeline,
            longer: 0,
            kind,
            effect: revocation.effect,
        }
    }
}

impl From<&Entry> for Revocation {
    fn from(entry: &Entry) -> Self {
        Self {
            id: entry.id,
            revoked: entry.revoked(),
            effect: entry.effect,
            until: OffsetDateTime::from_unix_timestamp_nanos(i128::from(entry.until) * 1_000)
                .unwrap_or(OffsetDateTime::UNIX_EPOCH),
            stamp: Stamp {
                timeline: entry.timeline,
                xid: entry.xid,
            },
        }
    }
}

/// By the last byte: random in a UUID of every version that we make.
fn number(id: Uuid) -> usize {
    usize::from(id.as_bytes()[15]) % SHARDS
}

fn write(shard: &RwLock<Shard>) -> std::sync::RwLockWriteGuard<'_, Shard> {
    shard.write().unwrap_or_else(PoisonError::into_inner)
}

/// Rounded up: an entry is never forgotten before its end.
fn micros(time: OffsetDateTime) -> i64 {
    let nanos = time.unix_timestamp_nanos();
    i64::try_from(nanos.div_euclid(1_000) + i128::from(nanos.rem_euclid(1_000) != 0))
        .unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::{Duration, macros::datetime};

    const NOW: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

    fn user(n: u128) -> UserId {
        UserId::from_uuid(Uuid::from_u128(n))
    }

    fn session(n: u128) -> SessionId {
        SessionId::from_uuid(Uuid::from_u128(n))
    }

    fn entry(id: i64, revoked: Revoked, until: OffsetDateTime) -> Revocation {
        Revocation {
            id,
            revoked,
            effect: None,
            until,
            stamp: Stamp::default(),
        }
    }

    #[test]
    fn an_entry_hits_its_session_or_the_older_tokens_of_its_user() {
        let set = RevocationSet::default();
        let below = |version| Revoked::TokensBelow(user(2), Version::new(version));
        set.apply(&entry(1, Revoked::Session(session(1)), NOW), NOW);
        set.apply(&entry(2, below(5), NOW), NOW);
        set.apply(&entry(3, below(3), NOW), NOW);

        assert!(set.hits(session(1), user(9), Version::new(9)));
        assert!(!set.hits(session(2), user(1), Version::ZERO));
        assert!(set.hits(session(2), user(2), Version::new(4)));
        assert!(!set.hits(session(2), user(2), Version::new(5)));
        assert_eq!(set.floor(user(2)), Version::new(5));
    }

    #[test]
    fn entries_leave_only_by_expiry() {
        let set = RevocationSet::default();
        set.apply(&entry(1, Revoked::Session(session(1)), NOW), NOW);
        set.forget_before(NOW);
        assert_eq!(set.len(), 1);
        set.forget_before(NOW + Duration::MICROSECOND);
        assert!(set.is_empty() && !set.hits_session(session(1)) && !set.holds(1));
    }

    #[test]
    fn what_several_entries_say_matters_until_the_last_of_them_ends() {
        let set = RevocationSet::default();
        let later = NOW + Duration::minutes(3);
        let over = Revoked::Session(session(1));
        set.apply(&entry(1, over, later), NOW);
        set.apply(&entry(2, over, NOW), NOW);
        set.forget_before(NOW + Duration::SECOND);
        assert!(set.hits_session(session(1)));
        assert_eq!((set.len(), set.holds(1), set.holds(2)), (1, true, false));
        set.forget_before(later + Duration::MICROSECOND);
        assert!(!set.hits_session(session(1)) && set.is_empty());
    }

    #[test]
    fn saying_it_again_costs_no_memory() {
        let set = RevocationSet::default();
        for again in 0..1_000 {
            let until = NOW + Duration::microseconds(again);
            set.apply(&entry(0, Revoked::Session(session(1)), until), NOW);
        }
        assert_eq!(set.len(), 1);
        // Nor for longer than what is kept of it.
        set.forget_before(NOW + Duration::microseconds(500));
        assert!(set.is_empty() && !set.hits_session(session(1)));
        let first = entry(1, Revoked::Session(session(2)), NOW);
        assert!(set.apply(&first, NOW));
        assert!(!set.apply(&first, NOW));
        assert_eq!(set.entries(), [first]);
    }

    #[test]
    fn entries_come_back_as_they_were_committed() {
        let set = RevocationSet::default();
        let entry = Revocation {
            id: i64::MAX,
            revoked: Revoked::TokensBelow(user(7), Version::new(9 << 32)),
            effect: Some(Effect::Password),
            until: NOW + Duration::microseconds(1),
            stamp: Stamp {
                timeline: 9,
                xid: u64::MAX,
            },
        };
        set.apply(&entry, NOW);
        assert_eq!(set.entries(), [entry]);
    }

    #[test]
    fn what_is_heard_again_is_held_no_longer_and_what_is_news_is() {
        let (set, past) = (RevocationSet::default(), NOW - Duration::HOUR);
        let below = |id, version| {
            entry(
                id,
                Revoked::TokensBelow(user(1), Version::new(version)),
                past,
            )
        };
        let over = |id| entry(id, Revoked::Session(session(1)), past);
        set.apply(&over(1), NOW);
        set.apply(&below(2, 5), NOW);
        for again in [over(1), below(2, 5), below(3, 4)] {
            set.apply(&again, NOW + Duration::HOUR);
        }
        set.forget_before(NOW);
        assert!(set.hits_session(session(1)));
        assert_eq!(set.floor(user(1)), Version::new(5));
        set.apply(&below(4, 6), NOW + Duration::HOUR);
        set.forget_before(NOW + Duration::SECOND);
        assert!(!set.hits_session(session(1)));
        assert_eq!(set.floor(user(1)), Version::new(6));
    }
}
