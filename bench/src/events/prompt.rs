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
const CLIENTS: usize = 16;

/// Registers at two instances in turn: the events of one go to Kafka, of the other to its log.
pub(super) async fn measure(world: &World, plan: &Plan, report: &mut Report) -> Result<()> {
    let (site, _sql) = world.site(plan, "with_events").await?;
    let (mut without, _) = world.site(plan, "without_events").await?;
    without.set("SSO__EVENTS__SINK", "log");
    let (on, off) = (site.serve().await?, without.serve().await?);
    let (mut with, mut bare) = (Series::default(), Series::default());
    let (mut p50, mut p99) = (Series::default(), Series::default());
    for run in 0..=plan.runs {
        let client = |http: &Http| {
            let http = http.clone();
            move |_| Register(http.clone())
        };
        let bare_run = closed_loop(CLIENTS, plan.run, off.pid(), client(&off.http)).await?;
        let seen = Seen::start(&world.kafka.brokers())?;
        let with_run = closed_loop(CLIENTS, plan.run, on.pid(), client(&on.http)).await?;
        let seen = seen.end().await?;
        if run > 0 {
            bare.push(bare_run.rate);
            with.push(with_run.rate);
            p50.push(float(seen.value_at_quantile(0.5)) / 1000.0);
            p99.push(float(seen.value_at_quantile(0.99)) / 1000.0);
        }
    }
    report.goal(
        "registration, events to the log, 16 clients",
        "1/s",
        "",
        &bare,
    );
    report.goal(
        "registration, events to Kafka, 16 clients",
        "1/s",
        "",
        &with,
    );
    let cost = bare.over(&with);
    report.goal(
        "registration with events / without, time",
        "ratio",
        "<= 1.05",
        &cost,
    );
    report.goal("from registered_at to a consumer, p50", "ms", "<= 50", &p50);
    report.goal("from registered_at to a consumer, p99", "ms", "", &p99);
    Ok(())
}

struct Register(Http);

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
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "10");
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
