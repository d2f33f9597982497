//! Which partitions are ours, as rebalances tell.

use std::{
    collections::HashMap,
    error::Error,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rdkafka::{
    ClientContext, TopicPartitionList,
    client::OAuthToken,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, ConsumerContext, Rebalance},
    error::KafkaError,
    statistics::{Partition, Statistics},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{context::Context, metrics};

/// A partition, for as long as it is ours.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    /// Tells one time from the next.
    pub(super) generation: u64,
    /// Cancelled when it is ours no more.
    pub(super) over: CancellationToken,
}

/// What librdkafka calls when partitions come and go.
pub(super) struct Membership {
    context: Context,
    claims: Mutex<HashMap<i32, Claim>>,
    generations: AtomicU64,
    changed: Notify,
    /// What the brokers do not let us do.
    refused: Mutex<Option<String>>,
}

impl Membership {
    pub(super) fn new(context: Context) -> Self {
        Self {
            context,
            claims: Mutex::default(),
            generations: AtomicU64::new(0),
            changed: Notify::new(),
            refused: Mutex::default(),
        }
    }

    /// What connections have told.
    pub(super) fn connections(&self) -> &Context {
        &self.context
    }

    /// The claim to a partition, if it is ours.
    pub(super) fn claim(&self, partition: i32) -> Option<Claim> {
        self.claims().get(&partition).cloned()
    }

    /// Whether this is the claim to a partition that we have now.
    pub(super) fn holds(&self, partition: i32, generation: u64) -> bool {
        let claims = self.claims();
        let claim = claims.get(&partition);
        claim.is_some_and(|claim| claim.generation == generation)
    }

    /// Returns once partitions have come or gone since it returned last.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Ends what waits, in all partitions. They stay assigned, so that offsets can be stored.
    pub(super) fn let_go(&self) {
        for claim in self.claims().values() {
            claim.over.cancel();
        }
    }

    /// The brokers show the topic and yet do not let us read it: they say so once, and not when they do, so that it is
    /// believed until an event or a partition comes.
    pub(super) fn refuse(&self, why: String) {
        *self.refused_lock() = Some(why);
    }

    /// They do, now.
    pub(super) fn accept(&self) {
        *self.refused_lock() = None;
    }

    /// Why nothing can be read, though the brokers answer.
    pub(super) fn refused(&self) -> Option<String> {
        self.refused_lock().clone()
    }

    fn refused_lock(&self) -> MutexGuard<'_, Option<String>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claims(&self) -> MutexGuard<'_, HashMap<i32, Claim>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn come(&self, partitions: &TopicPartitionList) {
        if partitions.count() > 0 {
            self.accept();
        }
        for partition in partitions.elements() {
            let claim = Claim {
                generation: self.generations.fetch_add(1, Ordering::Relaxed),
                over: CancellationToken::new(),
            };
            self.claims().insert(partition.partition(), claim);
        }
        self.changed.notify_one();
    }

    fn go(&self, partitions: &TopicPartitionList) {
        for partition in partitions.elements() {
            if let Some(claim) = self.claims().remove(&partition.partition()) {
                claim.over.cancel();
            }
        }
        self.changed.notify_one();
    }
}

impl ClientContext for Membership {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.context.generate_oauth_token(config)
    }

    /// Tells of partitions of others, too.
    fn stats(&self, statistics: Statistics) {
        let topics = statistics.topics.values();
        let partitions = topics.flat_map(|topic| &topic.partitions);
        let ours = partitions.filter(|(number, _)| self.claim(**number).is_some());
        let behind = ours.map(|(_, partition)| lag(partition));
        metrics::lags(behind.sum());
    }
}

/// How many records of a partition are not committed. Where nothing ever was the library says -1: then it
/// is all that there is.
fn lag(partition: &Partition) -> i64 {
    if partition.consumer_lag >= 0 {
        return partition.consumer_lag;
    }
    let (first, end) = (partition.lo_offset, partition.ls_offset);
    // Both are negative until a broker has told.
    if first < 0 { 0 } else { (end - first).max(0) }
}

impl ConsumerContext for Membership {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => self.come(partitions),
            Rebalance::Revoke(partitions) => self.go(partitions),
            Rebalance::Error(error) => tracing::warn!(%error, "a rebalance failed"),
        }
    }
}
