//! The ledger: every change of a balance is a transfer of two entries that sum to zero, between an
//! account and the house.

mod observed;
mod postgres;
mod sqlite;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use sso_service::{
    Failed,
    database::{Opened, Schema, StoreError, forgotten, parked, sqlite::Role},
};
use time::OffsetDateTime;
use uuid::Uuid;

use self::{observed::Observed, postgres::InPostgres, sqlite::InSqlite};
use crate::config::Config;

/// Most points of one order.
pub(crate) const MOST_POINTS: i64 = 1_000_000_000_000;
/// Most points of one account: what every reader of JSON can hold (RFC 7493, section 2.2). The
/// migrations say it, too.
pub(crate) const MOST_BALANCE: i64 = 9_007_199_254_740_991;
/// The house's account, whose entries are the other half of everybody's.
const HOUSE: i64 = 1;

/// What became of the points of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credited {
    /// They are there now.
    Now,
    /// They were there.
    Before,
    /// The account cannot hold them.
    TooMuch,
    /// Nobody: the user is forgotten.
    Forgotten,
}

/// A deposit or a withdrawal.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// Whose account.
    pub(crate) user: Uuid,
    /// How many points it gets; negative: loses.
    pub(crate) points: i64,
    pub(crate) comment: String,
    /// Who wants it.
    pub(crate) by: Uuid,
    /// By what key its answer is found again.
    pub(crate) key: Option<String>,
}

impl Order {
    /// `d` or `w`.
    pub(crate) const fn operation(&self) -> &'static str {
        if self.points < 0 { "w" } else { "d" }
    }

    const fn kind(&self) -> &'static str {
        if self.points < 0 {
            "withdrawal"
        } else {
            "deposit"
        }
    }

    /// What must be the same where the key is.
    fn fingerprint(&self) -> String {
        format!("{} {} {}", self.user, self.points, self.comment)
    }
}

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Posted {
    /// It is done, and this is the balance after it.
    Done {
        balance: i64,
        /// By an earlier request of the same key.
        repeated: bool,
    },
    /// There are not so many points.
    Insufficient,
    /// The account cannot hold so many.
    TooMuch,
    /// There is no such account.
    Unknown,
    /// The key was used for another order.
    KeyReused,
}

impl Posted {
    /// As it is stored with a key: the balance, or a number that says why not.
    const fn stored(self) -> i64 {
        match self {
            Self::Done { balance, .. } => balance,
            Self::Insufficient => -1,
            Self::TooMuch => -2,
            Self::Unknown | Self::KeyReused => -3,
        }
    }

    const fn of_stored(number: i64) -> Self {
        match number {
            -1 => Self::Insufficient,
            -2 => Self::TooMuch,
            ..=-3 => Self::Unknown,
            balance => Self::Done {
                balance,
                repeated: true,
            },
        }
    }
}

/// A line of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Rises within an account.
    pub(crate) id: i64,
    pub(crate) at: OffsetDateTime,
    /// `welcome`, `deposit`, `withdrawal`.
    pub(crate) kind: String,
    /// Negative: they went.
    pub(crate) points: i64,
    pub(crate) comment: String,
    /// After it.
    pub(crate) balance: i64,
}

/// What a check has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checked {
    /// Of all entries: 0.
    pub(crate) sum: i64,
    /// That do not sum to zero: none.
    pub(crate) transfers: i64,
    /// Whose balance is not the sum of their entries, or negative: none.
    pub(crate) accounts: i64,
    /// How many entries there are.
    pub(crate) entries: i64,
}

impl Checked {
    /// Whether all is well.
    pub(crate) const fn is_good(&self) -> bool {
        self.sum == 0 && self.transfers == 0 && self.accounts == 0
    }
}

/// Keeps accounts.
#[async_trait]
pub(crate) trait Ledger: Send + Sync {
    /// Credits the points of an event, unless that has been done or the user is forgotten. The account
    /// is made if there is none.
    async fn credit(&self, event: Uuid, user: Uuid, points: i64) -> Result<Credited, StoreError>;

    /// Does what an order says, or nothing. A deposit makes the account if there is none.
    async fn post(&self, order: Order) -> Result<Posted, StoreError>;

    /// The balance of an account.
    async fn balance(&self, user: Uuid) -> Result<Option<i64>, StoreError>;

    /// Lines of an account, newest first, older than the line `before`; `None`: no such account.
    async fn lines(
        &self,
        user: Uuid,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Option<Vec<Line>>, StoreError>;

    /// Looks whether everything sums to zero, at one moment.
    async fn check(&self) -> Result<Checked, StoreError>;

    /// Forgets a person: his points go back to the house, his account has no owner any more, his
    /// comments and keys are deleted, and no event makes him one from now on. Whether there was one.
    async fn forget(&self, user: Uuid) -> Result<bool, StoreError>;

    /// Forgets keys that are older; so many at most. How many.
    async fn clean(&self, age: Duration, most: u32) -> Result<u64, StoreError>;

    /// Whether it answers.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// The tables.
pub(crate) const SCHEMA: Schema = Schema {
    program: "loyalty",
    sqlite: &[
        include_str!("../migrations/sqlite/1.sql"),
        parked::SQLITE,
        TRANSFERS_BY_USER,
        forgotten::SQLITE,
    ],
    postgres: &[
        include_str!("../migrations/postgres/1.sql"),
        parked::POSTGRES,
        TRANSFERS_BY_USER,
        forgotten::POSTGRES,
    ],
};

/// Both databases understand it.
const TRANSFERS_BY_USER: &str = include_str!("../migrations/3.sql");

/// Opens the database of a configuration.
pub(crate) async fn open(config: &Config, role: Role) -> Result<Opened, Failed> {
    SCHEMA.open(&config.database, &config.data_dir, role).await
}

/// The ledger in an open database.
pub(crate) fn of(opened: &Opened) -> Arc<dyn Ledger> {
    let ledger: Arc<dyn Ledger> = match opened.clone() {
        Opened::Postgres(pool) => Arc::new(InPostgres(pool)),
        Opened::Sqlite(sqlite) => Arc::new(InSqlite(sqlite)),
    };
    Arc::new(Observed(ledger, opened.clone()))
}
