//! Prepared statements, decoded rows.

use rusqlite::{Connection, Params, Row};
use sso_telemetry::statements::Family;

use crate::fault::Fault;

/// The first row, if there is one.
pub(crate) fn first<T>(
    connection: &Connection,
    sql: &'static str,
    params: impl Params,
    decode: fn(&Row<'_>) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    seen(sql, || {
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        rows.next()?.map(decode).transpose()
    })
}

/// Every row. The statement bounds how many there can be.
pub(crate) fn all<T>(
    connection: &Connection,
    sql: &'static str,
    params: impl Params,
    decode: fn(&Row<'_>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    seen(sql, || {
        let mut statement = connection.prepare_cached(sql)?;
        statement.query_and_then(params, decode)?.collect()
    })
}

/// The only row.
pub(crate) fn one<T>(
    connection: &Connection,
    sql: &'static str,
    params: impl Params,
    decode: fn(&Row<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    first(connection, sql, params, decode)?.ok_or(Fault::Sql(rusqlite::Error::QueryReturnedNoRows))
}

/// How many rows it changed.
pub(crate) fn execute(
    connection: &Connection,
    sql: &'static str,
    params: impl Params,
) -> Result<usize, Fault> {
    seen(sql, || {
        Ok(connection.prepare_cached(sql)?.execute(params)?)
    })
}

/// Runs a statement, with its span and its time.
fn seen<T>(sql: &'static str, run: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    let statement = Family::of(sql).start("sqlite");
    let result = statement.span().in_scope(run);
    statement.end(result)
}

/// The first column of a row.
pub(crate) fn scalar<T: rusqlite::types::FromSql>(row: &Row<'_>) -> Result<T, Fault> {
    Ok(row.get(0)?)
}
