//! The sockets: bound before anything is announced, closed after everything is drained.

use std::{
    io::{Error, ErrorKind},
    net::SocketAddr,
    sync::Arc,
};

use axum::Router;
use sso_web::{
    listener::{self, Limits, Settings, Shutdown},
    proxies::TrustedProxies,
    tls::Tls,
    vital::Vital,
};
use tokio::net::TcpListener;

use super::{
    certificates::Certificates,
    descriptors::{self, Descriptors},
};
use crate::{
    config::Config,
    exit::{Exit, Failed},
};

/// The names of the listeners in metrics and logs.
pub(super) const NAMES: [&str; 3] = ["http", "grpc", "admin"];

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
        certificates: &Certificates,
        routers: Routers,
        shutdown: &Shutdown,
        vital: &Vital,
    ) {
        let [http, grpc, admin] = settings(config, certificates);
        let start = |listener, router, settings: Settings| {
            let shutdown = shutdown.clone();
            let name = settings.name;
            vital.spawn(name, async move {
                if let Err(error) = listener::serve(listener, router, settings, shutdown).await {
                    tracing::error!(%error, listener = name, "a listener has ended");
                }
            });
        };
        start(self.http, routers.http, http);
        start(self.grpc, routers.grpc, grpc);
        if let Some(listener) = self.admin {
            start(listener, routers.admin, admin);
        }
    }
}

/// What each listener is like, in the order of [`NAMES`].
fn settings(config: &Config, certificates: &Certificates) -> [Settings; 3] {
    let wanted = config.connections();
    let later = descriptors::later(&config.database);
    let [http_most, grpc_most, admin_most] = Descriptors::of_process(later).share(wanted);
    let http = Limits {
        max_connections: http_most,
        max_connections_per_address: config.http.max_connections_per_address,
        header_timeout: config.http.header_timeout,
        ..Limits::default()
    };
    let grpc = Limits {
        max_connections: grpc_most,
        max_connections_per_address: config.grpc.max_connections_per_address,
        max_concurrent_streams: config.grpc.max_concurrent_streams,
        ..http
    };
    let admin = Limits {
        max_connections: admin_most,
        ..http
    };
    let trusted = &config.http.trusted_proxies;
    let proxies: TrustedProxies = trusted.iter().map(|proxy| (*proxy).into()).collect();
    let [http_name, grpc_name, admin_name] = NAMES;
    let settings = |name, limits, tls: &Option<Arc<Tls>>| Settings {
        name,
        limits,
        tls: tls.clone(),
        ..Settings::default()
    };
    [
        Settings {
            proxies: proxies.clone(),
            proxy_protocol: config.http.proxy_protocol,
            ..settings(http_name, http, &certificates.http)
        },
        Settings {
            proxies,
            proxy_protocol: config.grpc.proxy_protocol,
            ..settings(grpc_name, grpc, &certificates.grpc)
        },
        settings(admin_name, admin, &certificates.admin),
    ]
}

async fn bind(key: &str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failed> {
    let cannot = |error: Error| {
        let remedy = remedy(error.kind());
        Failed::new(
            Exit::Unavailable,
            format!("{key}: cannot listen on {address} ({error}): {remedy}"),
        )
    };
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    let bound = listener.local_addr().map_err(cannot)?;
    Ok((listener, bound))
}

const fn remedy(why: ErrorKind) -> &'static str {
    match why {
        ErrorKind::PermissionDenied => {
            "choose a port above 1023, or give the program the capability CAP_NET_BIND_SERVICE"
        }
        ErrorKind::AddrNotAvailable => {
            "this machine has no such address: name one that it has (`ip address` shows them)"
        }
        _ => "free the port or choose another",
    }
}
