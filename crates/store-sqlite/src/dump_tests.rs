//! A migration that adds a table or a column says here whether a copy carries it.

use std::collections::BTreeSet;

use super::*;

/// Of running servers and of this schema: no row of them moves.
const LEFT_BEHIND: [&str; 3] = ["compatibility", "readers", "refinery_schema_history"];

/// Seen red with a column more in `users`.
#[test]
fn every_column_of_every_table_is_copied_or_is_known_not_to_be() {
    let mut connection = Connection::open_in_memory().unwrap();
    migrations::run(&mut connection, Path::new("memory")).unwrap();
    let question = "SELECT t.name, c.name FROM pragma_table_list t, pragma_table_info(t.name) c
                    WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite_%'";
    let mut statement = connection.prepare(question).unwrap();
    let pairs = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    let stored: BTreeSet<(String, String)> = pairs
        .unwrap()
        .map(Result::unwrap)
        .filter(|(table, _): &(String, String)| !LEFT_BEHIND.contains(&table.as_str()))
        .collect();
    let copied: BTreeSet<_> = Table::ALL
        .into_iter()
        .flat_map(|table| {
            let columns = table.columns().iter();
            columns.map(move |(column, _)| (table.name().to_owned(), (*column).to_owned()))
        })
        .collect();
    assert_eq!(stored, copied);

    // In this order, or one would be stored as another.
    for table in Table::ALL {
        let statement = connection.prepare(page(table)).unwrap();
        let read: Vec<_> = statement.column_names().collect();
        let columns: Vec<_> = table.columns().iter().map(|(name, _)| *name).collect();
        assert_eq!(read, columns, "{}", table.name());
    }
}
