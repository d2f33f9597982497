//! The audit log.

use std::net::IpAddr;

use async_trait::async_trait;
use sso_core::{
    Agent,
    ports::{
        StoreError,
        store::{
            Actor, AuditPage, AuditRecord, AuditResult, AuditStore, AuditWrites, MAX_DETAIL,
            NewAudit,
        },
    },
};
use time::OffsetDateTime;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::{codec, store::PostgresStore, tx::PostgresTx};

/// Any number of records in one statement. The address and the agent of somebody whose deletion was faster than
/// the record are not written.
macro_rules! append {
    ($where:literal) => {
        concat!(
            "INSERT INTO audit (at, action, result, actor, actor_id, actor_name, user_id,
                                session_id, address, agent, times, detail)
             SELECT r.at, r.action, r.result, r.actor, r.actor_id, r.actor_name, r.user_id,
                    r.session_id, CASE WHEN NOT gone.is_he THEN r.address END,
                    CASE WHEN NOT gone.is_he THEN r.agent END, r.times, r.detail
             FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::uuid[],
                         $6::text[], $7::uuid[], $8::uuid[], $9::inet[], $10::text[],
                         $11::bigint[], $12::text[], $13::uuid[])
                  AS r (at, action, result, actor, actor_id, actor_name, user_id, session_id,
                        address, agent, times, detail, tells_of)
             CROSS JOIN LATERAL (SELECT EXISTS (
                 SELECT 1 FROM deleted_users d WHERE d.id = r.tells_of)) AS gone (is_he)",
            $where
        )
    };
}

pub(crate) const APPEND: &str = append!("");

/// The same, if this session ($14) is there.
pub(crate) const APPEND_OF_SESSION: &str =
    append!(" WHERE EXISTS (SELECT 1 FROM sessions WHERE id = $14)");

const PAGE: &str = "
    SELECT sequence, at, action, result, actor, actor_id, actor_name, user_id, session_id, address,
           agent, times, detail
    FROM audit
    WHERE ($1::bigint IS NULL OR sequence < $1)
      AND ($2::timestamptz IS NULL OR at >= $2) AND ($3::timestamptz IS NULL OR at < $3)
      AND ($4::uuid IS NULL OR user_id = $4)
      AND ($5::text IS NULL OR (actor = $5 AND actor_id IS NOT DISTINCT FROM $6::uuid
                                AND actor_name IS NOT DISTINCT FROM $7::text))
      AND ($8::text IS NULL OR action = $8)
      AND ($9::text IS NULL OR result = $9)
    ORDER BY sequence DESC LIMIT $10";

/// The same for one user, so that his index is used.
const PAGE_OF_USER: &str = "
    SELECT sequence, at, action, result, actor, actor_id, actor_name, user_id, session_id, address,
           agent, times, detail
    FROM audit
    WHERE ($1::bigint IS NULL OR sequence < $1)
      AND ($2::timestamptz IS NULL OR at >= $2) AND ($3::timestamptz IS NULL OR at < $3)
      AND user_id = $4::uuid
      AND ($5::text IS NULL OR (actor = $5 AND actor_id IS NOT DISTINCT FROM $6::uuid
                                AND actor_name IS NOT DISTINCT FROM $7::text))
      AND ($8::text IS NULL OR action = $8)
      AND ($9::text IS NULL OR result = $9)
    ORDER BY sequence DESC LIMIT $10";

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[APPEND, APPEND_OF_SESSION, PAGE, PAGE_OF_USER];

/// Most records that wait in a transaction for its next step.
const MAX_WAITING: usize = 256;

/// An actor as three columns.
fn of_actor(actor: &Actor) -> (&'static str, Option<Uuid>, Option<&str>) {
    match actor {
        Actor::Anonymous => ("anonymous", None, None),
        Actor::User(id) => ("user", Some(id.as_uuid()), None),
        Actor::Operator => ("operator", None, None),
        Actor::Service(name) => ("service", None, Some(name)),
        Actor::System => ("system", None, None),
    }
}

/// Records as the arrays of [`APPEND`].
#[derive(Default)]
pub(crate) struct Columns<'a> {
    at: Vec<OffsetDateTime>,
    action: Vec<&'static str>,
    result: Vec<&'static str>,
    actor: Vec<&'static str>,
    actor_id: Vec<Option<Uuid>>,
    actor_name: Vec<Option<&'a str>>,
    user: Vec<Option<Uuid>>,
    session: Vec<Option<Uuid>>,
    address: Vec<Option<IpAddr>>,
    agent: Vec<Option<&'a str>>,
    times: Vec<i64>,
    detail: Vec<Option<String>>,
    tells_of: Vec<Option<Uuid>>,
}

impl<'a> Columns<'a> {
    pub(crate) fn of(records: &'a [NewAudit]) -> Self {
        let mut columns = Self::default();
        for record in records {
            let (actor, actor_id, actor_name) = of_actor(&record.actor);
            let detail = record.detail.as_ref();
            columns.at.push(record.at);
            columns.action.push(record.action.as_str());
            columns.result.push(record.result.as_str());
            columns.actor.push(actor);
            columns.actor_id.push(actor_id);
            columns.actor_name.push(actor_name);
            columns.user.push(record.user.map(|id| id.as_uuid()));
            columns.session.push(record.session.map(|id| id.as_uuid()));
            columns.address.push(record.address);
            columns.agent.push(record.agent.as_ref().map(Agent::as_str));
            columns.times.push(i64::from(record.times));
            columns
                .tells_of
                .push(record.tells_of().map(|id| id.as_uuid()));
            columns
                .detail
                .push(detail.map(|text| text.chars().take(MAX_DETAIL).collect()));
        }
        columns
    }

    pub(crate) fn params(&self) -> [&(dyn ToSql + Sync); 13] {
        [
            &self.at,
            &self.action,
            &self.result,
            &self.actor,
            &self.actor_id,
            &self.actor_name,
            &self.user,
            &self.session,
            &self.address,
            &self.agent,
            &self.times,
            &self.detail,
            &self.tells_of,
        ]
    }
}

#[async_trait]
impl AuditStore for PostgresStore {
    async fn audit(&self, page: &AuditPage) -> Result<Vec<AuditRecord>, StoreError> {
        let actor = page.actor.as_ref().map(of_actor);
        let user = page.user.map(|id| id.as_uuid());
        let sql = if user.is_some() { PAGE_OF_USER } else { PAGE };
        self.read_all(
            sql,
            &[
                &page.before,
                &page.since,
                &page.until,
                &user,
                &actor.map(|(kind, ..)| kind),
                &actor.and_then(|(_, id, _)| id),
                &actor.and_then(|(.., name)| name),
                &page.action,
                &page.result.map(AuditResult::as_str),
                &i64::from(page.limit),
            ],
            codec::audit,
        )
        .await
    }
}

#[async_trait]
impl AuditWrites for PostgresTx {
    /// Nobody waits for them: they are sent with the COMMIT, which fails with them.
    async fn append_audits(&mut self, records: &[NewAudit]) -> Result<(), StoreError> {
        self.journal.note(records);
        self.audits.extend_from_slice(records);
        if self.audits.len() > MAX_WAITING {
            self.flush_audits().await?;
        }
        Ok(())
    }
}
