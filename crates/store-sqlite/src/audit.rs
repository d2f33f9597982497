//! The audit log.

use async_trait::async_trait;
use rusqlite::{Connection, named_params};
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

use crate::{
    codec::{self, micros},
    fault::Fault,
    query::{all, execute},
    store::SqliteStore,
    tx::SqliteTx,
};

/// The address and the agent of somebody whose deletion was faster than the record are not written.
const APPEND: &str = "
    INSERT INTO audit (at, action, result, actor, actor_id, actor_name, user_id, session_id,
                       address, agent, times, detail)
    SELECT :at, :action, :result, :actor, :actor_id, :actor_name, :user, :session,
           CASE WHEN NOT gone.is_he THEN :address END, CASE WHEN NOT gone.is_he THEN :agent END,
           :times, :detail
    FROM (SELECT EXISTS (SELECT 1 FROM deleted_users WHERE id = :tells_of) AS is_he) AS gone";

const PAGE: &str = "
    SELECT * FROM audit
    WHERE sequence < :before AND at >= :since AND at < :until
      AND (:user IS NULL OR user_id = :user)
      AND (:actor IS NULL OR (actor = :actor AND actor_id IS :actor_id
                              AND actor_name IS :actor_name))
      AND (:action IS NULL OR action = :action)
      AND (:result IS NULL OR result = :result)
    ORDER BY sequence DESC LIMIT :limit";

/// The same for one user, so that his index is used.
const PAGE_OF_USER: &str = "
    SELECT * FROM audit
    WHERE user_id = :user AND sequence < :before AND at >= :since AND at < :until
      AND (:actor IS NULL OR (actor = :actor AND actor_id IS :actor_id
                              AND actor_name IS :actor_name))
      AND (:action IS NULL OR action = :action)
      AND (:result IS NULL OR result = :result)
    ORDER BY sequence DESC LIMIT :limit";

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[APPEND, PAGE, PAGE_OF_USER];

/// An actor as three columns.
fn columns(actor: &Actor) -> (&'static str, Option<[u8; 16]>, Option<&str>) {
    match actor {
        Actor::Anonymous => ("anonymous", None, None),
        Actor::User(id) => ("user", Some(id.as_uuid().into_bytes()), None),
        Actor::Operator => ("operator", None, None),
        Actor::Service(name) => ("service", None, Some(name)),
        Actor::System => ("system", None, None),
    }
}

pub(crate) fn append(connection: &Connection, record: &NewAudit) -> Result<(), Fault> {
    let (actor, actor_id, actor_name) = columns(&record.actor);
    let detail = record.detail.as_ref();
    let params = named_params! {
        ":at": micros(record.at),
        ":action": record.action.as_str(),
        ":result": record.result.as_str(),
        ":actor": actor,
        ":actor_id": actor_id,
        ":actor_name": actor_name,
        ":tells_of": record.tells_of().map(|id| id.as_uuid().into_bytes()),
        ":user": record.user.map(|id| id.as_uuid().into_bytes()),
        ":session": record.session.map(|id| id.as_uuid().into_bytes()),
        ":address": record.address.map(|address| address.to_string()),
        ":agent": record.agent.as_ref().map(Agent::as_str),
        ":times": record.times,
        ":detail": detail.map(|text| text.chars().take(MAX_DETAIL).collect::<String>()),
    };
    execute(connection, APPEND, params).map(|_| ())
}

fn page(connection: &Connection, page: &AuditPage) -> Result<Vec<AuditRecord>, Fault> {
    let actor = page.actor.as_ref().map(columns);
    let user = page.user.map(|id| id.as_uuid().into_bytes());
    let sql = if user.is_some() { PAGE_OF_USER } else { PAGE };
    let params = named_params! {
        ":before": page.before.unwrap_or(i64::MAX),
        ":since": page.since.map_or(i64::MIN, micros),
        ":until": page.until.map_or(i64::MAX, micros),
        ":user": user,
        ":actor": actor.map(|(kind, ..)| kind),
        ":actor_id": actor.and_then(|(_, id, _)| id),
        ":actor_name": actor.and_then(|(.., name)| name),
        ":action": page.action,
        ":result": page.result.map(AuditResult::as_str),
        ":limit": page.limit,
    };
    all(connection, sql, params, codec::audit)
}

#[async_trait]
impl AuditStore for SqliteStore {
    async fn audit(&self, of: &AuditPage) -> Result<Vec<AuditRecord>, StoreError> {
        let of = of.clone();
        self.read(move |connection| page(connection, &of)).await
    }
}

#[async_trait]
impl AuditWrites for SqliteTx {
    async fn append_audits(&mut self, records: &[NewAudit]) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        self.journal.note(records);
        let records = records.to_vec();
        self.step(move |connection| {
            records
                .iter()
                .try_for_each(|record| append(connection, record))
        })
        .await
    }
}
