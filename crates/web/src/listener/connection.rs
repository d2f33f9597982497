//! One connection from its first byte to its last.

use std::{
    convert::Infallible,
    net::IpAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{
        HeaderValue, Request, Response, Version,
        header::{CONNECTION, EXPECT},
    },
};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    Client, ConnectionId, Limits,
    bodies::{Answer, Exchange},
    dropped,
    io::{Counted, Progress},
    opening::Stream,
    room::Guest,
};
use crate::{proxies::TrustedProxies, tls::ClientCertificate};

/// Length of HTTP/2's preface: a client that has sent less, and is no HTTP/1.1 client that has sent
/// a whole request, has not said yet which protocol it speaks.
const PREFACE: u64 = 24;

/// How long a connection that makes room may take to say good-bye.
pub(super) const FAREWELL: Duration = Duration::from_millis(100);

/// The number of the next connection of this process.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// What every connection of a listener shares.
pub(super) struct Driver {
    /// The listener's name, for metrics and logs.
    pub(super) name: &'static str,
    pub(super) builder: Builder<TokioExecutor>,
    pub(super) app: Router,
    pub(super) limits: Limits,
    /// Whose `X-Forwarded-For` counts.
    pub(super) proxies: TrustedProxies,
    /// Ends connections after the answers in flight.
    pub(super) stop: CancellationToken,
    /// Ends connections.
    pub(super) cut: CancellationToken,
}

/// The protocols with their bounds.
pub(super) fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    let head = usize::try_from(limits.max_header_bytes).unwrap_or(usize::MAX);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        // The buffer holds the head and the beginning of the body.
        .max_buf_size(head.saturating_add(16 * 1024).max(64 * 1024))
        .keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(limits.max_header_bytes)
        .max_concurrent_streams(limits.max_concurrent_streams)
        .max_pending_accept_reset_streams(limits.max_pending_resets)
        .max_local_error_reset_streams(limits.max_pending_resets)
        .keep_alive_interval(limits.keep_alive_interval)
        .keep_alive_timeout(limits.keep_alive_timeout);
    builder
}

/// Who is at the other end.
#[derive(Clone)]
pub(super) struct Peer {
    /// Of the connection, or what a trusted proxy says by the PROXY protocol.
    pub(super) address: IpAddr,
    pub(super) certificate: Option<ClientCertificate>,
}

/// What a connection has shown of itself.
#[derive(Default)]
struct Seen {
    any_request: AtomicBool,
    http2: AtomicBool,
}

impl Seen {
    fn note(&self, request: &Request<Incoming>) {
        self.any_request.store(true, Ordering::Relaxed);
        if request.version() == Version::HTTP_2 {
            self.http2.store(true, Ordering::Relaxed);
        }
    }
}

impl Driver {
    /// Drives a connection to its end.
    pub(super) async fn drive(&self, stream: Box<dyn Stream>, peer: Peer, guest: Arc<Guest>) {
        let progress = Arc::new(Progress::default());
        let seen = Arc::new(Seen::default());
        let id = ConnectionId(NEXT.fetch_add(1, Ordering::Relaxed));
        let io = TokioIo::new(Counted::new(stream, Arc::clone(&progress)));
        let service = hyper::service::service_fn(|request: Request<Incoming>| {
            seen.note(&request);
            let exchange = Exchange::new(&guest);
            let request = request.map(|body| exchange.clone().question(body));
            let request = self.introduce(request, &peer, id);
            answer(self.app.clone(), self.stop.clone(), request, exchange)
        });
        let mut connection = pin!(self.builder.serve_connection(io, service));
        let mut stopping = pin!(self.stopping(&seen));
        let mut told = false;
        let mut leaving = pin!(guest.asked_to_leave());
        let mut asked = false;
        let mut farewell = pin!(farewell(&guest));
        let mut watch = pin!(self.watch(&seen, &progress));
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    return;
                }
                () = stopping.as_mut(), if !told => {
                    told = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = leaving.as_mut(), if !asked => {
                    asked = true;
                    dropped(self.name, "made_room");
                    connection.as_mut().graceful_shutdown();
                }
                () = farewell.as_mut(), if asked => return,
                reason = watch.as_mut() => {
                    dropped(self.name, reason);
                    tracing::debug!(reason, "a connection was dropped");
                    return;
                }
                () = self.cut.cancelled() => return,
            }
        }
    }

    /// Tells the handlers who asks.
    fn introduce(
        &self,
        mut request: Request<Body>,
        peer: &Peer,
        id: ConnectionId,
    ) -> Request<Body> {
        let client = Client {
            address: self.proxies.client(peer.address, request.headers()),
            connection: id,
            via_proxy: self.proxies.contains(peer.address),
        };
        let extensions = request.extensions_mut();
        extensions.insert(client);
        if let Some(certificate) = &peer.certificate {
            extensions.insert(certificate.clone());
        }
        request
    }

    /// Resolves when the connection is to end by itself. HTTP/2 tells the client which streams it
    /// will still answer; HTTP/1.1 has only `connection: close` in an answer, so a connection that
    /// is idle is read a little longer: a request may be under way.
    async fn stopping(&self, seen: &Seen) {
        self.stop.cancelled().await;
        if !seen.http2.load(Ordering::Relaxed) {
            tokio::time::sleep(self.limits.linger).await;
        }
    }

    /// Resolves with a reason when the connection is not worth keeping. HTTP/1.1's own header
    /// timeout begins only when it is known to be HTTP/1.1, and nothing else limits a client that
    /// does not read its answer.
    async fn watch(&self, seen: &Seen, progress: &Progress) -> &'static str {
        tokio::time::sleep(self.limits.header_timeout).await;
        if !seen.any_request.load(Ordering::Relaxed) && progress.read() < PREFACE {
            return "no_request";
        }
        loop {
            let before = progress.moved();
            tokio::time::sleep(self.limits.stall_timeout).await;
            if progress.moved() == before {
                return "stalled";
            }
        }
    }
}

/// Resolves when a connection that was told to leave has had its time and answers nothing. Polled
/// from then on only.
async fn farewell(guest: &Guest) {
    loop {
        tokio::time::sleep(FAREWELL).await;
        if guest.is_idle() {
            return;
        }
    }
}

async fn answer(
    app: Router,
    stop: CancellationToken,
    request: Request<Body>,
    exchange: Exchange,
) -> Result<Response<Answer>, Infallible> {
    let http1 = request.version() < Version::HTTP_2;
    let asks_first = http1 && request.headers().contains_key(EXPECT);
    let mut response = app.oneshot(request).await?;
    let heard = exchange.hear_out(asks_first).await;
    // What is left of a request cannot be told from the next one.
    if http1 && (!heard || stop.is_cancelled()) {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    Ok(response.map(|body| exchange.answer(body)))
}
