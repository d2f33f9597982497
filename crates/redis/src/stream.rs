//! The stream of revocations: who commits one appends it, all instances read along.

use std::time::Duration;

use redis::{Script, Value, aio::MultiplexedConnection};
use sso_core::ports::{Announcements, store::Revocation};
use tokio::{
    sync::{Mutex, mpsc},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Digest, Redis,
    entry::{decode, encode},
    follow::Link,
    metrics,
    sentence::Whose,
};

/// Most revocations that wait to be appended. One more is lost: the others have it with a beat.
const MOST_WAITING: usize = 4_096;
/// Most that are appended at once.
const BATCH: usize = 128;
/// Most that are read at once.
const PAGE: usize = 512;
/// Most entries of the stream.
const MOST_ENTRIES: usize = 1_000_000;
/// How long a read waits for news.
const BLOCK: Duration = Duration::from_secs(1);
/// With a new master that much is read again: he may have lost the end of what the old one had, and
/// gone on with lower numbers.
const OVERLAP_MS: u64 = 30_000;
/// Between two attempts to read.
const PAUSE: Duration = Duration::from_millis(200);

/// How the stream is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSettings {
    /// Its key begins so.
    pub prefix: String,
    /// How long an entry matters: no token that it concerns lives longer.
    pub keep: Duration,
}

/// The stream.
pub struct RevocationStream {
    redis: Redis,
    key: String,
    keep: Duration,
    seal: Digest,
    append: Script,
    waiting: mpsc::Sender<Revocation>,
    /// The other end, for the loop that appends.
    queue: Mutex<mpsc::Receiver<Revocation>>,
}

/// Never waits. What does not fit is counted as lost.
impl Announcements for RevocationStream {
    fn announce(&self, entries: &[Revocation]) {
        for entry in entries {
            if self.waiting.try_send(*entry).is_err() {
                metrics::count_lost(1);
            }
        }
    }
}

impl RevocationStream {
    /// In `redis`, sealed by `seal`.
    pub fn new(redis: Redis, settings: &StreamSettings, seal: Digest) -> Self {
        let (waiting, queue) = mpsc::channel(MOST_WAITING);
        Self {
            redis,
            key: format!("{}:revocations", settings.prefix),
            keep: settings.keep,
            seal,
            append: Script::new(include_str!("append.lua")),
            waiting,
            queue: Mutex::new(queue),
        }
    }

    /// Appends what is announced, until `stop`. Runs once.
    pub async fn append(&self, stop: CancellationToken) {
        let mut queue = self.queue.lock().await;
        let mut batch = Vec::with_capacity(BATCH);
        while let Some(1..) = stop
            .run_until_cancelled(queue.recv_many(&mut batch, BATCH))
            .await
        {
            self.append_all(&batch).await;
            batch.clear();
        }
    }

    /// Appends these at once: for a process that does nothing else. Where Redis is not
    /// [connected](Redis::examine) they are lost.
    pub async fn tell(&self, entries: &[Revocation]) {
        for batch in entries.chunks(BATCH) {
            self.append_all(batch).await;
        }
    }

    /// Once: whoever is late for this has the beat.
    async fn append_all(&self, batch: &[Revocation]) {
        let entries: Vec<_> = batch
            .iter()
            .filter_map(|entry| encode(entry, &self.seal))
            .collect();
        let Some(width) = entries.first().map(|fields| 2 * fields.len()) else {
            return;
        };
        let Some(mut link) = self.redis.link() else {
            return metrics::count_lost(entries.len());
        };
        let mut call = self.append.prepare_invoke();
        call.key(&self.key)
            .arg(self.keep.as_millis().to_string())
            .arg(MOST_ENTRIES)
            .arg(width);
        for (name, value) in entries.iter().flatten() {
            call.arg(*name).arg(value);
        }
        let done: redis::RedisResult<i64> = call.invoke_async(&mut link.connection).await;
        match done {
            Ok(_) => {
                tracing::trace!(entries = entries.len(), "told by the stream");
                metrics::count_appended(entries.len());
            }
            Err(error) => {
                metrics::count_lost(entries.len());
                self.failed(&link, &error);
            }
        }
    }

    /// Reads along until `stop`, and gives entries of ours to `hear`.
    pub async fn read(&self, hear: impl Fn(&[Revocation]) + Send + Sync, stop: CancellationToken) {
        let mut links = self.redis.links();
        let mut place = Place::default();
        let turns = async {
            loop {
                let link = links.borrow_and_update().clone();
                match link {
                    Some(link) => {
                        tokio::select! {
                            () = self.read_from(&link, &mut place, &hear) => sleep(PAUSE).await,
                            _ = links.changed() => {}
                        }
                    }
                    None => {
                        let _ = links.changed().await;
                    }
                }
            }
        };
        let _: Option<std::convert::Infallible> = stop.run_until_cancelled(turns).await;
    }

    /// Until it fails.
    async fn read_from(
        &self,
        link: &Link,
        place: &mut Place,
        hear: &(impl Fn(&[Revocation]) + Send + Sync),
    ) {
        let connector = self.redis.connector();
        let patience = BLOCK + connector.command_timeout();
        let connected = connector
            .connect(&link.master.address, Whose::Server, patience)
            .await;
        let mut connection = match connected {
            Ok(connection) => connection,
            Err(problem) => return self.redis.note_stream(Some(problem)),
        };
        place.step_back();
        loop {
            let read = self.read_page(&mut connection, place, hear).await;
            if let Err(error) = read {
                return self.failed(link, &error);
            }
            self.redis.note_stream(None);
        }
    }

    async fn read_page(
        &self,
        connection: &mut MultiplexedConnection,
        place: &mut Place,
        hear: &(impl Fn(&[Revocation]) + Send + Sync),
    ) -> redis::RedisResult<()> {
        let mut question = redis::cmd("XREAD");
        question
            .arg("COUNT")
            .arg(PAGE)
            .arg("BLOCK")
            .arg(BLOCK.as_millis().to_string())
            .arg("STREAMS")
            .arg(&self.key)
            .arg(place.to_string());
        let answer: Value = question.query_async(connection).await?;
        let entries = entries(answer);
        if entries.is_empty() {
            let top = self.top(connection).await?;
            if top < *place {
                // Emptied and begun anew.
                *place = Place::default();
            }
            return Ok(());
        }
        let ours: Vec<_> = entries
            .iter()
            .filter_map(|(_, fields)| decode(fields, &self.seal))
            .collect();
        metrics::count_received(ours.len(), entries.len() - ours.len());
        *place = entries
            .iter()
            .map(|(at, _)| *at)
            .max()
            .unwrap_or(*place)
            .max(*place);
        if !ours.is_empty() {
            hear(&ours);
        }
        Ok(())
    }

    /// The place of the last entry; the beginning if there is none.
    async fn top(&self, connection: &mut MultiplexedConnection) -> redis::RedisResult<Place> {
        let mut question = redis::cmd("XREVRANGE");
        question
            .arg(&self.key)
            .arg("+")
            .arg("-")
            .arg("COUNT")
            .arg(1);
        let answer: Value = question.query_async(connection).await?;
        let last = listed(answer).into_iter().next();
        Ok(last.map(|(place, _)| place).unwrap_or_default())
    }

    fn failed(&self, link: &Link, error: &redis::RedisError) {
        let connector = self.redis.connector();
        let problem = connector.problem(&link.master.address, Whose::Server, error);
        self.redis.note_stream(Some(problem));
        self.redis.failed(link, error);
    }
}

/// A place in the stream: an entry's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Place {
    milliseconds: u64,
    sequence: u64,
}

impl Place {
    fn step_back(&mut self) {
        *self = Self {
            milliseconds: self.milliseconds.saturating_sub(OVERLAP_MS),
            sequence: 0,
        };
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (milliseconds, sequence) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self {
            milliseconds: milliseconds.parse().ok()?,
            sequence: sequence.parse().ok()?,
        })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.milliseconds, self.sequence)
    }
}

type Listed = Vec<(Place, Vec<Vec<u8>>)>;

/// What XREAD answers of one stream. Whatever else stands there must not keep us from reading on,
/// so nothing is demanded of it.
fn entries(answer: Value) -> Listed {
    let Value::Array(streams) = answer else {
        return Vec::new();
    };
    let stream = streams.into_iter().next();
    match stream {
        Some(Value::Array(named)) => named.into_iter().nth(1).map(listed).unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn listed(answer: Value) -> Listed {
    let Value::Array(entries) = answer else {
        return Vec::new();
    };
    entries.into_iter().filter_map(entry).collect()
}

fn entry(value: Value) -> Option<(Place, Vec<Vec<u8>>)> {
    let Value::Array(parts) = value else {
        return None;
    };
    let mut parts = parts.into_iter();
    let place = Place::parse(&bytes(parts.next()?)?)?;
    let fields = match parts.next() {
        Some(Value::Array(fields)) => fields.into_iter().filter_map(bytes).collect(),
        // Deleted meanwhile.
        _ => Vec::new(),
    };
    Some((place, fields))
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}
