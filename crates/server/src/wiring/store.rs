//! The store: which adapter, by the URL.

use std::sync::Arc;

use sso_core::ports::{AllShards, Clock, Shards, Store, StoreError};
use sso_crypto::SystemRandom;
use sso_store_postgres::{
    self as postgres, Limits, PostgresStore, SchemaError,
    leases::{Leases, Terms},
    servers::{self, ServerUrl, Servers, Settings, Surveyed, TlsSettings},
    shards::ShardLocks,
};
use sso_store_sqlite::{self as sqlite, SqliteStore};

use crate::{
    config::{Config, DatabaseUrl, section::Database},
    exit::{Exit, Failed},
    system::SystemClock,
};

/// Who opens the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The server: of the embedded database one for each folder.
    Server,
    /// A command, beside servers or without one.
    Command,
}

/// The store, the servers that it is on, and the share of its events that this process delivers.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    /// None: embedded.
    pub(crate) servers: Option<Servers>,
    pub(crate) shards: Arc<dyn Shards>,
}

/// How a database's schema compares with this program's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MigrationStatus {
    /// The database's schema; 0 where there is none yet.
    pub(crate) current: u32,
    /// The latest schema that this program knows.
    pub(crate) latest: u32,
    /// What is not applied, in order.
    pub(crate) pending: Vec<String>,
}

/// Every metric of every adapter exists from the start.
pub(crate) fn register_metrics() {
    sqlite::register_metrics();
    postgres::register_metrics();
}

/// Opens the store, and migrates it if it is told to.
pub(super) async fn open(
    config: &Config,
    role: Role,
    migrate: bool,
    clock: &Arc<dyn Clock>,
) -> Result<Opened, Failed> {
    match &config.database.url {
        DatabaseUrl::Sqlite => {
            let settings = sqlite::Settings {
                folder: config.data_dir.clone(),
                role: match role {
                    Role::Server => sqlite::Role::Server,
                    Role::Command => sqlite::Role::Command,
                },
                migrate,
                limits: sqlite::Limits::default(),
            };
            let store = SqliteStore::open(&settings).map_err(|error| of_sqlite(&error))?;
            Ok(Opened {
                store: Arc::new(store),
                servers: None,
                shards: Arc::new(AllShards),
            })
        }
        DatabaseUrl::Postgres(url) => {
            let settings = settings(url, &config.database);
            let store = PostgresStore::open(&settings, Limits::default(), migrate).await;
            let store = store.map_err(|error| of_postgres(&error))?;
            let terms = Terms {
                lease: config.revocation.lease,
                fence: config.revocation.fence,
                standbys: config.revocation.standbys,
                name: process_name(),
            };
            let servers = store.servers().clone();
            let random = Arc::new(SystemRandom);
            let leases = Leases::new(servers.clone(), Arc::clone(clock), terms, random);
            let takeover = config.kafka.own.delivery_timeout;
            let shards = ShardLocks::new(servers.clone(), Arc::clone(clock), takeover);
            Ok(Opened {
                store: Arc::new(store.with_leases(leases)),
                servers: Some(servers),
                shards: Arc::new(shards),
            })
        }
    }
}

/// Brings the schema to this program's.
pub(crate) async fn migrate(config: &Config) -> Result<(), Failed> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    open(config, Role::Command, true, &clock).await.map(drop)
}

/// What people see of this process beside the other instances.
fn process_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{} {}", host.trim(), std::process::id())
}

/// Looks at the schema and changes nothing.
pub(crate) async fn migration_status(config: &Config) -> Result<MigrationStatus, Failed> {
    match &config.database.url {
        DatabaseUrl::Sqlite => {
            let found = sqlite::MigrationStatus::of(&config.data_dir);
            let found = found.map_err(|error| of_sqlite(&error))?;
            Ok(MigrationStatus {
                current: found.current,
                latest: found.latest,
                pending: found.pending,
            })
        }
        DatabaseUrl::Postgres(url) => {
            let settings = settings(url, &config.database);
            let found = PostgresStore::migration_status(&settings).await;
            let found = found.map_err(|error| of_postgres(&error))?;
            Ok(MigrationStatus {
                current: found.current,
                latest: found.latest,
                pending: found.pending,
            })
        }
    }
}

/// Asks every server of PostgreSQL how it is; `None`: the database is the embedded one.
pub(crate) async fn survey(config: &Config) -> Result<Option<Vec<Surveyed>>, Failed> {
    let DatabaseUrl::Postgres(url) = &config.database.url else {
        return Ok(None);
    };
    let found = servers::survey(&settings(url, &config.database)).await;
    found
        .map(Some)
        .map_err(|error| of_postgres(&postgres::OpenError::Servers(error)))
}

pub(super) fn settings(url: &ServerUrl, database: &Database) -> Settings {
    let with_password = |url: &ServerUrl| {
        let mut url = url.clone();
        if let Some(password) = database.password.as_ref().filter(|_| !url.has_password()) {
            url.set_password(password.reveal());
        }
        url
    };
    let replicas = database.replicas.iter();
    Settings {
        url: with_password(url),
        replicas: replicas.map(|url| with_password(url.server())).collect(),
        tls: TlsSettings {
            ca: database.tls_ca.clone(),
            certificate: database.tls_cert.clone(),
            key: database.tls_key.clone(),
        },
        application_name: database.application_name.clone(),
        max_lag: database.max_lag,
        max_connections: database.max_connections,
        acquire_timeout: database.acquire_timeout,
        max_waiting: database.max_waiting,
        connect_timeout: database.connect_timeout,
        statement_timeout: database.statement_timeout,
        lock_timeout: database.lock_timeout,
        keepalive: database.tcp_keepalive,
        tcp_user_timeout: database.tcp_user_timeout,
        probe_timeout: database.probe_timeout,
        ..Settings::new(url.clone())
    }
}

/// What a failed opening of the embedded database means for the process.
pub(crate) fn of_sqlite(error: &sqlite::OpenError) -> Failed {
    use sqlite::OpenError as Open;
    let (exit, key) = match error {
        Open::Folder { .. } => (Exit::Configuration, "data_dir: "),
        Open::Behind { .. } | Open::Newer { .. } | Open::Absent { .. } | Open::Moved { .. } => {
            (Exit::Configuration, "")
        }
        Open::NotADatabase { .. } | Open::Foreign { .. } | Open::Corrupt { .. } => {
            (Exit::DataDamaged, "")
        }
        Open::Locked { .. } | Open::Unavailable { .. } => (Exit::Unavailable, ""),
        _ => (Exit::Failure, ""),
    };
    Failed::new(exit, format!("{key}{error}"))
}

/// What a store that cannot be read means for the process.
pub(crate) fn exit_of(error: &StoreError) -> Exit {
    match error {
        StoreError::Unavailable(_) | StoreError::Undone(_) => Exit::Unavailable,
        StoreError::Conflict(_) | StoreError::Corrupt(_) => Exit::DataDamaged,
    }
}

/// Whether a store, of either kind, has failed because what is stored is damaged.
pub(super) fn is_damage(error: &StoreError) -> bool {
    sqlite::is_damage(error) || postgres::is_damage(error)
}

/// What a failed opening of PostgreSQL means for the process.
pub(super) fn of_postgres(error: &postgres::OpenError) -> Failed {
    use postgres::OpenError as Open;
    let exit = match error {
        Open::Servers(servers::OpenError::Settings(_))
        | Open::Schema(
            SchemaError::Foreign
            | SchemaError::Encoding(_)
            | SchemaError::Newer { .. }
            | SchemaError::Behind { .. }
            | SchemaError::Replica
            | SchemaError::HalfCopied,
        ) => Exit::Configuration,
        Open::Servers(servers::OpenError::Unreachable(_))
        | Open::Schema(
            SchemaError::Locked(_) | SchemaError::Busy(_) | SchemaError::Unavailable(_),
        ) => Exit::Unavailable,
        Open::Schema(SchemaError::Damaged) => Exit::DataDamaged,
        Open::Schema(_) => Exit::Failure,
    };
    Failed::new(exit, error.to_string())
}
