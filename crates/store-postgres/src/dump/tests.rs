//! A migration that adds a table or a column says here whether a copy carries it.

use std::collections::BTreeSet;

use sso_core::ports::dump::Table;
use sso_testkit::servers::Postgres;
use tokio_postgres::{Column, NoTls};

use super::select;
use crate::migrations;

/// Of running servers and of this schema: no row of them moves.
const LEFT_BEHIND: [&str; 5] = [
    "compatibility",
    "readers",
    "refinery_schema_history",
    "sweeps",
    "timelines",
];

/// Columns of copied tables that a copy does not carry, and what they are in its rows.
const OF_THE_TARGET: [(&str, &str); 4] = [
    // For a delivery beside a deletion: the ids of the deleted, which are copied, say the same.
    ("outbox", "forget"),
    // Which transaction stored it, and on which timeline: those of the copy.
    ("revocations", "xid"),
    ("revocations", "timeline"),
    // What a failover would have to repeat: there was none that could have lost it.
    ("revocations", "effect"),
];

/// Seen red with a column more in `users`.
#[tokio::test]
async fn every_column_of_every_table_is_copied_or_is_known_not_to_be() {
    let server = Postgres::shared().await.unwrap();
    let url = server.database("dump_columns").await.unwrap();
    let (mut client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    migrations::migrate(&mut client).await.unwrap();

    let question = "SELECT table_name::text, column_name::text FROM information_schema.columns
                    WHERE table_schema = current_schema()";
    let rows = client.query(question, &[]).await.unwrap();
    let stored: BTreeSet<(String, String)> = rows
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .filter(|(table, _): &(String, String)| !LEFT_BEHIND.contains(&table.as_str()))
        .collect();
    let copied = Table::ALL.into_iter().flat_map(|table| {
        let columns = table.columns().iter();
        columns.map(move |(column, _)| (table.name(), *column))
    });
    let known: BTreeSet<_> = copied
        .chain(OF_THE_TARGET)
        .map(|(table, column)| (table.to_owned(), column.to_owned()))
        .collect();
    assert_eq!(stored, known);

    // In this order, or one would be stored as another.
    for table in Table::ALL {
        let read = client.prepare(select(table)).await.unwrap();
        let read: Vec<_> = read.columns().iter().map(Column::name).collect();
        let columns: Vec<_> = table.columns().iter().map(|(name, _)| *name).collect();
        assert_eq!(read, columns, "{}", table.name());
    }
}
