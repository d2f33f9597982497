//! `sso.v1.Revocations`: a stream of what is over.
//!
//! Each stream has a task that reads the feed and fills a small buffer, so that a watcher who does
//! not read holds neither the feed nor his slot for longer than [`PATIENCE`].

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use prost_types::Timestamp;
use sso_core::{
    Failure, Identity, Kind, Scope, Sso,
    ports::store::{self, Revoked},
    usecases::{
        admit::Doorkeeper,
        watch::{self, Watch, WatchEnded},
    },
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinHandle,
    time::{Instant, Interval, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, async_trait};

use crate::{
    call::Call,
    metrics::watchers::{self, Counted, Ended},
    proto::v1::{
        Beat, Revocation, TokensBelow, WatchRevocationsRequest, WatchRevocationsResponse,
        revocation::Over, revocations_server::Revocations,
    },
    router::GrpcOptions,
};

/// Most streams at once if nothing else is configured.
pub(crate) const DEFAULT_MAX_WATCHERS: usize = 1_000;
/// The longest silence of a stream.
const BEAT: Duration = Duration::from_millis(200);
/// How long a message waits for its reader.
const PATIENCE: Duration = Duration::from_secs(5);
/// Messages that wait for their reader beside those in his HTTP/2 window.
const BUFFER: usize = 8;
/// Most entries of one message, about 60 bytes each: what is read by default is 64 KiB and more.
const PART: usize = 500;

/// The service.
pub(crate) struct RevocationsService {
    sso: Sso,
    keeper: Doorkeeper,
    room: Arc<Semaphore>,
    stop: CancellationToken,
}

impl RevocationsService {
    pub(crate) fn new(options: &GrpcOptions) -> Self {
        Self {
            sso: options.sso.clone(),
            keeper: options.doorkeeper.clone(),
            room: Arc::new(Semaphore::new(options.max_watchers)),
            stop: options.stop.clone(),
        }
    }

    fn open(&self, call: &Call, began: Duration) -> Result<(Watch, Slot), WatchEnded> {
        if self.stop.is_cancelled() {
            return Err(WatchEnded::Stopping);
        }
        let permit = Arc::clone(&self.room).try_acquire_owned();
        let permit = permit.map_err(|_| WatchEnded::Full)?;
        let watch = watch::watch(&self.sso, &call.caller(), began)?;
        Ok((watch, Slot(permit, Counted::new())))
    }
}

type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchRevocationsResponse, Status>> + Send>>;

#[async_trait]
impl Revocations for RevocationsService {
    type WatchStream = WatchStream;

    async fn watch(
        &self,
        request: Request<WatchRevocationsRequest>,
    ) -> Result<Response<WatchStream>, Status> {
        let began = self.sso.clock.monotonic();
        let (call, WatchRevocationsRequest {}) = Call::open(request);
        match self.open(&call, began) {
            Ok((watch, slot)) => {
                let (messages, read) = mpsc::channel(BUFFER);
                let teller = Teller {
                    sso: self.sso.clone(),
                    keeper: self.keeper.clone(),
                    stop: self.stop.clone(),
                    identity: call.caller().identity,
                    call,
                    messages,
                };
                let telling = tokio::spawn(teller.run(watch, slot));
                Ok(Response::new(stream_of(read, telling)))
            }
            Err(ended) => call.end(Err(ended.into())),
        }
    }
}

/// One of the streams that there may be.
#[expect(dead_code, reason = "held, not looked at")]
struct Slot(OwnedSemaphorePermit, Counted);

/// The messages, then why there are no more.
fn stream_of(
    messages: mpsc::Receiver<WatchRevocationsResponse>,
    telling: JoinHandle<Option<Status>>,
) -> WatchStream {
    let first = Some((messages, telling));
    Box::pin(stream::unfold(first, async |open| {
        let (mut messages, telling) = open?;
        if let Some(message) = messages.recv().await {
            return Some((Ok(message), Some((messages, telling))));
        }
        let why = telling
            .await
            .unwrap_or_else(|_| Some(Status::internal("internal error")))?;
        Some((Err(why), None))
    }))
}

/// Why a stream ends.
enum End {
    /// Nobody listens any more.
    Left,
    /// Somebody is to be told.
    Told(Ended, Failure),
}

impl From<WatchEnded> for End {
    fn from(ended: WatchEnded) -> Self {
        let why = match ended {
            WatchEnded::Lagged(_) | WatchEnded::Unread => Ended::Slow,
            WatchEnded::NotAllowed(_) => Ended::Refused,
            WatchEnded::Full | WatchEnded::Stopping => Ended::Stopping,
        };
        Self::Told(why, ended.into())
    }
}

/// Tells one watcher.
struct Teller {
    sso: Sso,
    keeper: Doorkeeper,
    stop: CancellationToken,
    call: Call,
    /// As whom the door let the watcher in.
    identity: Identity,
    messages: mpsc::Sender<WatchRevocationsResponse>,
}

impl Teller {
    /// Until the stream ends; what is to be said of it then.
    async fn run(self, mut watch: Watch, slot: Slot) -> Option<Status> {
        let deadline = self.call.deadline();
        let telling = self.tell(&mut watch);
        let end = match deadline {
            None => telling.await,
            Some(deadline) => timeout(deadline, telling).await.unwrap_or_else(|_| {
                let passed = "the deadline of the call has passed";
                let failure = Failure::new(Kind::DeadlineExceeded, "deadline_exceeded", passed);
                End::Told(Ended::Left, failure)
            }),
        };
        drop((watch, slot));
        match end {
            End::Left => {
                watchers::ended(Ended::Left);
                None
            }
            End::Told(why, failure) => {
                watchers::ended(why);
                Some(self.call.refuse(&failure))
            }
        }
    }

    async fn tell(&self, watch: &mut Watch) -> End {
        let mut ticks = interval(BEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        match self.tell_all(watch, &mut ticks).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn tell_all(
        &self,
        watch: &mut Watch,
        ticks: &mut Interval,
    ) -> Result<std::convert::Infallible, End> {
        loop {
            let part = watch.part(PART);
            if part.is_empty() {
                break;
            }
            self.send(message(&part, None)).await?;
        }
        let mut checked = Instant::now();
        loop {
            let news = watch.news().map_err(End::from)?;
            let beat = Beat {
                sent_after: Some(duration(news.sent_after)),
                trusted_for: Some(duration(news.trusted_for)),
            };
            // The beat belongs to the last of them.
            let mut parts = news.revocations.chunks(PART).peekable();
            if parts.peek().is_none() {
                self.send(message(&[], Some(beat))).await?;
            }
            while let Some(part) = parts.next() {
                let beat = parts.peek().is_none().then_some(beat);
                self.send(message(part, beat)).await?;
            }
            tokio::select! {
                _ = ticks.tick() => {}
                () = watch.changed() => {}
                () = self.messages.closed() => return Err(End::Left),
                () = self.stop.cancelled() => return Err(WatchEnded::Stopping.into()),
            }
            if checked.elapsed() >= BEAT {
                checked = Instant::now();
                self.check().await?;
            }
        }
    }

    async fn send(&self, message: WatchRevocationsResponse) -> Result<(), End> {
        let sent = tokio::select! {
            sent = timeout(PATIENCE, self.messages.send(message)) => sent,
            () = self.stop.cancelled() => return Err(WatchEnded::Stopping.into()),
        };
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_closed)) => Err(End::Left),
            Err(_elapsed) => Err(WatchEnded::Unread.into()),
        }
    }

    /// Whether the watcher may go on.
    async fn check(&self) -> Result<(), End> {
        let shown = self.call.credentials();
        let (keeper, scope) = (&self.keeper, Scope::RevocationsRead);
        let admitted = keeper.still_admits(&self.sso, &self.identity, shown, scope);
        let refused = |error| End::Told(Ended::Refused, Failure::from(error));
        admitted.await.map_err(refused)
    }
}

fn message(entries: &[store::Revocation], beat: Option<Beat>) -> WatchRevocationsResponse {
    WatchRevocationsResponse {
        revocations: entries.iter().map(revocation).collect(),
        beat,
    }
}

fn revocation(entry: &store::Revocation) -> Revocation {
    let over = match entry.revoked {
        Revoked::Session(session) => Over::SessionId(session.to_string()),
        Revoked::TokensBelow(user, version) => Over::TokensBelow(TokensBelow {
            user_id: user.to_string(),
            version: version.get(),
        }),
        Revoked::Key(tag) => Over::KeyTag(tag.to_string()),
    };
    Revocation {
        over: Some(over),
        until: Some(Timestamp {
            seconds: entry.until.unix_timestamp(),
            // Below 10^9.
            nanos: entry.until.nanosecond().cast_signed(),
        }),
    }
}

fn duration(time: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        // Below 10^9.
        nanos: time.subsec_nanos().cast_signed(),
    }
}
