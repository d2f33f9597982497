//! COMMIT, and what became of one whose answer was lost.

use futures_util::future::{self, BoxFuture};
use sso_telemetry::statements::Family;
use tokio_postgres::{Error, Statement};
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    audit,
    error::Fault,
    query::{Params, SYSTEM, within},
    servers::{Connection, Outcome, Ticket},
    store::Shared,
    tx::{PostgresTx, State},
};

/// The driver drops the tag of COMMIT, and the COMMIT of a transaction in which a statement failed
/// looks like a success. The statement before it fails then, and COMMIT is not executed.
const COMMIT: &str = "SELECT 1; COMMIT";

/// The same where the operator lets commits go unflushed or unreplicated: this one waits. What he
/// set beyond `on` stays. The message makes it wait also where it has only looked, at what somebody
/// else's commit may have brought no standby yet: a commit that wrote nothing waits for nothing.
const COMMIT_DURABLY: &str = "
    SELECT set_config('synchronous_commit', 'on', true)
    WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write');
    SELECT pg_logical_emit_message(true, 'sso', '');
    COMMIT";

const HAS_USER: &str = "SELECT EXISTS (SELECT 1 FROM users WHERE id = $1)";
const HAS_SESSION: &str = "SELECT EXISTS (SELECT 1 FROM sessions WHERE id = $1)";
const HAS_EVENT: &str = "SELECT EXISTS (SELECT 1 FROM outbox WHERE id = $1)";
const HAS_REVOCATION: &str = "SELECT EXISTS (SELECT 1 FROM revocations WHERE id = $1)";

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[HAS_USER, HAS_SESSION, HAS_EVENT, HAS_REVOCATION];

/// A row that only this transaction can have written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Witness {
    User(Uuid),
    Session(Uuid),
    Event(Uuid),
    Revocation(i64),
}

impl Witness {
    async fn is_there(self, connection: &Connection) -> Result<bool, Error> {
        let sql = match self {
            Self::User(_) => HAS_USER,
            Self::Session(_) => HAS_SESSION,
            Self::Event(_) => HAS_EVENT,
            Self::Revocation(_) => HAS_REVOCATION,
        };
        let statement = connection.prepare_cached(sql).await?;
        let row = match self {
            Self::User(id) | Self::Session(id) | Self::Event(id) => {
                connection.query_one(&statement, &[&id]).await?
            }
            Self::Revocation(id) => connection.query_one(&statement, &[&id]).await?,
        };
        row.try_get(0)
    }
}

/// Looks for it; without one nothing is found.
fn find(
    witness: Option<Witness>,
) -> impl for<'a> Fn(&'a Connection) -> BoxFuture<'a, Result<bool, Error>> + Send + Sync {
    move |connection| {
        Box::pin(async move {
            match witness {
                Some(witness) => witness.is_there(connection).await,
                None => Ok(false),
            }
        })
    }
}

/// A COMMIT whose answer was lost with its connection.
pub(crate) struct Lost {
    ticket: Option<Ticket>,
    witness: Option<Witness>,
    fault: Fault,
}

impl Lost {
    /// What became of it. To be asked when the lost connection was given back: its place in the pool
    /// is one that this question wants, and so do all the others that were lost with it.
    pub(crate) async fn look_up(self, shared: &Shared) -> Result<(), Fault> {
        let Some(ticket) = self.ticket else {
            return Err(self.fault);
        };
        let find = find(self.witness);
        let outcome = ticket.outcome(&shared.servers, shared.limits.lookup, &find);
        match outcome.await {
            Outcome::Committed => Ok(()),
            Outcome::NotCommitted if self.witness.is_some() => Err(Fault::CommitLost),
            // On another timeline, and nothing to find it by.
            Outcome::NotCommitted | Outcome::Unknown => {
                Err(Fault::Unconfirmed("its answer was lost"))
            }
        }
    }
}

impl PostgresTx {
    /// The records that nobody waited for, and COMMIT, in one round trip. `Some`: it must be looked
    /// up what became of it.
    pub(crate) async fn finish(&mut self) -> Result<Option<Lost>, Fault> {
        let ticket = self
            .xid
            .take()
            .and_then(|xid| Ticket::of(&self.connection, xid, self.durable));
        let warnings = self.connection.warnings();
        let seen = Family::COMMIT.start(SYSTEM);
        let answer = self.send_commit().instrument(seen.span().clone()).await;
        let answer = seen.end(answer);
        if self.connection.warnings() != warnings {
            self.connection.evict();
            return Err(Fault::Unconfirmed("the wait for a standby was cancelled"));
        }
        match answer {
            Ok(()) => {
                self.state = State::Over;
                Ok(None)
            }
            Err(fault @ Fault::Silent(_)) => {
                tracing::warn!("a COMMIT was not answered in time: nobody knows what became of it");
                Err(fault)
            }
            Err(fault) if fault.is_severed() => Ok(Some(Lost {
                ticket,
                witness: self.witness,
                fault,
            })),
            // PostgreSQL says that it did not, and has rolled back or waits for it.
            Err(fault) => {
                self.state = State::Failed;
                Err(fault.before_commit())
            }
        }
    }

    async fn send_commit(&mut self) -> Result<(), Fault> {
        let commit = if self.durable { COMMIT_DURABLY } else { COMMIT };
        let limit = self.shared.limits.commit;
        let records = std::mem::take(&mut self.audits);
        if records.is_empty() {
            self.state = State::UnderWay;
            return within(
                &self.connection,
                limit,
                self.connection.batch_execute(commit),
            )
            .await;
        }
        let append = self.connection.prepare_cached(audit::APPEND);
        let append = within(&self.connection, self.shared.patience, append).await?;
        self.state = State::UnderWay;
        let columns = audit::Columns::of(&records);
        let params = columns.params();
        let sent = self.append_and_commit(&append, &params, commit);
        within(&self.connection, limit, sent).await
    }

    async fn append_and_commit(
        &self,
        append: &Statement,
        params: Params<'_>,
        commit: &str,
    ) -> Result<(), Error> {
        let sent = future::join(
            self.connection.execute(append, params),
            self.connection.batch_execute(commit),
        );
        let (appended, committed) = sent.await;
        appended?;
        committed
    }
}
