//! Import, deletion and export of users, and the janitor.

use async_trait::async_trait;
use sso_core::{
    ports::{
        StoreError,
        store::{
            Effect, Imported, ImportedUser, JanitorStore, LifecycleWrites, Session, Swept, User,
            UserDataReads, UserEvent,
        },
    },
    values::{Birthday, Name, SessionId, UserId},
};
use time::OffsetDateTime;

use crate::{
    codec::{self, session_columns, user_columns},
    commit::Witness,
    store::PostgresStore,
    tx::PostgresTx,
    users,
};

const IMPORT: &str = "
    INSERT INTO users (id, email, email_canonical, email_verified, password_hash, name, birthday,
                       is_admin, disabled, version, sessions_from, created_at)
    SELECT $1::uuid, $2, $3, false, $4, $5, $6, $7, $8, next_version(0), 0, $9
    WHERE NOT EXISTS (SELECT 1 FROM deleted_users WHERE id = $1)
    ON CONFLICT DO NOTHING
    RETURNING 1";

const IS_DELETED: &str = "SELECT EXISTS (SELECT 1 FROM deleted_users WHERE id = $1)";

/// Logins and whatever else writes of him come before, or find him gone.
const LOCK: &str = concat!(
    "SELECT ",
    user_columns!(),
    " FROM users u WHERE u.id = $1 FOR UPDATE"
);

const BURY: &str = "INSERT INTO deleted_users (id, deleted_at) VALUES ($1, $2)";

const DELETE_SESSIONS: &str = "DELETE FROM sessions WHERE user_id = $1";

const DELETE_FAILED: &str = "DELETE FROM outbox WHERE user_id = $1 AND status = 'Failed'";

/// Decided by each row as it is: a delivery may be reported at the same time.
const EMPTY_EVENTS: &str = "
    UPDATE outbox
    SET forget = true,
        payload = CASE WHEN status = 'Success' THEN ''::bytea ELSE payload END,
        traceparent = CASE WHEN status <> 'Success' THEN traceparent END,
        tracestate = CASE WHEN status <> 'Success' THEN tracestate END
    WHERE user_id = $1";

/// As [`NewAudit::tells_of`](sso_core::ports::store::NewAudit::tells_of) has it, but for what he did himself.
const FORGET_ORIGINS: &str = "
    UPDATE audit SET address = NULL, agent = NULL
    WHERE user_id = $1
      AND (actor = 'anonymous'
           OR actor = 'service'
           AND action IN ('register', 'login', 'refresh_reuse', 'refresh_replay', 'logout',
                      'logout_everywhere', 'session_end', 'password_change', 'throttle'))";

const FORGET_OWN_ORIGINS: &str = "
    UPDATE audit SET address = NULL, agent = NULL WHERE actor_id = $1";

const DELETE: &str = "DELETE FROM users WHERE id = $1";

const SESSIONS_OF: &str = concat!(
    "SELECT ",
    session_columns!(),
    " FROM sessions s WHERE s.user_id = $1 AND ($2::uuid IS NULL OR s.id > $2)
     ORDER BY s.id LIMIT $3"
);

const EVENTS_OF: &str = "
    SELECT sequence, id, kind, payload, status, attempts, created_at, delivered_at
    FROM outbox WHERE user_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3";

/// One janitor per cluster: the one who has this lock, for as long as the statement takes. The
/// others find nothing to do. Rows that somebody holds are left for the next time.
macro_rules! sweep {
    ($table:literal, $key:literal, $past:literal) => {
        sweep!($table, $key, $past, "1", "")
    };
    ($table:literal, $key:literal, $past:literal, $of_each:literal, $with:literal) => {
        concat!(
            "WITH gone AS (DELETE FROM ",
            $table,
            " WHERE ",
            $key,
            " = ANY (ARRAY(SELECT ",
            $key,
            " FROM ",
            $table,
            " WHERE (SELECT pg_try_advisory_xact_lock(8319405893841186817)) AND ",
            $past,
            " LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING ",
            $of_each,
            ")",
            $with,
            " SELECT count(*) FROM gone"
        )
    };
}

const SWEEP_EXPIRED: &str = sweep!("sessions", "id", "expires_at < $1");

const SWEEP_ENDED: &str = sweep!("sessions", "id", "revoked_at < $1");

/// How far it went is written down: what is missing later was swept, not lost. Never beyond a minute
/// ago by the server's clock: one that is ahead must not make what others commit now look swept.
const SWEEP_REVOCATIONS: &str = sweep!(
    "revocations",
    "id",
    "until < $1",
    "until",
    ", told AS (
        INSERT INTO sweeps (kind, until)
        SELECT 'revocations', least(max(until), now() - interval '1 minute')
        FROM gone HAVING count(*) > 0
        ON CONFLICT (kind) DO UPDATE SET until = greatest(sweeps.until, excluded.until))"
);

const SWEEP_DELIVERED: &str = sweep!(
    "outbox",
    "sequence",
    "status = 'Success' AND delivered_at < $1"
);

/// What was skipped is over as what is delivered; and nobody will mend and resend what tells of
/// somebody who is gone.
const SWEEP_GIVEN_UP: &str = sweep!(
    "outbox",
    "sequence",
    "status = 'Failed'
     AND (skipped_at < $1 OR EXISTS (SELECT 1 FROM deleted_users d WHERE d.id = user_id))"
);

const SWEEP_AUDIT: &str = sweep!("audit", "sequence", "at < $1");

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    IMPORT,
    IS_DELETED,
    LOCK,
    BURY,
    DELETE_SESSIONS,
    DELETE_FAILED,
    EMPTY_EVENTS,
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

impl PostgresTx {
    async fn import(&mut self, user: &ImportedUser) -> Result<Imported, StoreError> {
        let id = user.id.as_uuid();
        let stored = self
            .rows(
                IMPORT,
                &[
                    &id,
                    &user.email.as_typed(),
                    &user.email.canonical(),
                    &user.password_hash.as_str(),
                    &user.name.as_ref().map(Name::as_str),
                    &user.birthday.map(Birthday::date),
                    &user.is_admin,
                    &user.disabled,
                    &user.created_at,
                ],
            )
            .await?;
        if !stored.is_empty() {
            self.witness.get_or_insert(Witness::User(id));
            return Ok(Imported::Stored);
        }
        let canonical = user.email.canonical();
        let there = self
            .first(users::BY_EMAIL, &[&canonical], codec::user)
            .await?;
        if let Some(there) = there {
            let same = there.email.as_typed() == user.email.as_typed()
                && (!user.keeps_id || there.id == user.id);
            return Ok(if same {
                Imported::Present
            } else {
                Imported::EmailTaken
            });
        }
        let deleted = self.first(IS_DELETED, &[&id], codec::scalar).await?;
        Ok(if deleted == Some(true) {
            Imported::IdDeleted
        } else {
            Imported::IdTaken
        })
    }
}

#[async_trait]
impl LifecycleWrites for PostgresTx {
    async fn import_users(&mut self, users: &[ImportedUser]) -> Result<Vec<Imported>, StoreError> {
        self.durable = true;
        let mut done = Vec::with_capacity(users.len());
        for user in users {
            done.push(self.import(user).await?);
        }
        Ok(done)
    }

    async fn delete_user(
        &mut self,
        user: UserId,
        now: OffsetDateTime,
    ) -> Result<Option<User>, StoreError> {
        let id = user.as_uuid();
        self.durable = true;
        self.effect = Some(Effect::Delete);
        let Some(last) = self.first(LOCK, &[&id], codec::user).await? else {
            return Ok(None);
        };
        self.execute(BURY, &[&id, &now]).await?;
        for sql in [
            DELETE_SESSIONS,
            DELETE_FAILED,
            EMPTY_EVENTS,
            FORGET_ORIGINS,
            FORGET_OWN_ORIGINS,
            DELETE,
        ] {
            self.execute(sql, &[&id]).await?;
        }
        Ok(Some(last))
    }
}

#[async_trait]
impl UserDataReads for PostgresStore {
    async fn sessions_of(
        &self,
        user: UserId,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<Session>, StoreError> {
        let (user, after) = (user.as_uuid(), after.map(|id| id.as_uuid()));
        self.read_all(
            SESSIONS_OF,
            &[&user, &after, &i64::from(limit)],
            codec::session,
        )
        .await
    }

    async fn events_of(
        &self,
        user: UserId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<UserEvent>, StoreError> {
        let user = user.as_uuid();
        self.read_all(
            EVENTS_OF,
            &[&user, &after, &i64::from(limit)],
            codec::user_event,
        )
        .await
    }
}

impl PostgresStore {
    async fn sweep_with(
        &self,
        sql: &'static str,
        before: OffsetDateTime,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let rows = self.again(sql, &[&before, &i64::from(limit)]).await?;
        let gone = crate::query::one(&rows, codec::scalar::<i64>)?;
        Ok(u64::try_from(gone).unwrap_or(0))
    }

    /// What the first statement leaves of the limit is the second's.
    async fn sweep_both(
        &self,
        sql: [&'static str; 2],
        before: OffsetDateTime,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let gone = self.sweep_with(sql[0], before, limit).await?;
        let left = limit.saturating_sub(u32::try_from(gone).unwrap_or(u32::MAX));
        if left == 0 {
            return Ok(gone);
        }
        Ok(gone + self.sweep_with(sql[1], before, left).await?)
    }
}

#[async_trait]
impl JanitorStore for PostgresStore {
    async fn sweep(
        &self,
        table: Swept,
        before: OffsetDateTime,
        limit: u32,
    ) -> Result<u64, StoreError> {
        match table {
            Swept::Sessions => {
                self.sweep_both([SWEEP_EXPIRED, SWEEP_ENDED], before, limit)
                    .await
            }
            Swept::Revocations => self.sweep_with(SWEEP_REVOCATIONS, before, limit).await,
            Swept::Events => {
                self.sweep_both([SWEEP_DELIVERED, SWEEP_GIVEN_UP], before, limit)
                    .await
            }
            Swept::Audit => self.sweep_with(SWEEP_AUDIT, before, limit).await,
        }
    }
}
