//! Where the service listens, and for how long.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Caller, Callers};
use crate::config::{
    duration,
    network::{CorsOrigin, Proxy},
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
    /// tokens unless `tokens.issuer` says otherwise. Without one: `http://`, or `https://` with
    /// `http.tls_cert`, and `http.listen`.
    #[serde(with = "text")]
    #[schemars(with = "Text<PublicUrl>")]
    pub(crate) public_url: PublicUrl,
    /// Whether `/metrics` is answered here too, to everybody who can connect.
    pub(crate) expose_metrics: bool,
    /// Most open connections. For one more the longest idle are closed; if none is idle, it waits
    /// until another is closed. Less if the limit of open files (`ulimit -n`) is too low.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) max_connections: usize,
    /// Most open connections of one client address, or of one IPv6 network of 64 bits. For one more
    /// its longest idle is closed; if none is idle, the new one is closed. Trusted proxies may have
    /// any number.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) max_connections_per_address: usize,
    /// Proxies that may say for whom they ask, by address or network. If the other end of a
    /// connection is one of them, the client's address is the rightmost in `X-Forwarded-For` that
    /// is none of them; from anybody else that header changes nothing. `Forwarded` is not read.
    /// Holds for the gRPC port too.
    #[schemars(with = "Vec<Text<Proxy>>", length(min = 0, max = 64))]
    pub(crate) trusted_proxies: Vec<Proxy>,
    /// Whether trusted proxies begin each connection with a header of the PROXY protocol, version 1
    /// or 2. They must then; from anybody else it is refused like any other garbage.
    pub(crate) proxy_protocol: bool,
    /// Origins of web pages whose scripts may use this API (CORS), each exactly as browsers send
    /// it. Without any, browsers let only pages of the same origin do so.
    #[schemars(with = "Vec<Text<CorsOrigin>>", length(min = 0, max = 64))]
    pub(crate) cors_origins: Vec<CorsOrigin>,
    /// How long a client may take to send the head of a request, and before that for a TLS
    /// handshake. An idle HTTP/1.1 connection is kept as long.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "100ms", "x-maximum" = "5m"))]
    pub(crate) header_timeout: Duration,
    /// How long a request may take, body included; then 504.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "100ms", "x-maximum" = "5m"))]
    pub(crate) request_timeout: Duration,
    /// The certificate (PEM), followed by those that lead to its root. With it the listener speaks
    /// TLS 1.2 and 1.3 only. A changed file is taken over within seconds, or at once on SIGHUP; if
    /// it is broken the old certificate stays in use, and the log says so.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM: PKCS#8, SEC1 or PKCS#1).
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) tls_key: Option<PathBuf>,
}

impl Default for Http {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 8000));
        Self {
            listen,
            public_url: PublicUrl::of_listener(listen, false),
            expose_metrics: false,
            max_connections: 10_000,
            max_connections_per_address: 2000,
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            cors_origins: Vec::new(),
            header_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            tls_cert: None,
            tls_key: None,
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
    /// Most open connections. For one more the longest idle are closed; if none is idle, it waits
    /// until another is closed. Less if the limit of open files (`ulimit -n`) is too low.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) max_connections: usize,
    /// Most open connections of one client address; as `http.max_connections_per_address`.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) max_connections_per_address: usize,
    /// Whether the proxies of `http.trusted_proxies` begin each connection to this port with a
    /// header of the PROXY protocol; as `http.proxy_protocol`.
    pub(crate) proxy_protocol: bool,
    /// Longest message in bytes, inflated.
    #[schemars(range(min = 16_384, max = 4_194_304))]
    pub(crate) max_message_size: usize,
    /// Most calls at once on one HTTP/2 connection.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) max_concurrent_streams: u32,
    /// Most streams of `sso.v1.Revocations/Watch` at once, one for each process that validates
    /// tokens by itself. Beyond: UNAVAILABLE, and the watcher tries another instance.
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) max_watchers: usize,
    /// The certificate (PEM), followed by those that lead to its root. With it the listener speaks
    /// TLS 1.2 and 1.3 only. A changed file is taken over within seconds, or at once on SIGHUP; if
    /// it is broken the old certificate stays in use, and the log says so.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM: PKCS#8, SEC1 or PKCS#1).
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) tls_key: Option<PathBuf>,
    /// Roots of the clients' certificates (PEM). With them a client needs a certificate that leads
    /// to one of them, whatever it calls; without one its connection is refused.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) tls_client_ca: Option<PathBuf>,
}

impl Default for Grpc {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 44_044)),
            require_caller: false,
            callers: Callers::default(),
            max_connections: 10_000,
            max_connections_per_address: 2000,
            proxy_protocol: false,
            max_message_size: 65_536,
            max_concurrent_streams: 200,
            max_watchers: 1_000,
            tls_cert: None,
            tls_key: None,
            tls_client_ca: None,
        }
    }
}

/// What only operators see: metrics, readiness with details, the log level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Admin {
    /// Where to listen, or `off`. There is no authentication: keep it to an inner network. Development
    /// mode has its routes on `http.listen`.
    #[serde(with = "text")]
    #[schemars(with = "Text<AddressOrOff>")]
    pub(crate) listen: AddressOrOff,
    /// The certificate (PEM), followed by those that lead to its root. With it the listener speaks
    /// TLS 1.2 and 1.3 only. A changed file is taken over within seconds, or at once on SIGHUP; if
    /// it is broken the old certificate stays in use, and the log says so.
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM: PKCS#8, SEC1 or PKCS#1).
    #[schemars(extend("x-shape" = "a path"))]
    pub(crate) tls_key: Option<PathBuf>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: AddressOrOff(Some(SocketAddr::from(([127, 0, 0, 1], 9464)))),
            tls_cert: None,
            tls_key: None,
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
