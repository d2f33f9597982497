//! The accept loop: HTTP/1.1 and HTTP/2 with prior knowledge on one port, everything bounded.
//!
//! `axum::serve` sets no header timeout and no limits on HTTP/2 streams and resets; a client that
//! sends nothing, or resets for ever, would hold a connection for good.

mod connection;
mod io;

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::Router;
use futures_util::FutureExt;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use connection::{Driver, builder};

/// First and longest pause after an accept that failed for want of something.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// How many connections of the backlog are still taken when the server stops.
const MAX_LEFTOVER: usize = 1024;

/// What one listener gives at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open connections; beyond, new ones wait in the kernel's backlog.
    pub max_connections: usize,
    /// For a request's whole head, also how long an idle HTTP/1.1 connection is kept.
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

/// The address at the other end of the connection, an extension of every request. IPv4 in IPv6
/// dress is IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// Serves until `shutdown.stop`, then drains. Returns when every connection is done, or cut.
///
/// Errors of accepting are logged and outlived; `Err` means that the listener itself is unusable.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    limits: Limits,
    shutdown: Shutdown,
) -> std::io::Result<()> {
    listener.local_addr()?;
    let server = Server {
        driver: Arc::new(Driver {
            builder: builder(&limits),
            app,
            limits,
            stop: shutdown.stop.clone(),
            cut: CancellationToken::new(),
        }),
        slots: Arc::new(Semaphore::new(limits.max_connections)),
        connections: TaskTracker::new(),
    };
    tokio::select! {
        () = shutdown.stop.cancelled() => {}
        () = server.accept(&listener) => {}
    }
    server.take_leftovers(&listener);
    drop(listener);
    server.drain(shutdown.drain).await;
    Ok(())
}

struct Server {
    driver: Arc<Driver>,
    slots: Arc<Semaphore>,
    connections: TaskTracker,
}

impl Server {
    /// Accepts for ever.
    async fn accept(&self, listener: &TcpListener) {
        let mut pause = BACKOFF.0;
        // The semaphore is never closed.
        while let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, address)) => {
                    pause = BACKOFF.0;
                    self.spawn(stream, address.ip(), slot);
                }
                Err(error) if is_the_clients(&error) => {
                    tracing::debug!(%error, "a client was gone before it was accepted");
                }
                // Out of descriptors or memory: accepting again at once would spin.
                Err(error) => {
                    tracing::warn!(%error, ?pause, "cannot accept connections, trying again");
                    drop(slot);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(BACKOFF.1);
                }
            }
        }
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
        let driver = Arc::clone(&self.driver);
        let address = ClientAddress(address.to_canonical());
        self.connections.spawn(async move {
            driver.drive(stream, address).await;
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
            self.driver.cut.cancel();
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
