//! The loops beside the listeners.

use std::{sync::Arc, time::Duration};

use metrics::{Unit, describe_gauge, gauge};
use sso_core::{
    Sso,
    ports::{
        StoreError,
        store::{Backlog, EventStatus, Swept},
    },
    usecases::{
        audit,
        janitor::{self, Ages},
        relay::{self, Round},
    },
};
use sso_events::EventSink;
use sso_kafka::KafkaSink;
use sso_telemetry::Metrics;
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::health::{Dependency, Health};

/// Time between two beats: how late a revocation of another process is obeyed.
const BEAT: Duration = Duration::from_millis(200);
/// How often Kafka and the registry are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// Least time between two beats: an early one brings what others wait for, a hundred of them
/// nothing more.
const EARLIEST: Duration = Duration::from_millis(10);
/// How often the relay looks for events that it was not told of: those of the command line.
const SCAN: Duration = Duration::from_millis(500);
/// How often histograms are drained into their buckets.
const UPKEEP: Duration = Duration::from_secs(5);
/// First and longest pause of the relay while the sink or the store is away.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// How often what strangers repeat is looked through for what is to be written.
const AUDIT: Duration = Duration::from_secs(1);
/// Between two batches of the janitor, for everybody else.
const BREATH: Duration = Duration::from_millis(50);

const TRUSTED: &str = "sso_revocation_trusted";
const LEASE: &str = "sso_revocation_lease_seconds";
const ENTRIES: &str = "sso_revocation_entries";
const BEAT_AGE: &str = "sso_revocation_beat_age_seconds";
const BACKLOG: &str = "sso_outbox_backlog";
const OLDEST: &str = "sso_outbox_oldest_seconds";

/// Describes the gauges and makes their series exist at 0.
pub(super) fn register_metrics() {
    describe_gauge!(
        TRUSTED,
        Unit::Count,
        "1 while the set of revocations is trusted, else 0."
    );
    describe_gauge!(
        LEASE,
        Unit::Seconds,
        "How long the set of revocations is still trusted."
    );
    describe_gauge!(ENTRIES, Unit::Count, "Revocations that still matter.");
    describe_gauge!(
        BEAT_AGE,
        Unit::Seconds,
        "How long ago a beat was answered that asked for revocations."
    );
    describe_gauge!(
        BACKLOG,
        Unit::Count,
        "Events in the outbox that are not delivered."
    );
    describe_gauge!(
        OLDEST,
        Unit::Seconds,
        "Age of the oldest event that is not delivered."
    );
    for name in [TRUSTED, LEASE, ENTRIES, BEAT_AGE, OLDEST] {
        gauge!(name).set(0.0);
    }
    show_backlog(Backlog::default(), Duration::ZERO);
}

/// Asks for revocations of other processes, and shows what this one knows. One beat at a time,
/// each for a lease at most: an answer that is older gives none.
pub(super) async fn beat(
    sso: Sso,
    early: Arc<Notify>,
    lease: Duration,
    health: Arc<Health>,
    stop: CancellationToken,
) {
    let mut ticks = interval(BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
            () = early.notified() => ticks.reset(),
        }
        let answer = timeout(lease, sso.revocations.beat()).await;
        let problem = match answer {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {lease:?}")),
        };
        health.set(Dependency::Database, problem.as_deref());
        show_revocation(&sso, &health);
        tokio::time::sleep(EARLIEST).await;
    }
}

fn show_revocation(sso: &Sso, health: &Health) {
    let status = sso.revocations.status();
    let problem = (!status.trusted).then(|| status.to_string());
    health.set(Dependency::Revocation, problem.as_deref());
    if status.trusted {
        health.describe(Dependency::Revocation, status.to_string());
    }
    gauge!(TRUSTED).set(f64::from(u8::from(status.trusted)));
    gauge!(LEASE).set(status.lease_left.as_secs_f64());
    gauge!(ENTRIES).set(u32::try_from(status.entries).unwrap_or(u32::MAX));
    gauge!(BEAT_AGE).set(status.beat_age.unwrap_or_default().as_secs_f64());
}

/// Takes events to the sink until it is told to stop; then what is left, once.
pub(super) async fn relay(
    sso: Sso,
    sink: Arc<dyn EventSink>,
    stored: Arc<Notify>,
    health: Arc<Health>,
    stop: CancellationToken,
) {
    let mut pause = BACKOFF.0;
    loop {
        let round = relay::deliver_pending(sso.store.as_ref(), sink.as_ref(), &sso.clock).await;
        let problem = match &round {
            Ok(Round {
                unreachable: false, ..
            }) => None,
            Ok(_) => Some("the sink is away".to_owned()),
            Err(error) => Some(error.to_string()),
        };
        health.set(Dependency::Events, problem.as_deref());
        show_outbox(&sso).await;
        if stop.is_cancelled() {
            return;
        }
        let wait = match (&problem, &round) {
            (
                None,
                Ok(Round {
                    more: true,
                    refused: 0,
                    ..
                }),
            ) => continue,
            (None, _) => {
                pause = BACKOFF.0;
                SCAN
            }
            (Some(_), _) => {
                pause = (pause * 2).min(BACKOFF.1);
                pause
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = stored.notified(), if problem.is_none() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Looks at Kafka and the registry, so that a problem is known before an event waits.
pub(super) async fn look(kafka: Arc<KafkaSink>, health: Arc<Health>, stop: CancellationToken) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let Some(status) = stop.run_until_cancelled(kafka.look()).await else {
            return;
        };
        health.set(Dependency::Kafka, status.kafka.as_deref());
        health.set(Dependency::Registry, status.registry.as_deref());
    }
}

async fn show_outbox(sso: &Sso) {
    match sso.store.backlog().await {
        Ok(backlog) => {
            let age = backlog.oldest.map(|oldest| sso.clock.now() - oldest);
            let age = age
                .and_then(|age| Duration::try_from(age).ok())
                .unwrap_or_default();
            show_backlog(backlog, age);
        }
        Err(error) => tracing::warn!(%error, "the outbox cannot be counted"),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float; 2^53 events are enough"
)]
fn show_backlog(backlog: Backlog, oldest: Duration) {
    for (status, count) in [
        (EventStatus::InProgress, backlog.in_progress),
        (EventStatus::Failed, backlog.failed),
    ] {
        gauge!(BACKLOG, "status" => status.as_str()).set(count as f64);
    }
    gauge!(OLDEST).set(oldest.as_secs_f64());
}

/// Writes what strangers repeat to the audit log; at the end all of it.
pub(super) async fn audit(sso: Sso, stop: CancellationToken) {
    let mut ticks = interval(AUDIT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let goes_on = stop.run_until_cancelled(ticks.tick()).await.is_some();
        if let Err(error) = audit::flush(&sso, !goes_on).await {
            tracing::error!(%error, "records of the audit log are lost");
        }
        if !goes_on {
            return;
        }
    }
}

/// Deletes what is past its age, table after table, batch after batch.
pub(super) async fn janitor(sso: Sso, ages: Ages, every: Duration, stop: CancellationToken) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        for table in Swept::ALL {
            let swept = stop.run_until_cancelled(clear(&sso, table, &ages));
            if let Some(Err(error)) = swept.await {
                let table = table.as_str();
                tracing::warn!(table, %error, "the janitor could not delete what is old");
            }
        }
    }
}

async fn clear(sso: &Sso, table: Swept, ages: &Ages) -> Result<(), StoreError> {
    while let (_, true) = janitor::sweep(sso, table, ages).await? {
        tokio::time::sleep(BREATH).await;
    }
    Ok(())
}

/// Keeps what the metrics hold in memory bounded between scrapes.
pub(super) async fn upkeep(metrics: Metrics, stop: CancellationToken) {
    let mut ticks = interval(UPKEEP);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        metrics.run_upkeep();
    }
}
