//! Redis alone, and three with Sentinel.

mod sentinel;
mod server;

use anyhow::Result;

pub use sentinel::{Options as SentinelOptions, RedisSentinel};
pub use server::{PROGRAM, RedisServer};

use super::{ports::with_fresh_ports, sandbox::Sandbox};
use crate::pki::{Authority, Issued};

/// The password of every Redis server.
pub const PASSWORD: &str = "redis-of-tests";

/// The password of every sentinel.
pub const SENTINEL_PASSWORD: &str = "sentinel-of-tests";

/// A Redis server alone; it ends when this is dropped.
#[derive(Debug)]
pub struct Redis {
    _sandbox: Sandbox,
    /// The server and its verbs.
    pub server: RedisServer,
}

impl Redis {
    /// With a password and an append-only file.
    pub async fn start() -> Result<Self> {
        Self::attempts(None).await
    }

    /// Only by TLS, with a certificate of `authority`, which must name 127.0.0.1.
    pub async fn start_with_tls(authority: &Authority, server: &Issued) -> Result<Self> {
        let root = authority.root();
        Self::attempts(Some((&root, server))).await
    }

    /// `redis://` or `rediss://`, with the password.
    pub fn url(&self) -> String {
        self.server.url()
    }

    async fn attempts(tls: Option<(&str, &Issued)>) -> Result<Self> {
        with_fresh_ports(|| async {
            let sandbox = Sandbox::new()?;
            let mut server = RedisServer::prepare(sandbox.room(), "redis", "")?;
            if let Some((root, issued)) = tls {
                server.offer_only_tls(root, issued)?;
            }
            server.start().await?;
            Ok(Self {
                _sandbox: sandbox,
                server,
            })
        })
        .await
    }
}
