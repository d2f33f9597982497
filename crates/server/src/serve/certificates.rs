//! The certificates of the listeners, and their renewal while the service runs.

use std::{sync::Arc, time::Duration};

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use sso_core::ports::Clock;
use sso_web::tls::{Reload, Tls, TlsError};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    listeners::NAMES,
    tls_files::{self, Named},
};
use crate::{
    config::Config,
    exit::{Exit, Failed},
};

/// How often the files are looked at. They are read, not asked for their times: a volume of
/// Kubernetes swaps a link, and a copy may keep its time.
const POLL: Duration = Duration::from_secs(5);

/// A certificate that ends sooner is worth a word in the log.
pub(crate) const SOON: i64 = 14 * 24 * 60 * 60;

const EXPIRY: &str = "sso_tls_certificate_expiry_seconds";
const RELOADS: &str = "sso_tls_reloads_total";

/// Those of each listener; `None` is in clear.
#[derive(Debug, Clone)]
pub(super) struct Certificates {
    pub(super) http: Option<Arc<Tls>>,
    pub(super) grpc: Option<Arc<Tls>>,
    pub(super) admin: Option<Arc<Tls>>,
}

/// Describes the metrics. The expiry has a series only where there is a certificate: 0 would raise
/// an alarm.
pub(super) fn register_metrics() {
    describe_gauge!(
        EXPIRY,
        Unit::Seconds,
        "When the certificate in use ends, in seconds since 1970, by listener."
    );
    describe_counter!(
        RELOADS,
        Unit::Count,
        "New certificates, taken over or refused, by listener."
    );
    for listener in NAMES {
        for outcome in ["replaced", "refused"] {
            counter!(RELOADS, "listener" => listener, "outcome" => outcome).absolute(0);
        }
    }
}

/// The series that a listener with a certificate has, for the list of all metrics: at 0 it would be one
/// that ended long ago.
pub(crate) fn register_example() {
    for listener in NAMES {
        let _ = gauge!(EXPIRY, "listener" => listener);
    }
}

impl Certificates {
    /// Reads all that are configured.
    pub(super) fn load(config: &Config) -> Result<Self, Failed> {
        let [http, grpc, admin] = tls_files::of_listeners(config);
        Ok(Self {
            http: load(http)?,
            grpc: load(grpc)?,
            admin: load(admin)?,
        })
    }

    fn by_listener(&self) -> Vec<(&'static str, Arc<Tls>)> {
        let all = [&self.http, &self.grpc, &self.admin];
        let named = NAMES.into_iter().zip(all);
        named
            .filter_map(|(name, tls)| Some((name, Arc::clone(tls.as_ref()?))))
            .collect()
    }

    /// Takes over new files until it is told to stop: within seconds, or at once on SIGHUP, which
    /// ends a process that has no certificates, as it does any other.
    pub(super) async fn watch(self, clock: Arc<dyn Clock>, stop: CancellationToken) {
        let all = self.by_listener();
        if all.is_empty() {
            return stop.cancelled().await;
        }
        for (listener, tls) in &all {
            show(listener, tls, clock.as_ref());
        }
        let mut hangups = match signal(SignalKind::hangup()) {
            Ok(hangups) => hangups,
            Err(error) => return tracing::error!(%error, "certificates will not be renewed"),
        };
        let mut ticks = interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
                _ = hangups.recv() => tracing::info!("SIGHUP: looking at the certificates"),
            }
            for (listener, tls) in &all {
                let looked = Arc::clone(tls);
                let found = tokio::task::spawn_blocking(move || looked.reload()).await;
                match found {
                    Ok(found) => told(listener, tls, found, clock.as_ref()),
                    Err(error) => tracing::error!(%error, listener, "cannot look at certificates"),
                }
            }
        }
    }
}

fn load(named: Option<Named>) -> Result<Option<Arc<Tls>>, Failed> {
    let Some(named) = named else {
        return Ok(None);
    };
    let refused = |(key, error)| Failed::new(Exit::Configuration, format!("{key}: {error}"));
    let tls = named.load().map_err(refused)?;
    Ok(Some(Arc::new(tls)))
}

fn told(listener: &'static str, tls: &Tls, found: Result<Reload, TlsError>, clock: &dyn Clock) {
    let outcome = match found {
        Ok(Reload::Unchanged) => return,
        Ok(Reload::Replaced) => {
            tracing::info!(listener, "a new certificate is in use");
            show(listener, tls, clock);
            "replaced"
        }
        Err(error) => {
            tracing::error!(%error, listener, "the new certificate is refused, the old one stays");
            "refused"
        }
    };
    counter!(RELOADS, "listener" => listener, "outcome" => outcome).increment(1);
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float; seconds are exact for longer than certificates last"
)]
fn show(listener: &'static str, tls: &Tls, clock: &dyn Clock) {
    let expiry = tls.expiry();
    gauge!(EXPIRY, "listener" => listener).set(expiry as f64);
    let left = expiry - clock.now().unix_timestamp();
    if left < SOON {
        let days = left.div_euclid(24 * 60 * 60);
        tracing::warn!(
            listener,
            days,
            "the certificate in use ends soon, or has ended"
        );
    }
}
