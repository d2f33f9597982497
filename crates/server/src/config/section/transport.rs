//! Where the service listens, and for how long.

use std::{net::SocketAddr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Caller, Callers};
use crate::config::{
    duration,
    values::{AddressOrOff, PublicUrl, Text, text},
};

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
    /// Whether callers of `auth.Auth` and of reflection must identify themselves; those of `sso.v1`
    /// always must, and those of health never. Without a value: true, unless `grpc.listen` is a
    /// loopback address. `false` is for a port that only an inner network can reach.
    pub(crate) require_caller: bool,
    /// The services that may call, best written as tables `[[grpc.callers]]`. Each has a `name`, a
    /// `token_sha256` (of the token that it sends as `x-caller-token`) or a `certificate` (a name in
    /// its client certificate) or both, and `scopes`: `auth` (register, sign in, validate),
    /// `revocations:read`, `users:admin`, `events:admin`, `audit:read`. A good token is random, as
    /// `openssl rand -base64 32` prints; `printf %s "$token" | sha256sum` prints its digest. In a
    /// variable or a flag the list is written as in one line of the file: `[{ name = "shop",
    /// token_sha256 = "9f86..", scopes = ["auth"] }]`.
    #[schemars(
        with = "Vec<Caller>",
        length(min = 0, max = 256),
        extend("x-shape" = "with name, token_sha256 or certificate, and scopes")
    )]
    pub(crate) callers: Callers,
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
            callers: Callers::default(),
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
