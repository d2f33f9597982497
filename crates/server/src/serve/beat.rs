//! The beat: how this instance hears of revocations of others, and shows what it knows.

use std::{pin::pin, sync::Arc, time::Duration};

use metrics::{Unit, describe_gauge, gauge};
use sso_core::Sso;
use sso_store_postgres::servers::Servers;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::health::{Dependency, Health};

/// Time between two beats: how late a revocation of another process is obeyed. A quarter more after one
/// that came early.
pub(super) const BEAT: Duration = Duration::from_millis(200);
/// A database that has not answered a beat for so long is said to be down before the beat is given up.
const SILENT: Duration = Duration::from_secs(2);
/// Least time between two beats, unless the first brought what others wait for: then the second
/// says so at once. A hundred early ones bring nothing more.
const EARLIEST: Duration = Duration::from_millis(10);

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
pub(super) async fn run(beats: Beats, stop: CancellationToken) {
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
