//! The sections that every service has. Their doc comments are the manual.

use std::{net::SocketAddr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sso_config::{
    duration,
    values::{Text, text},
};

pub use sso_config::log::Log;

/// The listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Where to listen.
    #[serde(with = "text")]
    #[schemars(with = "Text<SocketAddr>")]
    pub listen: SocketAddr,
    /// How long a request may take before it is answered `deadline_exceeded`.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "100ms", "x-maximum" = "5m"))]
    pub request_timeout: Duration,
    /// Open connections; beyond, idle ones make room and new ones wait.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_connections: usize,
    /// Of them from one address; beyond, new ones are closed.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_connections_per_address: usize,
}

/// On loopback; each service sets its own port.
impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            request_timeout: Duration::from_secs(10),
            max_connections: 1000,
            max_connections_per_address: 500,
        }
    }
}

impl Http {
    /// The defaults, on this loopback port.
    pub fn on_port(port: u16) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], port)),
            ..Self::default()
        }
    }
}

/// The end, after SIGTERM or SIGINT.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Shutdown {
    /// How long a balancer has to notice that the service is not ready any more.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "0s", "x-maximum" = "5m"))]
    pub delay: Duration,
    /// How long requests and events under way may take to end after that.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Text", extend("x-minimum" = "100ms", "x-maximum" = "5m"))]
    pub drain_timeout: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(20),
        }
    }
}
