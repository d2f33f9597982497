//! What is stored, and the rules of its lifecycles.

use std::{collections::BTreeMap, time::Duration};

use sso_core::{
    Network,
    ports::{
        StoreError,
        store::{
            Constraint, Ended, Liveness, MAX_NETWORKS, NewRevocation, NewSession, NewUser,
            PasswordChange, RetiredKey, Revocation, Rotate, Rotated, Rotation, SealedKey, Session,
            Stamp, User,
        },
    },
    values::{Email, PasswordHash, SessionId, UserId, Version},
};
use time::OffsetDateTime;

use super::{lifecycle::Remains, outbox::Kept};

/// There is no failover in memory.
const TIMELINE: u32 = 0;

/// A whole database.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) users: BTreeMap<UserId, User>,
    pub(super) sessions: BTreeMap<SessionId, Session>,
    /// Newest first.
    pub(super) networks: BTreeMap<UserId, Vec<(OffsetDateTime, Network)>>,
    pub(super) keys: Vec<SealedKey>,
    /// Those retired last come last.
    pub(super) retired_keys: Vec<RetiredKey>,
    pub(super) revocations: Vec<Revocation>,
    pub(super) outbox: Vec<Kept>,
    pub(super) longest_access_life: Duration,
    pub(super) remains: Remains,
}

// Users.
impl State {
    pub(super) fn insert_user(&mut self, new: &NewUser) -> Result<User, StoreError> {
        if self.users.contains_key(&new.id) || self.remains.is_deleted(new.id) {
            return Err(StoreError::Conflict(Constraint::Id));
        }
        if self
            .users
            .values()
            .any(|user| user.email.canonical() == new.email.canonical())
        {
            return Err(StoreError::Conflict(Constraint::Email));
        }
        let user = User {
            id: new.id,
            email: new.email.clone(),
            email_verified: false,
            password_hash: new.password_hash.clone(),
            name: new.name.clone(),
            birthday: new.birthday,
            is_admin: new.is_admin,
            disabled: false,
            version: Version::ZERO.next(TIMELINE),
            sessions_from: Version::ZERO,
            created_at: new.created_at,
        };
        self.users.insert(user.id, user.clone());
        Ok(user)
    }

    pub(super) fn set_password(&mut self, change: &PasswordChange) -> Option<User> {
        let user = self.users.get_mut(&change.user)?;
        if change.seen.is_some_and(|seen| seen != user.version) {
            return None;
        }
        user.password_hash = change.password_hash.clone();
        Some(end_sessions(user))
    }

    pub(super) fn set_disabled(&mut self, id: UserId, to: bool) -> Option<User> {
        let user = self.users.get_mut(&id)?;
        if user.disabled == to {
            return Some(user.clone());
        }
        user.disabled = to;
        Some(if to { end_sessions(user) } else { raise(user) })
    }

    pub(super) fn set_admin(&mut self, id: UserId, to: bool) -> Option<User> {
        let user = self.users.get_mut(&id)?;
        if user.is_admin == to {
            return Some(user.clone());
        }
        user.is_admin = to;
        Some(raise(user))
    }

    pub(super) fn end_user_sessions(&mut self, id: UserId) -> Option<User> {
        self.users.get_mut(&id).map(end_sessions)
    }

    pub(super) fn rehash(
        &mut self,
        id: UserId,
        verified: &PasswordHash,
        new: &PasswordHash,
    ) -> bool {
        match self.users.get_mut(&id) {
            Some(user) if user.password_hash == *verified => {
                user.password_hash = new.clone();
                true
            }
            _ => false,
        }
    }
}

fn raise(user: &mut User) -> User {
    user.version = user.version.next(TIMELINE);
    user.clone()
}

fn end_sessions(user: &mut User) -> User {
    user.sessions_from = user.version.next(TIMELINE);
    raise(user)
}

// Sessions.
impl State {
    pub(super) fn open_session(
        &mut self,
        new: &NewSession,
        seen: Version,
    ) -> Result<Option<(User, Session)>, StoreError> {
        let Some(user) = self.users.get(&new.user) else {
            return Ok(None);
        };
        if user.disabled || user.version != seen {
            return Ok(None);
        }
        if self.sessions.contains_key(&new.id) {
            return Err(StoreError::Conflict(Constraint::Id));
        }
        let session = Session {
            id: new.id,
            user: new.user,
            version: user.version,
            generation: 0,
            created_at: new.created_at,
            rotated_at: new.created_at,
            expires_at: new.expires_at,
            revoked_at: None,
            address: new.address,
            agent: new.agent.clone(),
        };
        let user = user.clone();
        self.sessions.insert(session.id, session.clone());
        self.remember_network(&session);
        Ok(Some((user, session)))
    }

    fn remember_network(&mut self, session: &Session) {
        let network = Network::of(session.address);
        let known = self.networks.entry(session.user).or_default();
        if network == Network::UNKNOWN {
            return;
        }
        match known.iter_mut().find(|(_, known)| *known == network) {
            Some((since, _)) if *since < session.created_at - Duration::from_hours(24) => {
                *since = session.created_at;
            }
            Some(_) => return,
            None => known.push((session.created_at, network)),
        }
        known.sort_unstable_by(|one, other| other.cmp(one));
        known.truncate(MAX_NETWORKS as usize);
    }

    pub(super) fn knows_network(&self, email: &Email, network: Network) -> bool {
        let mut users = self.users.values();
        let user = users.find(|user| user.email.canonical() == email.canonical());
        user.and_then(|user| self.networks.get(&user.id))
            .is_some_and(|known| known.iter().any(|(_, known)| *known == network))
    }

    pub(super) fn rotate(&mut self, rotate: &Rotate) -> Rotation {
        let Some(session) = self.sessions.get_mut(&rotate.session) else {
            return Rotation::Unknown;
        };
        let Some(user) = self.users.get(&session.user) else {
            return Rotation::Unknown;
        };
        let alive = Liveness {
            now: rotate.now,
            used_after: rotate.used_after,
        };
        if !lives(session, user, alive) {
            return Rotation::Over;
        }
        if rotate.generation >= session.generation {
            session.generation = rotate.generation + 1;
            session.rotated_at = rotate.now;
            return Rotation::Rotated(rows(session, user));
        }
        if rotate.now > session.rotated_at + rotate.grace {
            Rotation::Reused(Box::new(session.clone()))
        } else if rotate.generation + 1 == session.generation {
            Rotation::Replayed(rows(session, user))
        } else {
            Rotation::Late
        }
    }

    pub(super) fn end_session(
        &mut self,
        id: SessionId,
        owner: Option<UserId>,
        now: OffsetDateTime,
    ) -> Ended {
        match self.sessions.get_mut(&id) {
            Some(session) if owner.is_none_or(|owner| owner == session.user) => {
                if session.revoked_at.is_some() {
                    return Ended::Before;
                }
                session.revoked_at = Some(now);
                Ended::Now(Box::new(session.clone()))
            }
            _ => Ended::Unknown,
        }
    }

    /// Newest first.
    pub(super) fn live_sessions(&self, user: UserId, alive: Liveness) -> Vec<Session> {
        let Some(user) = self.users.get(&user) else {
            return Vec::new();
        };
        let mut live: Vec<_> = self
            .sessions
            .values()
            .filter(|session| session.user == user.id && lives(session, user, alive))
            .cloned()
            .collect();
        live.sort_by_key(|session| (session.created_at, session.id));
        live.reverse();
        live
    }

    /// Oldest first.
    pub(super) fn end_oldest_sessions(
        &mut self,
        user: UserId,
        keep: u32,
        alive: Liveness,
    ) -> Vec<Session> {
        let surplus = self
            .live_sessions(user, alive)
            .into_iter()
            .skip(keep as usize);
        let mut ended: Vec<_> = surplus
            .filter_map(
                |session| match self.end_session(session.id, None, alive.now) {
                    Ended::Now(session) => Some(*session),
                    Ended::Before | Ended::Unknown => None,
                },
            )
            .collect();
        ended.reverse();
        ended
    }
}

fn lives(session: &Session, user: &User, alive: Liveness) -> bool {
    session.revoked_at.is_none()
        && alive.holds(session.expires_at, session.rotated_at)
        && session.version >= user.sessions_from
        && !user.disabled
}

fn rows(session: &Session, user: &User) -> Box<Rotated> {
    Box::new(Rotated {
        session: session.clone(),
        user: user.clone(),
    })
}

// Keys, revocations.
impl State {
    pub(super) fn insert_first_keys(&mut self, keys: &[SealedKey]) -> Vec<SealedKey> {
        if self.keys.is_empty() {
            self.keys = keys.to_vec();
            self.keys
                .sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        }
        self.keys.clone()
    }

    pub(super) fn revoke(&mut self, new: &NewRevocation) -> Revocation {
        let id = self.remains.next();
        let revocation = Revocation {
            id,
            revoked: new.revoked,
            effect: None,
            until: new.until,
            stamp: Stamp {
                timeline: TIMELINE,
                xid: id.unsigned_abs(),
            },
        };
        self.revocations.push(revocation);
        revocation
    }

    /// Nothing is stored; who has seen the last entry has seen what was before.
    pub(super) fn revoked_before(&self, new: &NewRevocation) -> Revocation {
        let last = self.revocations.last().map_or(0, |last| last.id);
        Revocation {
            id: 0,
            revoked: new.revoked,
            effect: None,
            until: new.until,
            stamp: Stamp {
                timeline: TIMELINE,
                xid: last.unsigned_abs(),
            },
        }
    }
}
