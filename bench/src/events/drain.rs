//! A backlog in PostgreSQL, drained by one instance, against the producer library alone.

use std::{collections::VecDeque, time::Duration};

use anyhow::{Context, Result, ensure};
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::{DeliveryFuture, FutureRecord},
};
use sso_events::{Registered, encode_registration};
use sso_testkit::servers::kafka::Record;
use time::macros::datetime;
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;
use uuid::Uuid;

use super::{TOPIC, World, rate};
use crate::{
    Plan,
    report::{Report, Series},
};

/// Events for each second of a run, at least: the goal's rate.
const EACH_SECOND: u64 = 20_000;
/// Events that one statement stores.
const FILLED_AT_ONCE: u64 = 50_000;
/// Records of the library alone that are under way.
const IN_FLIGHT: usize = 8_000;

/// So many events for a run.
pub(super) fn size(plan: &Plan) -> u64 {
    EACH_SECOND * plan.run.as_secs().max(1)
}

/// Fills the outbox, lets one instance drain it, and sends as many records of the same size. The
/// rates of the drains.
pub(super) async fn measure(world: &World, plan: &Plan, report: &mut Report) -> Result<Series> {
    let count = size(plan);
    let (mut alone, mut ours) = (Series::default(), Series::default());
    let (site, sql) = world.site(plan, "drain").await?;
    // The registry knows the schema, the topic is warm.
    fill(&sql, 100).await?;
    let server = site.serve().await?;
    drained(&sql).await?;
    drop(server);
    let records = world.kafka.consume_all(TOPIC).await?;
    let like = records.first().context("no record")?.clone();
    for counts in plan.turns() {
        let library = library(world, &like, count).await?;
        fill(&sql, count).await?;
        let server = site.serve().await?;
        let relay = drain(&sql, count).await?;
        drop(server);
        if counts {
            alone.push(library);
            ours.push(relay);
        }
    }
    report.goal("producer library alone", "1/s", "", &alone);
    report.goal(
        "outbox drained to Kafka, one instance",
        "1/s",
        ">= 20000",
        &ours,
    );
    let ratio = ours.over(&alone);
    report.goal(
        "outbox / producer library alone",
        "ratio",
        ">= 0.50",
        &ratio,
    );
    Ok(ours)
}

/// Stores so many events of as many users, with ids as the service makes them, and lets nothing of
/// the runs before be in the way.
#[expect(clippy::disallowed_methods, reason = "nothing depends on which ids")]
pub(super) async fn fill(sql: &Client, count: u64) -> Result<()> {
    sql.batch_execute("truncate outbox").await?;
    let payload = encode_registration(&Registered {
        event_id: Uuid::from_u128(1 << 127),
        user_id: Uuid::from_u128(2 << 120),
        email: "somebody.of.some.length@example.com",
        name: Some("Somebody of Some Length"),
        at: datetime!(2026-01-02 03:04:05 UTC),
    });
    let insert = "
        insert into outbox (id, user_id, shard, kind, payload, status, attempts, created_at)
        select event, subject, get_byte(uuid_send(subject), 15) % 8, 'registration', $1,
               'inProgress', 0, now()
        from unnest($2::uuid[], $3::uuid[]) as s (event, subject)";
    let mut left = count;
    while left > 0 {
        let some = left.min(FILLED_AT_ONCE);
        let ids = || (0..some).map(|_| Uuid::now_v7()).collect::<Vec<_>>();
        sql.execute(insert, &[&payload, &ids(), &ids()]).await?;
        left -= some;
    }
    sql.batch_execute("vacuum analyze outbox").await?;
    Ok(())
}

/// From the first event that stands as delivered to the last.
pub(super) async fn drain(sql: &Client, count: u64) -> Result<f64> {
    let delivered = "select count(*) from outbox where status = 'Success'";
    let before = loop {
        let delivered: i64 = sql.query_one(delivered, &[]).await?.get(0);
        if delivered > 0 {
            break u64::try_from(delivered)?;
        }
        sleep(Duration::from_millis(5)).await;
    };
    let started = Instant::now();
    drained(sql).await?;
    ensure!(before < count, "too few events to measure");
    Ok(rate(count - before, started.elapsed()))
}

async fn drained(sql: &Client) -> Result<()> {
    let waiting = "select exists (select from outbox where status = 'inProgress')";
    while sql.query_one(waiting, &[]).await?.get(0) {
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// The same library with the same settings, and nothing else to do.
async fn library(world: &World, like: &Record, count: u64) -> Result<f64> {
    let producer = world.producer()?;
    let value = like.value.as_deref().context("no value")?;
    let headers = || {
        let start = OwnedHeaders::new_with_capacity(like.headers.len());
        like.headers.iter().fold(start, |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: Some(value),
            })
        })
    };
    let mut under_way: VecDeque<DeliveryFuture> = VecDeque::with_capacity(IN_FLIGHT);
    let started = Instant::now();
    for number in 0..count {
        if under_way.len() == IN_FLIGHT {
            acknowledged(under_way.pop_front()).await?;
        }
        // Spread over the partitions as ids of users are.
        let key = Uuid::from_u128(u128::from(number) << 64).to_string();
        let record = FutureRecord::to(TOPIC)
            .key(&key)
            .payload(value)
            .headers(headers());
        let queued = producer.send_result(record).map_err(|(error, _)| error)?;
        under_way.push_back(queued);
    }
    while !under_way.is_empty() {
        acknowledged(under_way.pop_front()).await?;
    }
    Ok(rate(count, started.elapsed()))
}

async fn acknowledged(report: Option<DeliveryFuture>) -> Result<()> {
    if let Some(report) = report {
        report.await?.map_err(|(error, _)| error)?;
    }
    Ok(())
}
