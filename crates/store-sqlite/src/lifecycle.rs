//! Import, deletion and export of users, and the janitor.

use async_trait::async_trait;
use rusqlite::{Connection, named_params};
use sso_core::{
    ports::{
        StoreError,
        store::{
            Imported, ImportedUser, JanitorStore, LifecycleWrites, Session, Swept, User,
            UserDataReads, UserEvent,
        },
    },
    values::{Name, SessionId, UserId},
};
use time::OffsetDateTime;

use crate::{
    codec::{self, micros},
    fault::Fault,
    query::{all, execute, one, scalar},
    store::SqliteStore,
    tx::SqliteTx,
    users,
};

const IMPORT: &str = "
    INSERT INTO users (id, email, email_canonical, email_verified, password_hash, name, birthday,
                       is_admin, disabled, version, sessions_from, created_at)
    SELECT :id, :email, :canonical, 0, :password_hash, :name, :birthday,
           :is_admin, :disabled, 1, 0, :created_at
    WHERE NOT EXISTS (SELECT 1 FROM deleted_users WHERE id = :id)
    ON CONFLICT DO NOTHING";

const IS_DELETED: &str = "SELECT count(*) FROM deleted_users WHERE id = :id";

const BURY: &str = "INSERT INTO deleted_users (id, deleted_at) VALUES (:id, :now)";

const DELETE_SESSIONS: &str = "DELETE FROM sessions WHERE user_id = :id";

const DELETE_FAILED: &str = "DELETE FROM outbox WHERE user_id = :id AND status = 'Failed'";

const EMPTY_DELIVERED: &str = "
    UPDATE outbox SET payload = x'', traceparent = NULL, tracestate = NULL
    WHERE user_id = :id AND status = 'Success'";

/// As [`NewAudit::tells_of`](sso_core::ports::store::NewAudit::tells_of) has it, but for what he did himself.
const FORGET_ORIGINS: &str = "
    UPDATE audit SET address = NULL, agent = NULL
    WHERE user_id = :id
      AND (actor = 'anonymous'
           OR actor = 'service'
           AND action IN ('register', 'login', 'refresh_reuse', 'refresh_replay', 'logout',
                      'logout_everywhere', 'session_end', 'password_change', 'throttle'))";

const FORGET_OWN_ORIGINS: &str = "
    UPDATE audit SET address = NULL, agent = NULL WHERE actor_id = :id";

const DELETE: &str = "DELETE FROM users WHERE id = :id";

const SESSIONS_OF: &str = "
    SELECT * FROM sessions WHERE user_id = :user AND id > :after ORDER BY id LIMIT :limit";

const EVENTS_OF: &str = "
    SELECT * FROM outbox WHERE user_id = :user AND sequence > :after
    ORDER BY sequence LIMIT :limit";

const SWEEP_EXPIRED: &str = "
    DELETE FROM sessions
    WHERE id IN (SELECT id FROM sessions WHERE expires_at < :before LIMIT :limit)";

const SWEEP_ENDED: &str = "
    DELETE FROM sessions
    WHERE id IN (SELECT id FROM sessions WHERE revoked_at < :before LIMIT :limit)";

const SWEEP_REVOCATIONS: &str = "
    DELETE FROM revocations
    WHERE id IN (SELECT id FROM revocations WHERE until < :before LIMIT :limit)";

const SWEEP_DELIVERED: &str = "
    DELETE FROM outbox
    WHERE sequence IN (SELECT sequence FROM outbox
                       WHERE status = 'Success' AND delivered_at < :before LIMIT :limit)";

/// What was skipped is over as what is delivered; and nobody will mend and resend what tells of
/// somebody who is gone.
const SWEEP_GIVEN_UP: &str = "
    DELETE FROM outbox
    WHERE sequence IN (SELECT o.sequence FROM outbox o LEFT JOIN deleted_users d ON d.id = o.user_id
                       WHERE o.status = 'Failed' AND (o.skipped_at < :before OR d.id IS NOT NULL)
                       LIMIT :limit)";

const SWEEP_AUDIT: &str = "
    DELETE FROM audit WHERE sequence IN (SELECT sequence FROM audit WHERE at < :before LIMIT :limit)";

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    IMPORT,
    IS_DELETED,
    BURY,
    DELETE_SESSIONS,
    DELETE_FAILED,
    EMPTY_DELIVERED,
    FORGET_ORIGINS,
    FORGET_OWN_ORIGINS,
    DELETE,
    SESSIONS_OF,
    EVENTS_OF,
    SWEEP_EXPIRED,
    SWEEP_ENDED,
    SWEEP_REVOCATIONS,
    SWEEP_DELIVERED,
    SWEEP_GIVEN_UP,
    SWEEP_AUDIT,
];

fn import(connection: &Connection, user: &ImportedUser) -> Result<Imported, Fault> {
    let params = named_params! {
        ":id": user.id.as_uuid().into_bytes(),
        ":email": user.email.as_typed(),
        ":canonical": user.email.canonical(),
        ":password_hash": user.password_hash.as_str(),
        ":name": user.name.as_ref().map(Name::as_str),
        ":birthday": user.birthday.map(|day| day.to_string()),
        ":is_admin": user.is_admin,
        ":disabled": user.disabled,
        ":created_at": micros(user.created_at),
    };
    if execute(connection, IMPORT, params)? == 1 {
        return Ok(Imported::Stored);
    }
    if let Some(there) = users::by_email(connection, &user.email)? {
        let same = there.email.as_typed() == user.email.as_typed()
            && (!user.keeps_id || there.id == user.id);
        return Ok(if same {
            Imported::Present
        } else {
            Imported::EmailTaken
        });
    }
    let params = named_params! {":id": user.id.as_uuid().into_bytes()};
    let deleted: i64 = one(connection, IS_DELETED, params, scalar)?;
    Ok(if deleted > 0 {
        Imported::IdDeleted
    } else {
        Imported::IdTaken
    })
}

fn delete(
    connection: &Connection,
    user: UserId,
    now: OffsetDateTime,
) -> Result<Option<User>, Fault> {
    let Some(last) = users::by_id(connection, user)? else {
        return Ok(None);
    };
    let id = user.as_uuid().into_bytes();
    for sql in [
        DELETE_SESSIONS,
        DELETE_FAILED,
        EMPTY_DELIVERED,
        FORGET_ORIGINS,
        FORGET_OWN_ORIGINS,
        DELETE,
    ] {
        execute(connection, sql, named_params! {":id": id})?;
    }
    let params = named_params! {":id": id, ":now": micros(now)};
    execute(connection, BURY, params)?;
    Ok(Some(last))
}

fn sweep(
    connection: &Connection,
    table: Swept,
    before: OffsetDateTime,
    limit: u32,
) -> Result<u64, Fault> {
    let run = |sql, limit: u32| {
        let params = named_params! {":before": micros(before), ":limit": limit};
        execute(connection, sql, params)
    };
    // What the first statement leaves of the limit is the second's.
    let both = |one: Result<usize, Fault>, other: &dyn Fn(u32) -> Result<usize, Fault>| {
        let one = one?;
        let left = limit.saturating_sub(u32::try_from(one).unwrap_or(u32::MAX));
        Ok::<_, Fault>(one + other(left)?)
    };
    let deleted = match table {
        Swept::Sessions => both(run(SWEEP_EXPIRED, limit), &|left| run(SWEEP_ENDED, left))?,
        Swept::Revocations => run(SWEEP_REVOCATIONS, limit)?,
        Swept::Events => both(run(SWEEP_DELIVERED, limit), &|left| {
            run(SWEEP_GIVEN_UP, left)
        })?,
        Swept::Audit => run(SWEEP_AUDIT, limit)?,
    };
    Ok(deleted as u64)
}

#[async_trait]
impl LifecycleWrites for SqliteTx {
    async fn import_users(&mut self, users: &[ImportedUser]) -> Result<Vec<Imported>, StoreError> {
        let users = users.to_vec();
        self.step(move |connection| users.iter().map(|user| import(connection, user)).collect())
            .await
    }

    async fn delete_user(
        &mut self,
        user: UserId,
        now: OffsetDateTime,
    ) -> Result<Option<User>, StoreError> {
        self.step(move |connection| delete(connection, user, now))
            .await
    }
}

#[async_trait]
impl UserDataReads for SqliteStore {
    async fn sessions_of(
        &self,
        user: UserId,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<Session>, StoreError> {
        self.read(move |connection| {
            // No id is below the empty one.
            let after = after.map(|id| id.as_uuid().into_bytes().to_vec());
            let params = named_params! {
                ":user": user.as_uuid().into_bytes(),
                ":after": after.unwrap_or_default(),
                ":limit": limit,
            };
            all(connection, SESSIONS_OF, params, codec::session)
        })
        .await
    }

    async fn events_of(
        &self,
        user: UserId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<UserEvent>, StoreError> {
        self.read(move |connection| {
            let params = named_params! {
                ":user": user.as_uuid().into_bytes(),
                ":after": after,
                ":limit": limit,
            };
            all(connection, EVENTS_OF, params, codec::user_event)
        })
        .await
    }
}

#[async_trait]
impl JanitorStore for SqliteStore {
    async fn sweep(
        &self,
        table: Swept,
        before: OffsetDateTime,
        limit: u32,
    ) -> Result<u64, StoreError> {
        self.write(move |connection| sweep(connection, table, before, limit))
            .await
    }
}
