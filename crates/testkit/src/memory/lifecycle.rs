//! The audit log, and the end of what is stored.

use std::collections::BTreeSet;

use async_trait::async_trait;
use sso_core::{
    ports::{
        StoreError,
        store::{
            Actor, AuditAction, AuditPage, AuditRecord, AuditStore, AuditWrites, EventStatus,
            Imported, ImportedUser, JanitorStore, LifecycleWrites, NewAudit, Session, Swept, User,
            UserDataReads, UserEvent,
        },
    },
    values::{SessionId, UserId, Version},
};
use time::OffsetDateTime;

use super::{MemoryStore, state::State, tx::MemoryTx};

fn is_own(action: &str) -> bool {
    let mut own = AuditAction::ALL.iter().filter(|action| action.is_own());
    own.any(|own| own.as_str() == action)
}

/// What [`State`] has beside the lifecycles of the living.
#[derive(Debug, Clone, Default)]
pub(super) struct Remains {
    audit: Vec<AuditRecord>,
    deleted: BTreeSet<UserId>,
    last: i64,
}

impl Remains {
    /// A number that was not used before, whatever was swept.
    pub(super) const fn next(&mut self) -> i64 {
        self.last += 1;
        self.last
    }

    pub(super) fn is_deleted(&self, id: UserId) -> bool {
        self.deleted.contains(&id)
    }
}

impl State {
    fn append_audits(&mut self, records: &[NewAudit]) {
        for new in records {
            let sequence = self.remains.next();
            let is_known = !new.tells_of().is_some_and(|he| self.remains.is_deleted(he));
            self.remains.audit.push(AuditRecord {
                sequence,
                at: new.at,
                action: new.action.as_str().to_owned(),
                result: new.result,
                actor: new.actor.clone(),
                user: new.user,
                session: new.session,
                address: new.address.filter(|_| is_known),
                agent: new.agent.clone().filter(|_| is_known),
                times: new.times,
                detail: new.detail.as_ref().map(ToString::to_string),
            });
        }
    }

    fn import_user(&mut self, new: &ImportedUser) -> Imported {
        let mut users = self.users.values();
        let by_email = users.find(|user| user.email.canonical() == new.email.canonical());
        if let Some(there) = by_email {
            let same = there.email.as_typed() == new.email.as_typed()
                && (!new.keeps_id || there.id == new.id);
            return if same {
                Imported::Present
            } else {
                Imported::EmailTaken
            };
        }
        if self.remains.is_deleted(new.id) {
            return Imported::IdDeleted;
        }
        if self.users.contains_key(&new.id) {
            return Imported::IdTaken;
        }
        let user = User {
            id: new.id,
            email: new.email.clone(),
            email_verified: false,
            password_hash: new.password_hash.clone(),
            name: new.name.clone(),
            birthday: new.birthday,
            is_admin: new.is_admin,
            disabled: new.disabled,
            version: Version::new(1),
            sessions_from: Version::ZERO,
            created_at: new.created_at,
        };
        self.users.insert(user.id, user);
        Imported::Stored
    }

    fn delete_user(&mut self, id: UserId) -> Option<User> {
        let last = self.users.remove(&id)?;
        self.sessions.retain(|_, session| session.user != id);
        self.networks.remove(&id);
        self.outbox
            .retain(|stored| stored.event.user != id || stored.status != EventStatus::Failed);
        for stored in &mut self.outbox {
            if stored.event.user == id && stored.status == EventStatus::Success {
                stored.event.payload.clear();
            }
        }
        for record in &mut self.remains.audit {
            let by_him = match record.actor {
                Actor::Anonymous => record.user == Some(id),
                Actor::Service(_) => record.user == Some(id) && is_own(&record.action),
                Actor::User(actor) => actor == id,
                Actor::Operator | Actor::System => false,
            };
            if by_him {
                record.address = None;
                record.agent = None;
            }
        }
        self.remains.deleted.insert(id);
        Some(last)
    }

    fn sweep(&mut self, table: Swept, before: OffsetDateTime, limit: u32) -> u64 {
        let mut left = u64::from(limit);
        let mut takes = |old: bool| {
            let taken = old && left > 0;
            left -= u64::from(taken);
            taken
        };
        match table {
            Swept::Sessions => self.sessions.retain(|_, session| {
                let ended = session.revoked_at.is_some_and(|at| at < before);
                !takes(session.expires_at < before || ended)
            }),
            Swept::Revocations => self
                .revocations
                .retain(|revocation| !takes(revocation.until < before)),
            Swept::Events => {
                let deleted = &self.remains.deleted;
                self.outbox.retain(|stored| {
                    let over = stored.delivered_at.or(stored.skipped_at);
                    let over = over.is_some_and(|at| at < before);
                    let orphan = stored.status == EventStatus::Failed
                        && deleted.contains(&stored.event.user);
                    !takes(over || orphan)
                });
            }
            Swept::Audit => self
                .remains
                .audit
                .retain(|record| !takes(record.at < before)),
        }
        u64::from(limit) - left
    }
}

#[async_trait]
impl AuditStore for MemoryStore {
    async fn audit(&self, page: &AuditPage) -> Result<Vec<AuditRecord>, StoreError> {
        let wanted = |record: &&AuditRecord| {
            page.before.is_none_or(|before| record.sequence < before)
                && page.since.is_none_or(|since| record.at >= since)
                && page.until.is_none_or(|until| record.at < until)
                && page.user.is_none_or(|user| record.user == Some(user))
                && page
                    .actor
                    .as_ref()
                    .is_none_or(|actor| record.actor == *actor)
                && page
                    .action
                    .as_ref()
                    .is_none_or(|action| record.action == *action)
                && page.result.is_none_or(|result| record.result == result)
        };
        let state = self.state();
        let newest_first = state.remains.audit.iter().rev();
        Ok(newest_first
            .filter(wanted)
            .take(page.limit as usize)
            .cloned()
            .collect())
    }
}

#[async_trait]
impl AuditWrites for MemoryTx {
    async fn append_audits(&mut self, records: &[NewAudit]) -> Result<(), StoreError> {
        self.step(|state| {
            state.append_audits(records);
            Ok(())
        })
    }
}

#[async_trait]
impl LifecycleWrites for MemoryTx {
    async fn import_users(&mut self, users: &[ImportedUser]) -> Result<Vec<Imported>, StoreError> {
        self.step(|state| Ok(users.iter().map(|user| state.import_user(user)).collect()))
    }

    async fn delete_user(
        &mut self,
        user: UserId,
        _now: OffsetDateTime,
    ) -> Result<Option<User>, StoreError> {
        self.step(|state| Ok(state.delete_user(user)))
    }
}

#[async_trait]
impl UserDataReads for MemoryStore {
    async fn sessions_of(
        &self,
        user: UserId,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<Session>, StoreError> {
        let state = self.state();
        let mine = |session: &&Session| {
            session.user == user && after.is_none_or(|after| session.id > after)
        };
        let sessions = state.sessions.values().filter(mine);
        Ok(sessions.take(limit as usize).cloned().collect())
    }

    async fn events_of(
        &self,
        user: UserId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<UserEvent>, StoreError> {
        let state = self.state();
        let mine = state
            .outbox
            .iter()
            .filter(|stored| stored.event.user == user && stored.event.sequence > after);
        let event = |stored: &super::outbox::Kept| UserEvent {
            sequence: stored.event.sequence,
            id: stored.event.id,
            kind: stored.event.kind.clone(),
            payload: stored.event.payload.clone(),
            status: stored.status,
            attempts: stored.event.attempts,
            created_at: stored.event.created_at,
            delivered_at: stored.delivered_at,
        };
        Ok(mine.take(limit as usize).map(event).collect())
    }
}

#[async_trait]
impl JanitorStore for MemoryStore {
    async fn sweep(
        &self,
        table: Swept,
        before: OffsetDateTime,
        limit: u32,
    ) -> Result<u64, StoreError> {
        Ok(self.write(|state| state.sweep(table, before, limit)).await)
    }
}
