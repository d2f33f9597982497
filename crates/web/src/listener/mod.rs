//! The accept loop: HTTP/1.1 and HTTP/2 on one port, in clear or over TLS, everything bounded.
//!
//! `axum::serve` sets no header timeout and no limits on HTTP/2 streams and resets; a client that
//! sends nothing, or resets for ever, would hold a connection for good.

mod bodies;
mod connection;
mod doors;
mod io;
mod opening;
mod proxy_protocol;
mod room;

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::Router;
use futures_util::FutureExt;
use metrics::{Unit, counter, describe_counter};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{proxies::TrustedProxies, tls::Tls};
use connection::{Driver, builder};
use doors::Doors;
use room::Room;

/// First and longest pause after an accept that failed for want of something.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// How long to wait for a connection that was told to leave before others are told as well.
const ROOM: Duration = Duration::from_millis(200);

/// How many connections of the backlog are still taken when the server stops.
const MAX_LEFTOVER: usize = 1024;

/// What one listener gives at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open connections; beyond, the longest idle make room, and while none is idle new ones wait
    /// in the kernel's backlog.
    pub max_connections: usize,
    /// Of them from one address (IPv6: one /64); beyond, its longest idle makes room, and while
    /// none of them is idle new ones are closed. Trusted proxies may have more.
    pub max_connections_per_address: usize,
    /// For a request's whole head, also how long an idle HTTP/1.1 connection is kept; before that
    /// for a PROXY header, and for a TLS handshake.
    pub header_timeout: Duration,
    /// Of a request's head, in bytes; beyond: 431.
    pub max_header_bytes: u32,
    /// Concurrent streams of an HTTP/2 connection.
    pub max_concurrent_streams: u32,
    /// Streams that a client has reset and no handler has seen; beyond: GOAWAY.
    pub max_pending_resets: usize,
    /// HTTP/2 pings after this much silence.
    pub keep_alive_interval: Duration,
    /// A ping unanswered for this long ends the connection.
    pub keep_alive_timeout: Duration,
    /// A connection over which no byte moved for this long, in either direction, is dropped. Longer
    /// than any request may take.
    pub stall_timeout: Duration,
    /// When the server stops: how long an idle HTTP/1.1 connection is still read, so that a request
    /// which is under way is answered (with `connection: close`).
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_per_address: 2000,
            header_timeout: Duration::from_secs(10),
            max_header_bytes: 128 * 1024,
            max_concurrent_streams: 250,
            max_pending_resets: 20,
            keep_alive_interval: Duration::from_secs(20),
            keep_alive_timeout: Duration::from_secs(20),
            stall_timeout: Duration::from_mins(1),
            linger: Duration::from_millis(500),
        }
    }
}

/// When and how a listener stops.
#[derive(Debug, Clone)]
pub struct Shutdown {
    /// Cancelled: no more connections, and each open one ends after the answers in flight.
    pub stop: CancellationToken,
    /// After this much time what is still open is cut.
    pub drain: Duration,
}

/// Who sends a request, an extension of every one. It is one, and not one of each, since a fourth
/// extension, and an eighth, makes the table of them grow, and all requests pay for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// The address at the other end. IPv4 in IPv6 dress is IPv4.
    pub address: IpAddr,
    /// The connection that it came by.
    pub connection: ConnectionId,
    /// Whether a trusted proxy made the request: it is believed for what it says, as with
    /// `X-Forwarded-For`. Not where the connection came through one by the PROXY protocol, which
    /// tells of addresses only.
    pub via_proxy: bool,
}

/// A connection: no two of a process have the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub u64);

/// What a listener is like.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Its name, for metrics and logs.
    pub name: &'static str,
    /// What it gives at most.
    pub limits: Limits,
    /// With which certificates; in clear without.
    pub tls: Option<Arc<Tls>>,
    /// Who may say on whose behalf he asks.
    pub proxies: TrustedProxies,
    /// Whether they begin connections with a header of the PROXY protocol. They must then; from
    /// anybody else it is no beginning of a request.
    pub proxy_protocol: bool,
}

/// A listener with these limits, and nothing else special.
impl From<Limits> for Settings {
    fn from(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }
}

const DROPPED: &str = "sso_connections_dropped_total";

/// Why connections are dropped: values of the label `reason`.
const REASONS: [&str; 6] = [
    "address_full",
    "made_room",
    "proxy_header",
    "handshake",
    "no_request",
    "stalled",
];

/// Describes the metrics and makes the series of these listeners exist at 0.
pub fn register_metrics(listeners: &[&'static str]) {
    describe_counter!(
        DROPPED,
        Unit::Count,
        "Connections that the service ended by itself, by listener and reason."
    );
    for &listener in listeners {
        for reason in REASONS {
            counter!(DROPPED, "listener" => listener, "reason" => reason).absolute(0);
        }
    }
}

fn dropped(listener: &'static str, reason: &'static str) {
    counter!(DROPPED, "listener" => listener, "reason" => reason).increment(1);
}

/// Serves until `shutdown.stop`, then drains. Returns when every connection is done, or cut.
///
/// Errors of accepting are logged and outlived; `Err` means that the listener itself is unusable.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    settings: impl Into<Settings>,
    shutdown: Shutdown,
) -> std::io::Result<()> {
    listener.local_addr()?;
    let settings = settings.into();
    let limits = settings.limits;
    let server = Server {
        doors: Arc::new(Doors {
            driver: Driver {
                name: settings.name,
                builder: builder(&limits),
                app,
                limits,
                proxies: settings.proxies,
                stop: shutdown.stop.clone(),
                cut: CancellationToken::new(),
            },
            room: Room::new(limits.max_connections_per_address),
            tls: settings.tls,
            proxy_protocol: settings.proxy_protocol,
        }),
        slots: Arc::new(Semaphore::new(limits.max_connections)),
        connections: TaskTracker::new(),
    };
    server.accept(&listener, &shutdown.stop).await;
    server.take_leftovers(&listener);
    drop(listener);
    server.drain(shutdown.drain).await;
    Ok(())
}

struct Server {
    doors: Arc<Doors>,
    slots: Arc<Semaphore>,
    connections: TaskTracker,
}

impl Server {
    /// Accepts until `stop`.
    async fn accept(&self, listener: &TcpListener, stop: &CancellationToken) {
        let mut pause = BACKOFF.0;
        while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((stream, address)) => {
                    pause = BACKOFF.0;
                    if let Some(slot) = self.slot(stop).await {
                        self.spawn(stream, address.ip(), slot);
                    }
                }
                Err(error) if is_the_clients(&error) => {
                    tracing::debug!(%error, "a client was gone before it was accepted");
                }
                // Out of descriptors or memory: accepting again at once would spin.
                Err(error) => {
                    let idle = self.doors.room.make_room();
                    tracing::warn!(%error, ?pause, idle, "cannot accept connections, trying again");
                    stop.run_until_cancelled(tokio::time::sleep(pause)).await;
                    pause = (pause * 2).min(BACKOFF.1);
                }
            }
        }
    }

    /// A slot for a connection. If there is none the longest idle are told to leave, until there is
    /// one. `None`: there was none when the server stopped, nor shortly after.
    async fn slot(&self, stop: &CancellationToken) -> Option<OwnedSemaphorePermit> {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Some(slot);
        }
        let mut slot = std::pin::pin!(Arc::clone(&self.slots).acquire_owned());
        while !stop.is_cancelled() {
            self.doors.room.make_room();
            let soon = tokio::time::timeout(ROOM, slot.as_mut());
            // The semaphore is never closed.
            if let Some(Ok(slot)) = stop.run_until_cancelled(soon).await {
                return slot.ok();
            }
        }
        let linger = self.doors.driver.limits.linger;
        tokio::time::timeout(linger, slot).await.ok()?.ok()
    }

    /// Whoever is in the backlog believes that he is connected: closing the listener would reset
    /// him without an answer.
    fn take_leftovers(&self, listener: &TcpListener) {
        for _ in 0..MAX_LEFTOVER {
            let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
                return;
            };
            match listener.accept().now_or_never() {
                Some(Ok((stream, address))) => self.spawn(stream, address.ip(), slot),
                Some(Err(_)) => {}
                None => return,
            }
        }
    }

    fn spawn(&self, stream: TcpStream, address: IpAddr, slot: OwnedSemaphorePermit) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let address = address.to_canonical();
        let doors = Arc::clone(&self.doors);
        self.connections.spawn(async move {
            doors.welcome(stream, address).await;
            drop(slot);
        });
    }

    async fn drain(self, patience: Duration) {
        self.connections.close();
        let done = tokio::time::timeout(patience, self.connections.wait()).await;
        if done.is_err() {
            let open = self.connections.len();
            tracing::warn!(
                open,
                ?patience,
                "connections were cut at the drain deadline"
            );
            self.doors.driver.cut.cancel();
            self.connections.wait().await;
        }
    }
}

fn is_the_clients(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}
