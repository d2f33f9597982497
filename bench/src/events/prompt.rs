//! What events cost a registration, and how soon a consumer has them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use prost::Message as _;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    config::FromClientConfig,
    consumer::{BaseConsumer, Consumer},
};
use sso_events::registration::RegistrationMessage;
use sso_testkit::{http::Http, persona::Persona};
use time::OffsetDateTime;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{PARTITIONS, TOPIC, World};
use crate::{
    Plan,
    load::{Ask, closed_loop, float},
    report::{Report, Series},
};

/// Registrations under way at once.
pub(super) const CLIENTS: usize = 16;

/// What a registration costs besides its event.
#[derive(Clone, Copy)]
enum Hash {
    /// The default parameters: what a registration costs.
    Whole,
    /// The least, so that the event's share is seen at all.
    Least,
}

/// Registers with the hash that is the default, and with one that costs next to nothing.
pub(super) async fn measure(world: &World, plan: &Plan, report: &mut Report) -> Result<()> {
    let whole = compare(world, plan, Hash::Whole).await?;
    report.figure("registration, events to the log", "1/s", &whole.bare);
    report.figure("registration, events to Kafka", "1/s", &whole.with);
    let what = "registration with events / without, time";
    report.goal(what, "ratio", "<= 1.05", &whole.bare.over(&whole.with));
    let what = "from registered_at to a consumer, p50";
    report.goal(what, "ms", "<= 50", &whole.p50);
    report.figure("from registered_at to a consumer, p99", "ms", &whole.p99);
    let least = compare(world, plan, Hash::Least).await?;
    report.figure("least hash: events to the log", "1/s", &least.bare);
    report.figure("least hash: events to Kafka", "1/s", &least.with);
    let cost = least.bare.over(&least.with);
    report.figure("least hash: with events / without, time", "ratio", &cost);
    let what = "least hash: from registered_at to a consumer, p50";
    report.figure(what, "ms", &least.p50);
    let what = "least hash: from registered_at to a consumer, p99";
    report.figure(what, "ms", &least.p99);
    Ok(())
}

/// What was seen of two instances in turn.
#[derive(Default)]
struct Compared {
    /// Registrations a second with events to the log, and to Kafka.
    bare: Series,
    with: Series,
    /// Milliseconds from a registration to a consumer.
    p50: Series,
    p99: Series,
}

/// Registers at two instances in turn: the events of one go to Kafka, of the other to its log.
async fn compare(world: &World, plan: &Plan, hash: Hash) -> Result<Compared> {
    let names = match hash {
        Hash::Whole => ("with_events", "without_events"),
        Hash::Least => ("with_events_least", "without_events_least"),
    };
    let (mut site, _sql) = world.site(plan, names.0).await?;
    let (mut without, _) = world.site(plan, names.1).await?;
    without.set("SSO__EVENTS__SINK", "log");
    if let Hash::Whole = hash {
        for site in [&mut site, &mut without] {
            site.unset("SSO__PASSWORDS__ARGON2_MEMORY")
                .unset("SSO__PASSWORDS__ARGON2_ITERATIONS");
        }
    }
    let (on, off) = (site.serve().await?, without.serve().await?);
    let mut compared = Compared::default();
    for counts in plan.turns() {
        let client = |http: &Http| {
            let http = http.clone();
            move |_| Register(http.clone())
        };
        let bare = closed_loop(CLIENTS, plan.run, off.pid(), client(&off.http)).await?;
        let seen = Seen::start(&world.kafka.brokers())?;
        let with = closed_loop(CLIENTS, plan.run, on.pid(), client(&on.http)).await?;
        let seen = seen.end().await?;
        if counts {
            compared.bare.push(bare.rate);
            compared.with.push(with.rate);
            let millis = |quantile| float(seen.value_at_quantile(quantile)) / 1000.0;
            compared.p50.push(millis(0.5));
            compared.p99.push(millis(0.99));
        }
    }
    Ok(compared)
}

/// A client that registers one user after the other.
pub(super) struct Register(pub(super) Http);

impl Ask for Register {
    async fn ask(&mut self) -> Result<()> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("u{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Persona::register(&self.0, &name).await.map(drop)
    }
}

/// A consumer that looks how old what it gets is. The clock of the event is from before its commit,
/// so it sees more than the way from the commit.
struct Seen {
    stop: Arc<AtomicBool>,
    reading: JoinHandle<Result<Histogram<u64>>>,
}

impl Seen {
    fn start(brokers: &str) -> Result<Self> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", brokers)
            .set("group.id", "bench")
            .set("enable.auto.commit", "false");
        let consumer = BaseConsumer::from_config(&config)?;
        let mut from_now = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            let patience = Duration::from_secs(10);
            let (_, end) = consumer.fetch_watermarks(TOPIC, partition, patience)?;
            from_now.add_partition_offset(TOPIC, partition, Offset::Offset(end))?;
        }
        consumer.assign(&from_now)?;
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let reading = spawn_blocking(move || read(&consumer, &until));
        Ok(Self { stop, reading })
    }

    async fn end(self) -> Result<Histogram<u64>> {
        self.stop.store(true, Ordering::Relaxed);
        self.reading.await?
    }
}

fn read(consumer: &BaseConsumer, stop: &AtomicBool) -> Result<Histogram<u64>> {
    let mut ages = Histogram::new(3)?;
    while !stop.load(Ordering::Relaxed) {
        let Some(message) = consumer.poll(Duration::from_millis(50)) else {
            continue;
        };
        let message = message?;
        #[expect(
            clippy::disallowed_methods,
            reason = "the event tells the machine's time"
        )]
        let now = OffsetDateTime::now_utc();
        let value = message.payload().and_then(|value| value.get(6..));
        let event = RegistrationMessage::decode(value.context("no value")?)?;
        let at = event.registered_at.context("no time")?;
        let at = OffsetDateTime::from_unix_timestamp(at.seconds)?
            + time::Duration::nanoseconds(at.nanos.into());
        ages.record(u64::try_from((now - at).whole_microseconds().max(1))?)?;
    }
    ensure!(!ages.is_empty(), "the consumer got nothing");
    Ok(ages)
}
