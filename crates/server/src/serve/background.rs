//! The loops beside the listeners.

use std::{pin::pin, sync::Arc, time::Duration};

use metrics::{Unit, describe_gauge, gauge};
use sso_core::{
    Sso,
    ports::{StoreError, store::Swept},
    revocation::Revocations,
    usecases::{
        audit,
        janitor::{self, Ages},
    },
};
use sso_kafka::KafkaSink;
use sso_store_postgres::servers::Servers;
use sso_telemetry::Metrics;
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::health::{Dependency, Health};

/// Time between two beats: how late a revocation of another process is obeyed. A quarter more after one
/// that came early.
const BEAT: Duration = Duration::from_millis(200);
/// A database that has not answered a beat for so long is said to be down before the beat is given up.
const SILENT: Duration = Duration::from_secs(2);
/// How often Kafka and the registry are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// Least time between two beats, unless the first brought what others wait for: then the second
/// says so at once. A hundred early ones bring nothing more.
const EARLIEST: Duration = Duration::from_millis(10);
/// How often what strangers repeat is looked through for what is to be written.
const AUDIT: Duration = Duration::from_secs(1);
/// Between two batches of the janitor, for everybody else.
const BREATH: Duration = Duration::from_millis(50);

const TRUSTED: &str = "sso_revocation_trusted";
const LEASE: &str = "sso_revocation_lease_seconds";
const ENTRIES: &str = "sso_revocation_entries";
const BEAT_AGE: &str = "sso_revocation_beat_age_seconds";

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
    for name in [TRUSTED, LEASE, ENTRIES, BEAT_AGE] {
        gauge!(name).set(0.0);
    }
}

/// What beats need.
pub(super) struct Beats {
    pub(super) sso: Sso,
    /// Asks for one before its time.
    pub(super) early: Arc<Notify>,
    pub(super) lease: Duration,
    pub(super) health: Arc<Health>,
    /// `None`: the database is embedded.
    pub(super) servers: Option<Servers>,
}

/// Asks for revocations of other processes, and shows what this one knows. One beat at a time,
/// each for a lease at most: an answer that is older gives none.
pub(super) async fn beat(beats: Beats, stop: CancellationToken) {
    let Beats {
        sso,
        early,
        lease,
        health,
        servers,
    } = beats;
    let mut due = Instant::now();
    let mut owed = false;
    loop {
        tokio::select! {
            // First: after the last beat this instance leaves, and another one would bring it back.
            biased;
            () = stop.cancelled() => return,
            () = sleep_until(due) => {}
            () = early.notified() => {}
        }
        let mut beat = pin!(timeout(lease, sso.revocations.beat()));
        let asked = Instant::now();
        // A lease that ends while an answer is awaited is seen to end.
        let answer = loop {
            tokio::select! {
                answer = &mut beat => break answer,
                () = tokio::time::sleep(BEAT) => show_revocation(&sso, &health),
            }
            if asked.elapsed() > SILENT {
                let problem = format!("no answer for {SILENT:?}");
                health.set(Dependency::Database, Some(&problem));
            }
        };
        let problem = match answer {
            Ok(Ok(())) => room(&sso, servers.as_ref()).await,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {lease:?}")),
        };
        health.set(Dependency::Database, problem.as_deref());
        show_revocation(&sso, &health);
        due = Instant::now() + sso.revocations.until_beat(BEAT);
        owed = sso.revocations.owes_beat() && !owed;
        if !owed {
            tokio::time::sleep(EARLIEST).await;
        }
    }
}

/// Why a database that answers beats cannot be written: one that is embedded only reads for a beat, so
/// it is asked; PostgreSQL has said so to whoever tried.
async fn room(sso: &Sso, servers: Option<&Servers>) -> Option<String> {
    match servers {
        None => sso.store.ping().await.err().map(|error| error.to_string()),
        Some(servers) => servers.exhausted(),
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

/// Writes what strangers repeat to the audit log; at the end all of it.
pub(super) async fn audit(sso: Sso, stop: CancellationToken) {
    let mut ticks = interval(AUDIT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let goes_on = stop.run_until_cancelled(ticks.tick()).await.is_some();
        match audit::flush(&sso, !goes_on).await {
            Ok(_) => {}
            Err(error) if goes_on => {
                tracing::warn!(%error, "records of the audit log wait for the store");
            }
            Err(error) => tracing::error!(%error, "records of the audit log are lost"),
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

/// Tells gRPC's health what readiness says, as often as a beat may change that.
pub(super) async fn tell(
    revocations: Arc<Revocations>,
    health: sso_grpc::Health,
    stop: CancellationToken,
) {
    let mut ticks = interval(BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        health.set_able(revocations.is_trusted());
    }
}

/// Keeps what the metrics hold in memory bounded between scrapes.
pub(super) async fn upkeep(metrics: Metrics, stop: CancellationToken) {
    let mut ticks = interval(Metrics::UPKEEP);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        metrics.run_upkeep();
    }
}
