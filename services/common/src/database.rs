//! Where a service stores what it must not forget.

pub mod forgotten;
pub mod parked;
pub mod postgres;
mod schema;
pub mod sqlite;

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sso_config::{
    Rules, duration,
    remote::Credential,
    values::{Misshapen, Shape, Text, text},
};
use sso_telemetry::statements::ErrorType;
use zeroize::Zeroizing;

pub use self::schema::{Migrations, Opened, Schema};

/// Where the service remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// Which database. `sqlite:` is a file in `data_dir`, `sqlite:/path/to/file` another one: for one
    /// instance. `postgres://` is PostgreSQL (15 or later), shared by all instances; several hosts may
    /// be named, the one that takes writes is used. `sslmode` is `verify-full` (TLS, and the
    /// certificate is of the host that is named; the default unless all hosts are on this machine) or
    /// `disable` (in clear).
    #[serde(with = "text")]
    #[schemars(with = "Text<DatabaseUrl>")]
    pub url: DatabaseUrl,
    /// The password, if the URL has none.
    #[schemars(with = "Option<Text<Credential>>", extend("writeOnly" = true))]
    pub password: Option<Credential>,
    /// A file that holds `database.password`.
    #[schemars(extend("x-shape" = "a path"))]
    pub password_file: Option<PathBuf>,
    /// Roots (PEM) that the servers' certificates must lead to. Without: those that this machine
    /// trusts.
    #[schemars(extend("x-shape" = "a path"))]
    pub tls_ca: Option<PathBuf>,
    /// Whether a database of an older version is migrated at the start. If not, the start is refused
    /// until `migrate up` has been run.
    pub migrate: bool,
    /// Most connections to PostgreSQL.
    #[schemars(range(min = 1, max = 1000))]
    pub max_connections: usize,
    /// Longest wait for a connection, and for the answer to a statement.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "100ms", "x-maximum" = "1m"))]
    pub timeout: Duration,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: DatabaseUrl::Sqlite(None),
            password: None,
            password_file: None,
            tls_ca: None,
            migrate: true,
            max_connections: 16,
            timeout: Duration::from_secs(5),
        }
    }
}

impl Database {
    /// Says which rules of the section are broken.
    pub fn validate(&self, rules: &mut Rules<'_>) {
        if let DatabaseUrl::Postgres(url) = &self.url
            && let Err(why) = postgres::parse(url)
        {
            rules.broken("database.url", &[], why.sentence());
        }
    }
}

/// Which database. It prints without a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// The embedded one, in this file.
    Sqlite(Option<PathBuf>),
    /// PostgreSQL.
    Postgres(PostgresUrl),
}

/// A URL of PostgreSQL.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl(Zeroizing<String>);

impl PostgresUrl {
    /// With its password.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://") else {
            return f.write_str("postgres://");
        };
        // A password may be in the query, too.
        let rest = rest.split('?').next().unwrap_or_default();
        match rest.rsplit_once('@') {
            Some((user, hosts)) => {
                let user = user.split(':').next().unwrap_or_default();
                write!(f, "{scheme}://{user}@{hosts}")
            }
            None => write!(f, "{scheme}://{rest}"),
        }
    }
}

impl Shape for DatabaseUrl {
    const SHAPE: &str = "sqlite: (a file in data_dir), sqlite:/path/to/file, or a URL of PostgreSQL \
                         such as postgres://loyalty@db1:5432,db2:5432/loyalty";
}

impl FromStr for DatabaseUrl {
    type Err = Misshapen;

    fn from_str(text: &str) -> Result<Self, Misshapen> {
        if let Some(file) = text.strip_prefix("sqlite:") {
            let file = file.strip_prefix("//").unwrap_or(file);
            if file.contains('?') {
                return Err(Misshapen);
            }
            return Ok(Self::Sqlite((!file.is_empty()).then(|| file.into())));
        }
        let url = PostgresUrl(Zeroizing::new(text.to_owned()));
        match postgres::parse(&url) {
            Err(postgres::Unread::Url) => Err(Misshapen),
            // A mode has a sentence of its own: `Database::validate`.
            Ok(_) | Err(postgres::Unread::Mode) => Ok(Self::Postgres(url)),
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(None) => f.write_str("sqlite:"),
            Self::Sqlite(Some(file)) => write!(f, "sqlite:{}", file.display()),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

/// Why a database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is away, or busy for too long. Another time it may.
    #[error("the database is not to be had: {0}")]
    Unavailable(String),
    /// What is stored is damaged.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// A fault of ours or of its operator.
    #[error("the database refused: {0}")]
    Refused(String),
}

impl StoreError {
    /// The exit code of a command that cannot go on.
    pub fn exit(&self) -> crate::Exit {
        match self {
            Self::Unavailable(_) => crate::Exit::Unavailable,
            Self::Damaged(_) => crate::Exit::DataDamaged,
            Self::Refused(_) => crate::Exit::Failure,
        }
    }
}

/// Its kind: what the database said is for the log.
impl ErrorType for StoreError {
    fn error_type(&self) -> &str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Damaged(_) => "damaged",
            Self::Refused(_) => "refused",
        }
    }
}

impl From<StoreError> for crate::Failed {
    fn from(error: StoreError) -> Self {
        Self::new(error.exit(), error.to_string())
    }
}

impl From<StoreError> for crate::web::Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::unavailable(error.to_string()),
            StoreError::Damaged(_) | StoreError::Refused(_) => Self::internal(error.to_string()),
        }
    }
}

/// What is said of a database whose version is not the one that is needed.
pub(crate) fn judge_version(found: u32, needed: u32) -> Result<(), crate::Failed> {
    use std::cmp::Ordering;
    let text = match found.cmp(&needed) {
        Ordering::Equal => return Ok(()),
        Ordering::Less => format!(
            "the database is of version {found}, this program needs {needed}: run `migrate up`"
        ),
        Ordering::Greater => format!(
            "the database is of version {found}, newer than this program, which knows {needed}"
        ),
    };
    Err(crate::Failed::new(crate::Exit::Unavailable, text))
}

/// How many migrations there are: the version that they lead to.
fn needed(migrations: Migrations) -> u32 {
    u32::try_from(migrations.len()).unwrap_or(u32::MAX)
}
