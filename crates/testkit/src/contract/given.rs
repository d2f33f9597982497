use std::{future::Future, sync::Arc, time::Duration};

use sso_core::{
    Agent,
    ports::{
        RandomIds, Store,
        store::{
            NewEvent, NewSession, NewUser, PasswordChange, Rotate, Rotated, Rotation, Session, User,
        },
    },
    values::{Email, EventId, PasswordHash, SessionId, UserId, Version},
};
use time::OffsetDateTime;
use tokio::{sync::Barrier, task::JoinSet};

use crate::{clock::START, random::SeededRandom};

/// When a rule starts, with microseconds that must not be lost.
pub(super) const NOW: OffsetDateTime = START.saturating_add(time::Duration::microseconds(123_457));
/// How long sessions live.
pub(super) const LIFE: Duration = Duration::from_hours(240);
/// The grace of a rotation.
pub(super) const GRACE: Duration = Duration::from_secs(30);
/// The smallest step of stored time.
pub(super) const TICK: Duration = Duration::from_micros(1);
/// As many do a one-shot thing at once.
pub(super) const CROWD: usize = 50;

/// What rules start from.
#[derive(Debug)]
pub struct Given {
    random: SeededRandom,
}

impl Given {
    /// Ids from a seed.
    pub const fn new() -> Self {
        Self {
            random: SeededRandom::new(7),
        }
    }

    /// A fresh id.
    pub fn user_id(&self) -> UserId {
        UserId::from_uuid(self.random.uuid_v7(NOW))
    }

    /// A fresh id.
    pub fn session_id(&self) -> SessionId {
        SessionId::from_uuid(self.random.uuid_v7(NOW))
    }

    /// A fresh id.
    pub fn event_id(&self) -> EventId {
        EventId::from_uuid(self.random.uuid_v7(NOW))
    }

    /// A user to be stored.
    pub fn new_user(&self, email: &str) -> NewUser {
        NewUser {
            id: self.user_id(),
            email: Email::parse(email).unwrap(),
            password_hash: hash("first"),
            name: None,
            birthday: None,
            is_admin: false,
            created_at: NOW,
        }
    }

    /// A session to be opened.
    pub fn new_session(&self, user: UserId, created_at: OffsetDateTime) -> NewSession {
        NewSession {
            id: self.session_id(),
            user,
            created_at,
            expires_at: created_at + LIFE,
            address: Some("2001:db8::7".parse().unwrap()),
            agent: Some(Agent::new("curl/8.0")),
        }
    }

    /// An event to be stored.
    pub fn new_event(&self, user: UserId) -> NewEvent {
        NewEvent {
            id: self.event_id(),
            user,
            kind: "registration",
            payload: vec![0, 159, 146, 150],
            created_at: NOW,
            traceparent: None,
            tracestate: None,
        }
    }

    /// A stored user.
    pub async fn user(&self, store: &Arc<dyn Store>, email: &str) -> User {
        let new = self.new_user(email);
        commit!(store, tx => tx.insert_user(&new))
    }

    /// An open session.
    pub async fn session(&self, store: &Arc<dyn Store>, user: &User) -> Session {
        self.session_from(store, user, NOW).await
    }

    /// An open session of another start.
    pub async fn session_from(
        &self,
        store: &Arc<dyn Store>,
        user: &User,
        created_at: OffsetDateTime,
    ) -> Session {
        let new = self.new_session(user.id, created_at);
        let (_, session) = commit!(store, tx => tx.open_session(&new, user.version)).unwrap();
        session
    }
}

impl Default for Given {
    fn default() -> Self {
        Self::new()
    }
}

/// Something that looks like a hash.
pub(super) fn hash(of: &str) -> PasswordHash {
    PasswordHash::new(format!("$argon2id$v=19$m=8,t=1,p=1${of}"))
}

/// A change to `hash(to)`.
pub(super) fn password(user: UserId, seen: Option<Version>, to: &str) -> PasswordChange {
    PasswordChange {
        user,
        seen,
        password_hash: hash(to),
    }
}

/// The use of a token of this session.
pub(super) fn token(session: &Session, generation: u64, now: OffsetDateTime) -> Rotate {
    Rotate {
        session: session.id,
        generation,
        now,
        used_after: None,
        grace: GRACE,
    }
}

/// The rows of a rotation that moved.
pub(super) fn rotated(rotation: Rotation) -> Rotated {
    match rotation {
        Rotation::Rotated(rows) => *rows,
        other => panic!("not rotated but {other:?}"),
    }
}

/// Runs as many at once, from one starting line.
pub(super) async fn crowd<T, F>(each: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let line = Arc::new(Barrier::new(CROWD));
    let mut running = JoinSet::new();
    for at in 0..CROWD {
        let (line, one) = (Arc::clone(&line), each(at));
        running.spawn(async move {
            line.wait().await;
            one.await
        });
    }
    running.join_all().await
}
