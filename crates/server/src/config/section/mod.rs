//! The sections of the configuration. Their doc comments are the manual, their `Default`s the
//! built-in defaults, their attributes the bounds.

mod access;
mod callers;
mod database;
mod kafka;
mod redis;
mod state;
mod throttle;
mod transport;
mod upkeep;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use access::{Hashing, Login, Passwords, Registration, Sessions, TokenMode, Tokens};
pub(crate) use callers::{Caller, Callers};
pub(crate) use database::Database;
pub(crate) use kafka::{Compression, Kafka};
pub(crate) use redis::Redis;
pub(crate) use sso_config::{log::Log, telemetry::Telemetry};
pub(crate) use state::{Algorithm, Events, Keys, Revocation, Sink};
pub(crate) use throttle::Throttle;
pub(crate) use transport::{Admin, Grpc, Http, Shutdown};
pub(crate) use upkeep::{Audit, Janitor};

/// All that can be configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// The folder of the embedded database, its keys and its master key. It is created with mode
    /// 0700 if it is missing.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) data_dir: PathBuf,
    pub(crate) http: Http,
    pub(crate) grpc: Grpc,
    pub(crate) admin: Admin,
    pub(crate) shutdown: Shutdown,
    pub(crate) database: Database,
    pub(crate) redis: Redis,
    pub(crate) revocation: Revocation,
    pub(crate) events: Events,
    pub(crate) kafka: Kafka,
    pub(crate) keys: Keys,
    pub(crate) tokens: Tokens,
    pub(crate) sessions: Sessions,
    pub(crate) passwords: Passwords,
    pub(crate) login: Login,
    pub(crate) registration: Registration,
    pub(crate) hashing: Hashing,
    pub(crate) throttle: Throttle,
    pub(crate) audit: Audit,
    pub(crate) janitor: Janitor,
    pub(crate) log: Log,
    pub(crate) telemetry: Telemetry,
}

/// Most connections of operators.
const ADMIN_CONNECTIONS: usize = 100;

impl Config {
    /// Most connections of clients, of the listeners `http`, `grpc` and `admin`.
    pub(crate) const fn connections(&self) -> [usize; 3] {
        [
            self.http.max_connections,
            self.grpc.max_connections,
            ADMIN_CONNECTIONS,
        ]
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "./data".into(),
            http: Http::default(),
            grpc: Grpc::default(),
            admin: Admin::default(),
            shutdown: Shutdown::default(),
            database: Database::default(),
            redis: Redis::default(),
            revocation: Revocation::default(),
            events: Events::default(),
            kafka: Kafka::default(),
            keys: Keys::default(),
            tokens: Tokens::default(),
            sessions: Sessions::default(),
            passwords: Passwords::default(),
            login: Login::default(),
            registration: Registration::default(),
            hashing: Hashing::default(),
            throttle: Throttle::default(),
            audit: Audit::default(),
            janitor: Janitor::default(),
            log: Log::default(),
            telemetry: Telemetry::default(),
        }
    }
}
