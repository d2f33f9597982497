//! The sockets: bound before anything is announced, closed after everything is drained.

use std::net::SocketAddr;

use axum::Router;
use sso_web::listener::{self, Limits, Shutdown};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::{
    config::Config,
    exit::{Exit, Failed},
};

/// Bound, not yet accepting.
pub(super) struct Listeners {
    http: TcpListener,
    grpc: TcpListener,
    admin: Option<TcpListener>,
}

/// Where they really listen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addresses {
    pub(super) http: SocketAddr,
    pub(super) grpc: SocketAddr,
    pub(super) admin: Option<SocketAddr>,
}

/// What each of them serves.
pub(super) struct Routers {
    pub(super) http: Router,
    pub(super) grpc: Router,
    pub(super) admin: Router,
}

impl Listeners {
    /// Binds all of them, or says which one cannot be had.
    pub(super) async fn bind(config: &Config) -> Result<(Self, Addresses), Failed> {
        let (http, http_address) = bind("http.listen", config.http.listen).await?;
        let (grpc, grpc_address) = bind("grpc.listen", config.grpc.listen).await?;
        let admin = match config.admin.listen.address() {
            Some(address) => Some(bind("admin.listen", address).await?),
            None => None,
        };
        let addresses = Addresses {
            http: http_address,
            grpc: grpc_address,
            admin: admin.as_ref().map(|(_, address)| *address),
        };
        Ok((
            Self {
                http,
                grpc,
                admin: admin.map(|(listener, _)| listener),
            },
            addresses,
        ))
    }

    /// Serves each until `shutdown`.
    pub(super) fn serve(
        self,
        config: &Config,
        routers: Routers,
        shutdown: &Shutdown,
        running: &TaskTracker,
    ) {
        let http = Limits {
            max_connections: config.http.max_connections,
            header_timeout: config.http.header_timeout,
            ..Limits::default()
        };
        let grpc = Limits {
            max_connections: config.grpc.max_connections,
            max_concurrent_streams: config.grpc.max_concurrent_streams,
            ..http
        };
        let start = |name, listener, router, limits| {
            let shutdown = shutdown.clone();
            running.spawn(async move {
                if let Err(error) = listener::serve(listener, router, limits, shutdown).await {
                    tracing::error!(%error, listener = name, "a listener has ended");
                }
            });
        };
        start("http", self.http, routers.http, http);
        start("grpc", self.grpc, routers.grpc, grpc);
        if let Some(admin) = self.admin {
            start(
                "admin",
                admin,
                routers.admin,
                Limits {
                    max_connections: 100,
                    ..http
                },
            );
        }
    }
}

async fn bind(key: &str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failed> {
    let cannot = |error: std::io::Error| {
        Failed::new(
            Exit::Unavailable,
            format!("{key}: cannot listen on {address} ({error}): free the port or choose another"),
        )
    };
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    let bound = listener.local_addr().map_err(cannot)?;
    Ok((listener, bound))
}
