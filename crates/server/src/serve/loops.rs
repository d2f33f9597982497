//! Which loops run, and how they end.

use std::{sync::Arc, time::Duration};

use sso_core::usecases::janitor::Ages;
use sso_telemetry::Metrics;
use sso_web::vital::Vital;
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    background,
    beat::{self, Beats},
    health::Health,
    janitor, kafka, keys, redis, relay, replicas,
};
use crate::{
    config::Config,
    exit::Failed,
    wiring::{self, Outlet, Parts},
};

/// How long the first lease is tried for.
const FIRST_BEAT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// The loops, running.
pub(super) struct Loops {
    vital: Vital,
    beat: JoinHandle<()>,
}

/// The first beat may need more than one try: where leases are short it must be answered soon. Without
/// one no token is validated.
pub(super) async fn first_beat(parts: &Parts) -> Result<(), Failed> {
    let end = Instant::now() + FIRST_BEAT;
    loop {
        match parts.sso.revocations.beat().await {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() >= end => {
                return Err(Failed::from_error(wiring::exit_of(&error), &error));
            }
            Err(error) => tracing::warn!(%error, "the first beat gave no lease, trying again"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Loops {
    /// Starts them, after the first beat. `broken` is cancelled when one of them ends by itself.
    pub(super) fn start(
        config: &Config,
        parts: &Parts,
        outlet: Outlet,
        health: &Arc<Health>,
        metrics: &Metrics,
        broken: &CancellationToken,
    ) -> Self {
        let vital = Vital::new(CancellationToken::new(), broken.clone());
        let stop = || vital.stop();
        redis::start(parts.helpers.as_ref(), &parts.sso, health, &vital);
        if let Some(kafka) = outlet.kafka {
            let look = kafka::look(kafka, health.clone(), stop());
            vital.spawn("look at Kafka", look);
        }
        if let Some(servers) = &parts.servers {
            let follow = replicas::follow(servers.clone(), health.clone(), stop());
            vital.spawn("look at replicas", follow);
        }
        let beats = Beats {
            sso: parts.sso.clone(),
            early: parts.early_beat.clone(),
            lease: config.revocation.lease,
            health: health.clone(),
            servers: parts.servers.clone(),
        };
        let beat = vital.spawn("beat", beat::run(beats, stop()));
        vital.spawn("keys", keys::follow(parts, health.clone(), stop()));
        let relay = relay::Loops::new(parts, outlet.sink, health.clone());
        vital.spawn("relay", relay.run(stop()));
        vital.spawn("audit", background::audit(parts.sso.clone(), stop()));
        let ages = Ages {
            events: config.events.retention,
            audit: config.audit.retention,
            batch: config.janitor.batch,
        };
        let every = config.janitor.interval;
        let janitor = janitor::run(parts.sso.clone(), ages, every, stop());
        vital.spawn("janitor", janitor);
        vital.spawn("metrics", background::upkeep(metrics.clone(), stop()));
        Self { vital, beat }
    }

    /// What else is to run as long as they do.
    pub(super) fn vital(&self) -> &Vital {
        &self.vital
    }

    /// Ends the loops and waits for the work after answers, at most as long as for connections.
    pub(super) async fn end(self, parts: &Parts, config: &Config) {
        let Self { vital, beat } = self;
        vital.stop().cancel();
        parts.tasks.close();
        let leave = async {
            // After the last beat, which would register it again. Not after the other loops: they may
            // wait for what is away, and others would wait for this instance.
            let _ = beat.await;
            if let Err(error) = parts.sso.revocations.leave().await {
                tracing::warn!(%error, "others wait for this instance until its lease is over");
            }
        };
        let all = async { tokio::join!(leave, vital.ended(), parts.tasks.wait()) };
        if timeout(config.shutdown.drain_timeout, all).await.is_err() {
            tracing::warn!("work was still under way at the end of the drain deadline");
        }
        parts.hashes.stop();
    }
}
