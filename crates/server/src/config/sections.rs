//! The sections of the configuration. Their doc comments are the manual, their `Default`s the
//! built-in defaults, their attributes the bounds.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sso_telemetry::Filter;

use super::values::{
    AddressOrOff, DatabaseUrl, MasterKey, PublicUrl, Text, TokenName, duration, text,
};

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
    pub(crate) revocation: Revocation,
    pub(crate) events: Events,
    pub(crate) keys: Keys,
    pub(crate) tokens: Tokens,
    pub(crate) sessions: Sessions,
    pub(crate) passwords: Passwords,
    pub(crate) login: Login,
    pub(crate) registration: Registration,
    pub(crate) hashing: Hashing,
    pub(crate) log: Log,
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
            revocation: Revocation::default(),
            events: Events::default(),
            keys: Keys::default(),
            tokens: Tokens::default(),
            sessions: Sessions::default(),
            passwords: Passwords::default(),
            login: Login::default(),
            registration: Registration::default(),
            hashing: Hashing::default(),
            log: Log::default(),
        }
    }
}

/// The HTTP API for frontends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    /// Where to listen. Port 0 takes a free one.
    #[serde(with = "text")]
    #[schemars(with = "Text<SocketAddr>")]
    pub(crate) listen: SocketAddr,
    /// Under which URL clients reach this service, compared byte by byte: it is the issuer of
    /// tokens unless `tokens.issuer` says otherwise. Without one: `http://` and `http.listen`.
    #[serde(with = "text")]
    #[schemars(with = "Text<PublicUrl>")]
    pub(crate) public_url: PublicUrl,
    /// Whether `/metrics` is answered here too, to everybody who can connect.
    pub(crate) expose_metrics: bool,
    /// Most open connections. One more waits until another is closed.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) max_connections: usize,
    /// How long a client may take to send the head of a request.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "100ms", "x-maximum" = "5m"))]
    pub(crate) header_timeout: Duration,
    /// How long a request may take, body included; then 504.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "100ms", "x-maximum" = "5m"))]
    pub(crate) request_timeout: Duration,
}

impl Default for Http {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 8000));
        Self {
            listen,
            public_url: PublicUrl::of_listener(listen),
            expose_metrics: false,
            max_connections: 10_000,
            header_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
        }
    }
}

/// The gRPC API for services, with JSON for the same calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Grpc {
    /// Where to listen. Port 0 takes a free one.
    #[serde(with = "text")]
    #[schemars(with = "Text<SocketAddr>")]
    pub(crate) listen: SocketAddr,
    /// Whether callers must identify themselves. Without a value: true, unless `grpc.listen` is a
    /// loopback address. This version cannot identify callers yet, so true is refused: listen on
    /// loopback, or write `false` if only an inner network can reach the port.
    pub(crate) require_caller: bool,
    /// Most open connections. One more waits until another is closed.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) max_connections: usize,
    /// Longest message in bytes, inflated.
    #[schemars(range(min = 16_384, max = 4_194_304))]
    pub(crate) max_message_size: usize,
    /// Most calls at once on one HTTP/2 connection.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) max_concurrent_streams: u32,
}

impl Default for Grpc {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 44_044)),
            require_caller: false,
            max_connections: 10_000,
            max_message_size: 65_536,
            max_concurrent_streams: 200,
        }
    }
}

/// What only operators see: metrics, readiness with details, the log level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Admin {
    /// Where to listen, or `off`. There is no authentication: keep it to an inner network.
    #[serde(with = "text")]
    #[schemars(with = "Text<AddressOrOff>")]
    pub(crate) listen: AddressOrOff,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: AddressOrOff(Some(SocketAddr::from(([127, 0, 0, 1], 9464)))),
        }
    }
}

/// What happens between SIGTERM and the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Shutdown {
    /// How long to go on serving while readiness says `draining`, so that a balancer stops sending
    /// requests here first: a little more than the interval of its checks.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "0s", "x-maximum" = "5m"))]
    pub(crate) delay: Duration,
    /// How long requests that were accepted may take to finish after that.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "100ms", "x-maximum" = "10m"))]
    pub(crate) drain_timeout: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(20),
        }
    }
}

/// Where users and sessions are stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Database {
    /// Which database: `sqlite:` is the embedded one, in `data_dir`.
    #[serde(with = "text")]
    #[schemars(with = "Text<DatabaseUrl>")]
    pub(crate) url: DatabaseUrl,
    /// Whether a database of an older version is migrated at the start. If not, the start is
    /// refused until `sso migrate up` has been run.
    pub(crate) migrate: bool,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: DatabaseUrl::Sqlite,
            migrate: true,
        }
    }
}

/// How quickly the end of an access is known everywhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Revocation {
    /// How long an instance may go on validating tokens after it last heard from the database.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "1s", "x-maximum" = "1m"))]
    pub(crate) lease: Duration,
    /// How long a request that ends an access waits until all instances know it; then it answers
    /// `pending` instead of `everywhere`. Shorter than `http.request_timeout`.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "0s", "x-maximum" = "30s"))]
    pub(crate) ack_wait: Duration,
}

impl Default for Revocation {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            ack_wait: Duration::from_secs(1),
        }
    }
}

/// What becomes of events such as a registration.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Events {
    /// Where they go.
    pub(crate) sink: Sink,
}

/// Where events go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sink {
    /// To the log, without personal data.
    #[default]
    Log,
}

/// The keys that sign tokens lie in the database, sealed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    /// The key that they are sealed under. Without one, the embedded database makes one in
    /// `data_dir`, readable by its owner only. Whoever loses it loses the signing keys: all users
    /// must sign in again.
    #[schemars(with = "Option<Text<MasterKey>>", extend("writeOnly" = true))]
    pub(crate) master_key: Option<MasterKey>,
    /// A file that holds `keys.master_key`.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) master_key_file: Option<PathBuf>,
}

/// What is in tokens, and how long they live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tokens {
    /// The claim `iss`. Without one: `http.public_url`. Tokens of another issuer are refused, so a
    /// change ends all sessions.
    #[serde(with = "text")]
    #[schemars(with = "Text<TokenName>")]
    pub(crate) issuer: TokenName,
    /// The claim `aud` of access tokens: the services that they are for. Without any: the issuer.
    #[schemars(with = "Vec<Text<TokenName>>", length(min = 1, max = 16))]
    pub(crate) audience: Vec<TokenName>,
    /// How long an access token lives.
    #[serde(with = "duration")]
    #[schemars(
        with = "duration::Text",
        extend("x-minimum" = "1s", "x-maximum" = "1d", "x-whole-seconds" = true)
    )]
    pub(crate) access_ttl: Duration,
    /// How long a session lives, from the sign-in, however often it is refreshed.
    #[serde(with = "duration")]
    #[schemars(
        with = "duration::Text",
        extend("x-minimum" = "1s", "x-maximum" = "366d", "x-whole-seconds" = true)
    )]
    pub(crate) refresh_ttl: Duration,
}

impl Default for Tokens {
    fn default() -> Self {
        let issuer = TokenName::from(&Http::default().public_url);
        Self {
            audience: vec![issuer.clone()],
            issuer,
            access_ttl: Duration::from_mins(15),
            refresh_ttl: Duration::from_hours(10 * 24),
        }
    }
}

/// Sessions of users.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sessions {
    /// How long the refresh token before the current one is answered with the current one, for
    /// clients that refresh twice at once or lost the answer. Afterwards its use is theft and ends
    /// the session.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "0s", "x-maximum" = "10m"))]
    pub(crate) refresh_grace: Duration,
    /// Most sessions of one user. One more ends the oldest.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) max_per_user: u32,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            refresh_grace: Duration::from_secs(30),
            max_per_user: 100,
        }
    }
}

/// Which passwords are taken, and how they are stored. Only new passwords are judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Passwords {
    /// Fewest characters of a new password.
    #[schemars(range(min = 1, max = 128))]
    pub(crate) min_length: usize,
    /// Whether the 10,000 commonest passwords are refused.
    pub(crate) refuse_common: bool,
    /// Memory of one argon2id hash in KiB. Less than 19456 is for tests: an attacker who has the
    /// hashes tries more passwords a second.
    #[schemars(range(min = 8, max = 262_144))]
    pub(crate) argon2_memory: u32,
    /// Passes of one argon2id hash.
    #[schemars(range(min = 1, max = 10))]
    pub(crate) argon2_iterations: u32,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            min_length: 8,
            refuse_common: true,
            argon2_memory: 19_456,
            argon2_iterations: 2,
        }
    }
}

/// Signing in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Login {
    /// A failed login answers at a multiple of this after it arrived, so that its time does not
    /// tell whether the account exists. Longer than a hash takes under load.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "1ms", "x-maximum" = "5s"))]
    pub(crate) failure_floor: Duration,
}

impl Default for Login {
    fn default() -> Self {
        Self {
            failure_floor: Duration::from_millis(250),
        }
    }
}

/// Registration by anybody.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Registration {
    /// Whether it is possible. Administrators can always add users.
    pub(crate) enabled: bool,
}

impl Default for Registration {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// The pool that hashes passwords.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Hashing {
    /// Its threads; 0 is one for each processor. Each holds the memory of one hash.
    #[schemars(range(min = 0, max = 256))]
    pub(crate) threads: usize,
    /// How many hashes may wait for each thread, in each of the two queues (logins and
    /// registrations); one more is answered 503.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) queue_per_thread: usize,
    /// How long a hash may wait; then 503.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "10ms", "x-maximum" = "1m"))]
    pub(crate) queue_deadline: Duration,
}

impl Default for Hashing {
    fn default() -> Self {
        Self {
            threads: 0,
            queue_per_thread: 64,
            queue_deadline: Duration::from_secs(2),
        }
    }
}

/// Logs, on standard error.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// How.
    pub(crate) format: LogFormat,
    /// What: a level, with other levels for single modules.
    #[serde(with = "text")]
    #[schemars(with = "Text<Filter>")]
    pub(crate) level: Filter,
}

impl From<&Log> for sso_telemetry::Logs {
    fn from(log: &Log) -> Self {
        Self {
            format: match log.format {
                LogFormat::Auto => sso_telemetry::Format::Auto,
                LogFormat::Pretty => sso_telemetry::Format::Pretty,
                LogFormat::Json => sso_telemetry::Format::Json,
            },
            level: log.level.clone(),
        }
    }
}

/// How events are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people on a terminal, else JSON.
    #[default]
    Auto,
    /// A line for people.
    Pretty,
    /// A JSON object a line.
    Json,
}
