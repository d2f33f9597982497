//! What became of a COMMIT whose answer was lost.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::Error;

use super::{Connection, Role, Servers, Unanswered, deadline::by_itself};

/// Between two questions whether a transaction is still under way.
const AGAIN: Duration = Duration::from_millis(50);

/// A transaction that was sent a COMMIT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The cluster's system identifier.
    pub system: i64,
    /// The timeline it ran on: another one uses its number again.
    pub timeline: u32,
    /// `pg_current_xact_id()::text` in the transaction.
    pub xid: String,
    /// It counts only where a failover does not lose it: on the standby that commits wait for.
    pub durable: bool,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is done: answer so.
    Committed,
    /// It is not, and never will be: it may be done again, with the same ids.
    NotCommitted,
    /// Nobody can say: the store is unavailable.
    Unknown,
}

/// Whether what the transaction wrote is there.
pub type Find<'f> =
    dyn for<'a> Fn(&'a Connection) -> BoxFuture<'a, Result<bool, Error>> + Send + Sync + 'f;

/// A commit of its own that waits for the standby, whatever the operator has chosen: what is visible
/// before it is there too. Reading alone shows what a deposed primary, or one whose wait was
/// cancelled, has and nobody else.
const CONFIRM: &str = "
    SELECT set_config('synchronous_commit', 'on', true)
    WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write');
    SELECT pg_logical_emit_message(true, 'sso', '')";

const STATUS: &str = "select pg_xact_status($1::text::xid8)";

impl Ticket {
    /// For a transaction on `connection`; `None`: that is no primary.
    pub fn of(connection: &Connection, xid: String, durable: bool) -> Option<Self> {
        let identity = connection.identity();
        let Role::Primary { timeline } = identity.role else {
            return None;
        };
        Some(Self {
            system: identity.system,
            timeline,
            xid,
            durable,
        })
    }

    /// Asks the primary, for `within` at most. On the timeline of the transaction the server knows
    /// what became of it. After a failover its number may be another's: then `find` looks for what
    /// it wrote, by ids that were generated for it and are nobody else's.
    pub async fn outcome(&self, servers: &Servers, within: Duration, find: &Find<'_>) -> Outcome {
        let deadline = Instant::now() + within;
        loop {
            // Large, and seldom needed.
            let asked = by_itself(Box::pin(self.ask(servers, find)));
            match timeout_at(deadline, asked).await {
                Err(_) => return Outcome::Unknown,
                Ok(Some(outcome)) => return outcome,
                Ok(None) if Instant::now() + AGAIN >= deadline => return Outcome::Unknown,
                Ok(None) => sleep(AGAIN).await,
            }
        }
    }

    /// `None`: not known yet.
    async fn ask(&self, servers: &Servers, find: &Find<'_>) -> Option<Outcome> {
        let connection = servers.primary().await.ok()?;
        let identity = connection.identity().clone();
        let Role::Primary { timeline } = identity.role else {
            return None;
        };
        if identity.system != self.system || timeline < self.timeline {
            return Some(Outcome::Unknown);
        }
        let answer = if timeline == self.timeline {
            self.status(&connection).await
        } else {
            let unanswered = Unanswered::on(&connection);
            let found = find(&connection).await;
            unanswered.answered();
            found.map(|found| Some(of(found)))
        };
        let answer = match answer {
            Ok(Some(Outcome::Committed)) if self.durable => confirm(&connection).await,
            answer => answer,
        };
        answer.unwrap_or_else(|error| {
            connection.failed(&error);
            None
        })
    }

    async fn status(&self, connection: &Connection) -> Result<Option<Outcome>, Error> {
        let unanswered = Unanswered::on(connection);
        let answer = async {
            let statement = connection.prepare_cached(STATUS).await?;
            connection.query_one(&statement, &[&self.xid]).await
        };
        let answer = answer.await;
        unanswered.answered();
        let row = answer?;
        Ok(match row.try_get::<_, Option<&str>>(0)? {
            Some("committed") => Some(Outcome::Committed),
            Some("aborted") => Some(Outcome::NotCommitted),
            // Its session may still be waiting for a standby.
            Some("in progress") => None,
            // So old that the server has forgotten it.
            _ => Some(Outcome::Unknown),
        })
    }
}

/// Over the connection that has shown it: another one may lead elsewhere.
async fn confirm(connection: &Connection) -> Result<Option<Outcome>, Error> {
    let warnings = connection.warnings();
    let unanswered = Unanswered::on(connection);
    let answer = connection.batch_execute(CONFIRM).await;
    unanswered.answered();
    answer?;
    if connection.warnings() == warnings {
        return Ok(Some(Outcome::Committed));
    }
    // Somebody has ended its wait.
    connection.evict();
    Ok(None)
}

const fn of(found: bool) -> Outcome {
    if found {
        Outcome::Committed
    } else {
        Outcome::NotCommitted
    }
}
