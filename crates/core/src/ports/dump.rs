//! Everything that a store holds, as plain rows: what it takes to move to another store.
//!
//! No use case sees these: they know no rule of a lifecycle. A row has the same cells whatever the
//! database writes them as, so two stores hold the same where their rows have the same
//! [`Row::canonical`] forms.

use std::{fmt, net::IpAddr};

use async_trait::async_trait;
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::StoreError;

/// What is moved, in an order in which nobody comes before whom he belongs to. What is of running
/// servers only, who obeys and who listens, is left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    /// The signing keys, sealed.
    Keys,
    /// Keys that sign nothing any more.
    RetiredKeys,
    /// How long tokens were made to live.
    TokenLives,
    /// Users.
    Users,
    /// Ids that never come back.
    DeletedUsers,
    /// Where users have signed in from.
    KnownNetworks,
    /// Sessions.
    Sessions,
    /// What is over, while it still matters.
    Revocations,
    /// Events, delivered or not, in their order.
    Outbox,
    /// The audit log.
    Audit,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Yes or no.
    Bool,
    /// A number.
    Integer,
    /// The 64 bits of a network.
    Network,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// A UUID.
    Id,
    /// A time, to the microsecond.
    Time,
    /// A day.
    Day,
    /// An IP address.
    Address,
}

/// A column's value.
#[derive(Clone, PartialEq, Eq)]
pub enum Cell {
    /// None.
    Null,
    /// See [`Kind::Bool`].
    Bool(bool),
    /// See [`Kind::Integer`].
    Integer(i64),
    /// See [`Kind::Network`].
    Network(u64),
    /// See [`Kind::Text`].
    Text(String),
    /// See [`Kind::Bytes`].
    Bytes(Vec<u8>),
    /// See [`Kind::Id`].
    Id(Uuid),
    /// See [`Kind::Time`].
    Time(OffsetDateTime),
    /// See [`Kind::Day`].
    Day(Date),
    /// See [`Kind::Address`].
    Address(IpAddr),
}

/// The cells of a row, in the order of [`Table::columns`].
#[derive(Clone, PartialEq, Eq)]
pub struct Row(pub Vec<Cell>);

impl Table {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Keys,
        Self::RetiredKeys,
        Self::TokenLives,
        Self::Users,
        Self::DeletedUsers,
        Self::KnownNetworks,
        Self::Sessions,
        Self::Revocations,
        Self::Outbox,
        Self::Audit,
    ];

    /// Its name in every store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::RetiredKeys => "retired_keys",
            Self::TokenLives => "token_lives",
            Self::Users => "users",
            Self::DeletedUsers => "deleted_users",
            Self::KnownNetworks => "known_networks",
            Self::Sessions => "sessions",
            Self::Revocations => "revocations",
            Self::Outbox => "outbox",
            Self::Audit => "audit",
        }
    }

    /// Its columns, those of the primary key first.
    pub const fn columns(self) -> &'static [(&'static str, Kind)] {
        match self {
            Self::Keys => KEYS,
            Self::RetiredKeys => RETIRED_KEYS,
            Self::TokenLives => TOKEN_LIVES,
            Self::Users => USERS,
            Self::DeletedUsers => DELETED_USERS,
            Self::KnownNetworks => KNOWN_NETWORKS,
            Self::Sessions => SESSIONS,
            Self::Revocations => REVOCATIONS,
            Self::Outbox => OUTBOX,
            Self::Audit => AUDIT,
        }
    }

    /// How many of its columns are its primary key.
    pub const fn key_columns(self) -> usize {
        match self {
            Self::KnownNetworks => 2,
            _ => 1,
        }
    }
}

type Columns = &'static [(&'static str, Kind)];

const KEYS: Columns = &[
    ("id", Kind::Text),
    ("usage", Kind::Text),
    ("algorithm", Kind::Text),
    ("sealed", Kind::Bytes),
    ("created_at", Kind::Time),
    ("signs_from", Kind::Time),
];
const RETIRED_KEYS: Columns = &[
    ("id", Kind::Text),
    ("usage", Kind::Text),
    ("algorithm", Kind::Text),
    ("created_at", Kind::Time),
    ("signs_from", Kind::Time),
    ("retired_at", Kind::Time),
];
const TOKEN_LIVES: Columns = &[("kind", Kind::Text), ("longest", Kind::Integer)];
const USERS: Columns = &[
    ("id", Kind::Id),
    ("email", Kind::Text),
    ("email_canonical", Kind::Text),
    ("email_verified", Kind::Bool),
    ("password_hash", Kind::Text),
    ("name", Kind::Text),
    ("birthday", Kind::Day),
    ("is_admin", Kind::Bool),
    ("disabled", Kind::Bool),
    ("version", Kind::Integer),
    ("sessions_from", Kind::Integer),
    ("created_at", Kind::Time),
];
const DELETED_USERS: Columns = &[("id", Kind::Id), ("deleted_at", Kind::Time)];
const KNOWN_NETWORKS: Columns = &[
    ("user_id", Kind::Id),
    ("network", Kind::Network),
    ("since", Kind::Time),
];
const SESSIONS: Columns = &[
    ("id", Kind::Id),
    ("user_id", Kind::Id),
    ("version", Kind::Integer),
    ("generation", Kind::Integer),
    ("created_at", Kind::Time),
    ("rotated_at", Kind::Time),
    ("expires_at", Kind::Time),
    ("revoked_at", Kind::Time),
    ("address", Kind::Address),
    ("agent", Kind::Text),
];
const REVOCATIONS: Columns = &[
    ("id", Kind::Integer),
    ("kind", Kind::Text),
    ("subject", Kind::Id),
    ("version", Kind::Integer),
    ("until", Kind::Time),
];
const OUTBOX: Columns = &[
    ("sequence", Kind::Integer),
    ("id", Kind::Id),
    ("user_id", Kind::Id),
    ("shard", Kind::Integer),
    ("kind", Kind::Text),
    ("payload", Kind::Bytes),
    ("status", Kind::Text),
    ("attempts", Kind::Integer),
    ("traceparent", Kind::Text),
    ("tracestate", Kind::Text),
    ("created_at", Kind::Time),
    ("delivered_at", Kind::Time),
    ("skipped_at", Kind::Time),
];
const AUDIT: Columns = &[
    ("sequence", Kind::Integer),
    ("at", Kind::Time),
    ("action", Kind::Text),
    ("result", Kind::Text),
    ("actor", Kind::Text),
    ("actor_id", Kind::Id),
    ("actor_name", Kind::Text),
    ("user_id", Kind::Id),
    ("session_id", Kind::Id),
    ("address", Kind::Address),
    ("agent", Kind::Text),
    ("times", Kind::Integer),
    ("detail", Kind::Text),
];

impl Cell {
    fn write(&self, out: &mut Vec<u8>) {
        let mut part = |tag: u8, bytes: &[u8]| {
            out.push(tag);
            out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
            out.extend_from_slice(bytes);
        };
        match self {
            Self::Null => part(0, &[]),
            Self::Bool(yes) => part(1, &[u8::from(*yes)]),
            Self::Integer(number) => part(2, &number.to_be_bytes()),
            Self::Network(bits) => part(3, &bits.to_be_bytes()),
            Self::Text(text) => part(4, text.as_bytes()),
            Self::Bytes(bytes) => part(5, bytes),
            Self::Id(id) => part(6, id.as_bytes()),
            Self::Time(time) => {
                let micros = time.unix_timestamp_nanos().div_euclid(1_000);
                part(7, &micros.to_be_bytes());
            }
            Self::Day(day) => part(8, &day.to_julian_day().to_be_bytes()),
            Self::Address(IpAddr::V4(address)) => part(9, &address.octets()),
            Self::Address(IpAddr::V6(address)) => part(10, &address.octets()),
        }
    }
}

/// Passwords' hashes, sealed keys, personal data: nothing of it is printed.
impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cell(..)")
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Row({} cells)", self.0.len())
    }
}

impl Row {
    /// The same bytes for the same row, whichever store it was read from, and others for any other:
    /// each cell's kind, length and value.
    pub fn canonical(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256);
        for cell in &self.0 {
            cell.write(&mut bytes);
        }
        bytes
    }

    /// The cells of the primary key.
    pub fn key(&self, table: Table) -> &[Cell] {
        &self.0[..table.key_columns().min(self.0.len())]
    }
}

/// Rows and what they amount to, whatever their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// How many.
    pub rows: u64,
    /// The sum of their digests.
    pub digest: [u8; 32],
}

/// How far a table was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Which table.
    pub table: Table,
    /// What was read, from the first row by primary key on.
    pub read: Tally,
    /// What was made of it.
    pub written: Tally,
}

/// The store that everything is read from. It stays as it is while this lives.
#[async_trait]
pub trait DumpSource: Send + Sync {
    /// How many rows a table has.
    async fn count(&self, table: Table) -> Result<u64, StoreError>;

    /// At most `limit` rows by primary key, after the one that has this key; the first ones without
    /// one.
    async fn page(
        &self,
        table: Table,
        after: Option<&[Cell]>,
        limit: u32,
    ) -> Result<Vec<Row>, StoreError>;
}

/// Why a target takes nothing.
#[derive(Debug, thiserror::Error)]
pub enum TargetRefused {
    /// It holds something that no copy has put there.
    #[error("it is not empty ({})", .0.join(", "))]
    NotEmpty(Vec<&'static str>),
    /// Another copy writes to it now.
    #[error("another copy to it is under way")]
    Busy,
    /// It does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The store that everything is written to. Nobody can serve it from [`DumpTarget::begin`] to
/// [`DumpTarget::finish`], whatever happens between them.
#[async_trait]
pub trait DumpTarget: Send {
    /// How far a copy came that was cut off; `None`: it is empty. Changes nothing.
    async fn look(&mut self) -> Result<Option<Vec<Progress>>, TargetRefused>;

    /// Takes it for a copy: the first, or the next try of one.
    async fn begin(&mut self) -> Result<(), TargetRefused>;

    /// Stores rows and how far the copy has come with them: both or neither.
    async fn write(&mut self, rows: &[Row], progress: &Progress) -> Result<(), StoreError>;

    /// Gives every row of a table to `each`, in any order.
    async fn read(
        &mut self,
        table: Table,
        each: &mut (dyn for<'r> FnMut(&'r Row) + Send),
    ) -> Result<(), StoreError>;

    /// Everything is there and was verified: it can be served.
    async fn finish(&mut self) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn rows_have_the_same_form_only_where_they_are_the_same() {
        let rows = [
            vec![Cell::Null],
            vec![Cell::Null, Cell::Null],
            vec![Cell::Text(String::new())],
            vec![Cell::Bytes(Vec::new())],
            vec![Cell::Text("ab".into()), Cell::Text("c".into())],
            vec![Cell::Text("a".into()), Cell::Text("bc".into())],
            vec![Cell::Integer(1)],
            vec![Cell::Network(1)],
            vec![Cell::Bool(true)],
            vec![Cell::Time(datetime!(1969-12-31 23:59:59.999999 UTC))],
            vec![Cell::Time(datetime!(1970-01-01 00:00:00 UTC))],
            vec![Cell::Address("1.2.3.4".parse().unwrap())],
            vec![Cell::Address("::ffff:1.2.3.4".parse().unwrap())],
        ]
        .map(|cells| Row(cells).canonical());
        for (at, row) in rows.iter().enumerate() {
            assert!(!rows[at + 1..].contains(row), "{at}");
        }
    }

    #[test]
    fn a_row_shows_nothing_of_what_it_holds() {
        let row = Row(vec![Cell::Text("$argon2id$secret".into())]);
        let shown = format!("{row:?} {:?}", row.0);
        assert!(!shown.contains("secret"), "{shown}");
    }
}
