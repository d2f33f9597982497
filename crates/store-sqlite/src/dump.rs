//! Everything that is stored, for moving it to another store.

use std::{
    fs::{self, File},
    net::IpAddr,
    path::Path,
};

use async_trait::async_trait;
use rusqlite::{
    Connection, Row as Stored, params_from_iter,
    types::{Value, ValueRef},
};
use sso_core::ports::{
    StoreError,
    dump::{Cell, DumpSource, Kind, Row, Table},
};
use time::{Date, macros::format_description};
use uuid::Uuid;

use crate::{
    Limits, MigrationStatus, OpenError,
    codec::{micros, moment},
    connection,
    fault::Fault,
    folder::Folder,
    migrations,
    query::{one, scalar},
    reader::Readers,
};

const HOLD: &str = "BEGIN IMMEDIATE";

const KEYS: &str = "
    SELECT id, usage, algorithm, sealed, created_at, signs_from
    FROM keys WHERE id > ?1 ORDER BY id LIMIT ?2";
const RETIRED_KEYS: &str = "
    SELECT id, usage, algorithm, created_at, signs_from, retired_at
    FROM retired_keys WHERE id > ?1 ORDER BY id LIMIT ?2";
const TOKEN_LIVES: &str = "
    SELECT kind, longest FROM token_lives WHERE kind > ?1 ORDER BY kind LIMIT ?2";
const USERS: &str = "
    SELECT id, email, email_canonical, email_verified, password_hash, name, birthday, is_admin,
           disabled, version, sessions_from, created_at
    FROM users WHERE id > ?1 ORDER BY id LIMIT ?2";
const DELETED_USERS: &str = "
    SELECT id, deleted_at FROM deleted_users WHERE id > ?1 ORDER BY id LIMIT ?2";
const KNOWN_NETWORKS: &str = "
    SELECT user_id, network, since
    FROM known_networks WHERE (user_id, network) > (?1, ?2) ORDER BY user_id, network LIMIT ?3";
const SESSIONS: &str = "
    SELECT id, user_id, version, generation, created_at, rotated_at, expires_at, revoked_at,
           address, agent
    FROM sessions WHERE id > ?1 ORDER BY id LIMIT ?2";
const REVOCATIONS: &str = "
    SELECT id, kind, subject, version, until
    FROM revocations WHERE id > ?1 ORDER BY id LIMIT ?2";
const OUTBOX: &str = "
    SELECT sequence, id, user_id, shard, kind, payload, status, attempts, traceparent, tracestate,
           created_at, delivered_at, skipped_at
    FROM outbox WHERE sequence > ?1 ORDER BY sequence LIMIT ?2";
const AUDIT: &str = "
    SELECT sequence, at, action, result, actor, actor_id, actor_name, user_id, session_id, address,
           agent, times, detail
    FROM audit WHERE sequence > ?1 ORDER BY sequence LIMIT ?2";

/// Rows of a table by primary key, after the one that has this key.
const fn page(table: Table) -> &'static str {
    match table {
        Table::Keys => KEYS,
        Table::RetiredKeys => RETIRED_KEYS,
        Table::TokenLives => TOKEN_LIVES,
        Table::Users => USERS,
        Table::DeletedUsers => DELETED_USERS,
        Table::KnownNetworks => KNOWN_NETWORKS,
        Table::Sessions => SESSIONS,
        Table::Revocations => REVOCATIONS,
        Table::Outbox => OUTBOX,
        Table::Audit => AUDIT,
    }
}

const fn count(table: Table) -> &'static str {
    match table {
        Table::Keys => "SELECT count(*) FROM keys",
        Table::RetiredKeys => "SELECT count(*) FROM retired_keys",
        Table::TokenLives => "SELECT count(*) FROM token_lives",
        Table::Users => "SELECT count(*) FROM users",
        Table::DeletedUsers => "SELECT count(*) FROM deleted_users",
        Table::KnownNetworks => "SELECT count(*) FROM known_networks",
        Table::Sessions => "SELECT count(*) FROM sessions",
        Table::Revocations => "SELECT count(*) FROM revocations",
        Table::Outbox => "SELECT count(*) FROM outbox",
        Table::Audit => "SELECT count(*) FROM audit",
    }
}

/// A database that nobody serves and nobody changes while this lives.
pub struct Source {
    // Before the lock: the folder is free when nothing uses it any more.
    reader: Readers,
    folder: Folder,
    _serving: File,
}

impl Source {
    /// Takes the place of the server and of whoever writes; the schema must be this program's. A
    /// database that was copied before can be copied again.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let folder = Folder::at(folder);
        let file = folder.database();
        if fs::metadata(&file).map_or(true, |metadata| metadata.len() == 0) {
            return Err(OpenError::Absent {
                folder: folder.path().to_owned(),
            });
        }
        let serving = folder.lock_to_copy()?;
        let of = |fault| OpenError::of(file.clone(), fault);
        let mut connection = connection::writer(&file).map_err(of)?;
        migrations::prepare(&mut connection, &file, false)?;
        let MigrationStatus {
            current, latest, ..
        } = MigrationStatus::of(folder.path())?;
        if current > latest {
            // It may hold what this program does not know, and would leave behind.
            return Err(OpenError::Newer {
                file,
                found: current,
                needed: current,
                known: latest,
            });
        }
        connection
            .execute_batch(HOLD)
            .map_err(|error| of(error.into()))?;
        let reader = Readers::start("sqlite-dump", vec![connection], &Limits::default());
        let reader = reader.map_err(|source| OpenError::Unavailable {
            file,
            source: source.into(),
        })?;
        Ok(Self {
            reader,
            folder,
            _serving: serving,
        })
    }

    /// Everything is in `to` now: from now on nobody works on this one.
    pub fn mark_moved(&self, to: &str) -> Result<(), OpenError> {
        self.folder.mark_moved(to)
    }
}

#[async_trait]
impl DumpSource for Source {
    async fn count(&self, table: Table) -> Result<u64, StoreError> {
        let read = move |connection: &Connection| one(connection, count(table), [], scalar::<i64>);
        Ok(self.reader.read(read).await?.unsigned_abs())
    }

    async fn page(
        &self,
        table: Table,
        after: Option<&[Cell]>,
        limit: u32,
    ) -> Result<Vec<Row>, StoreError> {
        let mut params: Vec<_> = match after {
            Some(key) => key.iter().map(value).collect(),
            None => table.columns()[..table.key_columns()]
                .iter()
                .map(|(_, kind)| least(*kind))
                .collect(),
        };
        params.push(Value::from(limit));
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(page(table))?;
            let mut rows = statement.query(params_from_iter(params))?;
            let mut page = Vec::new();
            while let Some(stored) = rows.next()? {
                page.push(row(table, stored)?);
            }
            Ok(page)
        };
        self.reader.read(read).await
    }
}

/// Below every key of this kind.
const fn least(kind: Kind) -> Value {
    match kind {
        Kind::Text => Value::Text(String::new()),
        Kind::Id | Kind::Network | Kind::Bytes => Value::Blob(Vec::new()),
        _ => Value::Integer(i64::MIN),
    }
}

fn value(cell: &Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Bool(yes) => Value::from(*yes),
        Cell::Integer(number) => Value::Integer(*number),
        Cell::Network(bits) => Value::Blob(bits.to_be_bytes().to_vec()),
        Cell::Text(text) => Value::Text(text.clone()),
        Cell::Bytes(bytes) => Value::Blob(bytes.clone()),
        Cell::Id(id) => Value::Blob(id.as_bytes().to_vec()),
        Cell::Time(time) => Value::Integer(micros(*time)),
        Cell::Day(day) => Value::Text(day.to_string()),
        Cell::Address(address) => Value::Text(address.to_string()),
    }
}

fn row(table: Table, stored: &Stored<'_>) -> Result<Row, Fault> {
    let cells = table.columns().iter().enumerate();
    let cells = cells.map(|(at, (name, kind))| {
        cell(*kind, stored.get_ref(at)?)
            .transpose()
            .unwrap_or(Err(Fault::Undecodable(name)))
    });
    Ok(Row(cells.collect::<Result<_, _>>()?))
}

/// `None`: it is none of this kind.
fn cell(kind: Kind, value: ValueRef<'_>) -> Result<Option<Cell>, Fault> {
    let text = |bytes| std::str::from_utf8(bytes).ok();
    Ok(match (kind, value) {
        (_, ValueRef::Null) => Some(Cell::Null),
        (Kind::Bool, ValueRef::Integer(number)) => Some(Cell::Bool(number != 0)),
        (Kind::Integer, ValueRef::Integer(number)) => Some(Cell::Integer(number)),
        (Kind::Time, ValueRef::Integer(number)) => Some(Cell::Time(moment("time", number)?)),
        (Kind::Text, ValueRef::Text(bytes)) => text(bytes).map(|text| Cell::Text(text.to_owned())),
        (Kind::Bytes, ValueRef::Blob(bytes)) => Some(Cell::Bytes(bytes.to_vec())),
        (Kind::Id, ValueRef::Blob(bytes)) => Uuid::from_slice(bytes).ok().map(Cell::Id),
        (Kind::Network, ValueRef::Blob(bytes)) => bytes
            .try_into()
            .ok()
            .map(|bits| Cell::Network(u64::from_be_bytes(bits))),
        (Kind::Day, ValueRef::Text(bytes)) => text(bytes)
            .and_then(|text| Date::parse(text, format_description!("[year]-[month]-[day]")).ok())
            .map(Cell::Day),
        (Kind::Address, ValueRef::Text(bytes)) => text(bytes)
            .and_then(|text| text.parse::<IpAddr>().ok())
            .map(Cell::Address),
        _ => None,
    })
}

#[cfg(test)]
pub(crate) fn statements() -> impl Iterator<Item = &'static str> {
    let tables = Table::ALL.into_iter();
    tables.flat_map(|table| [page(table), count(table)])
}

#[cfg(test)]
#[path = "dump_tests.rs"]
mod tests;
