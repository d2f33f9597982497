//! Prepared statements, decoded rows. Each statement is prepared once per connection.

use std::time::Duration;

use sso_telemetry::statements::Family;
use tokio_postgres::{Row, types::ToSql};
use tracing::Instrument;

use crate::{
    codec::Columns,
    error::Fault,
    servers::{self, Connection, Unanswered},
};

/// `db.system.name` of spans.
pub(crate) const SYSTEM: &str = "postgresql";

/// Parameters of a statement, `$1` first.
pub(crate) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Reads the columns of a row in their order.
pub(crate) type Decode<T> = fn(&mut Columns<'_>) -> Result<T, Fault>;

/// Longest wait for an answer beyond what the server allows a statement: it is then cut off from
/// us, or frozen.
const MARGIN: Duration = Duration::from_secs(1);

/// How long a statement may take that the server ends after `statement_timeout`.
pub(crate) const fn patience(statement_timeout: Duration) -> Duration {
    statement_timeout.saturating_add(MARGIN)
}

/// Waits for an answer, for a while. A connection that is silent is closed; one whose answer nobody
/// waits for any more is not used again before it has answered: the statement may wait itself, for a
/// lock or for a standby, and whoever comes next would wait behind it.
pub(crate) async fn within<T>(
    connection: &Connection,
    patience: Duration,
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Fault> {
    if patience.is_zero() {
        // Nobody would wait for it: it is not sent, and the connection is as good as before.
        return Err(Fault::Silent(patience));
    }
    let unanswered = Unanswered::on(connection);
    let Ok(answer) = tokio::time::timeout(patience, answer).await else {
        connection.evict();
        return Err(Fault::Silent(patience));
    };
    unanswered.answered();
    answer.map_err(|error| Fault::of(connection, error))
}

/// All rows of a statement by itself.
pub(crate) async fn rows(
    connection: &Connection,
    patience: Duration,
    sql: &'static str,
    params: Params<'_>,
) -> Result<Vec<Row>, Fault> {
    let seen = Family::of(sql).start(SYSTEM);
    let answer = within(connection, servers::of_answer(patience), async {
        let statement = connection.prepare_cached(sql).await?;
        connection.query(&statement, params).await
    });
    let answer = answer.instrument(seen.span().clone()).await;
    seen.end(answer)
}

/// The first row, if there is one.
pub(crate) fn first<T>(rows: &[Row], decode: Decode<T>) -> Result<Option<T>, Fault> {
    rows.first()
        .map(|row| decode(&mut Columns::of(row)))
        .transpose()
}

/// Every row. The statement bounds how many there can be.
pub(crate) fn all<T>(rows: &[Row], decode: Decode<T>) -> Result<Vec<T>, Fault> {
    rows.iter()
        .map(|row| decode(&mut Columns::of(row)))
        .collect()
}

/// The only row, of a statement that always gives one.
pub(crate) fn one<T>(rows: &[Row], decode: Decode<T>) -> Result<T, Fault> {
    first(rows, decode)?.ok_or(Fault::Undecodable("a row that is always there"))
}
