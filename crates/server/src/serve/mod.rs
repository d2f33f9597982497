//! `sso serve`, from the configuration to exit code 0.

mod background;
mod banner;
mod certificates;
mod descriptors;
#[cfg(debug_assertions)]
mod failpoint;
mod health;
mod key_metrics;
mod keys;
mod listeners;
mod redis;
mod relay;
mod replicas;
mod routers;

use std::{sync::Arc, time::Duration};

use sso_core::usecases::janitor::Ages;
use sso_store_postgres::servers::GivenUp;
use sso_telemetry::{LogControl, Metrics};
use sso_web::{listener::Shutdown, signals::Signals};
use tokio::time::{Instant, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    certificates::Certificates,
    health::{Dependency, Health},
    listeners::Listeners,
    routers::World,
};
use crate::{
    config::{Config, Loaded},
    exit::{Exit, Failed},
    wiring::{self, Outlet, Parts, Role},
};

/// How long the first lease is tried for.
const FIRST_BEAT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until SIGTERM or SIGINT, or until only another process can go on.
pub(crate) fn run(loaded: &Loaded) -> Result<Exit, Failed> {
    let fault = |error: &dyn std::error::Error| Failed::from_error(Exit::Failure, error);
    let config = &loaded.config;
    let started =
        sso_telemetry::init_with_traces(&(&config.log).into(), config.telemetry.traces().as_ref());
    let (log, mut tracing) = started.map_err(|error| fault(&error))?;
    let metrics = Metrics::install().map_err(|error| fault(&error))?;
    register_metrics();
    #[cfg(debug_assertions)]
    failpoint::install()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| fault(&error))?;
    runtime.block_on(async {
        tracing.start();
        let exit = serve(loaded, log, metrics).await;
        tracing.end().await;
        exit
    })
}

/// Every metric exists from the start.
pub(crate) fn register_metrics() {
    sso_core::metrics::register();
    sso_crypto::register_metrics();
    wiring::register_metrics();
    sso_http::register_metrics();
    sso_grpc::register_metrics();
    sso_web::listener::register_metrics(&listeners::NAMES);
    certificates::register_metrics();
    background::register_metrics();
    relay::register_metrics();
    key_metrics::register();
    sso_kafka::register_metrics();
    sso_redis::register_metrics();
    sso_telemetry::register_metrics();
}

async fn serve(loaded: &Loaded, log: LogControl, metrics: Metrics) -> Result<Exit, Failed> {
    let config = &loaded.config;
    let signals = Signals::catch();
    let mut signals = signals.map_err(|error| Failed::from_error(Exit::Failure, &error))?;
    descriptors::raise_limit();
    let certificates = Certificates::load(config)?;
    let parts = wiring::open(config, Role::Server, config.revocation.ack_wait).await?;
    let remembered = parts.sso.remember_access_life().await;
    remembered.map_err(|error| wiring::of_failure(error.into()))?;
    let outlet = wiring::outlet(config)?;
    let (listeners, addresses) = Listeners::bind(config).await?;

    let health = Arc::new(Health::new(
        parts.sso.clock.clone(),
        parts.sso.revocations.clone(),
        &dependencies(&outlet, &parts),
    ));
    let grpc_health = sso_grpc::Health::new();
    let shutdown = Shutdown {
        stop: CancellationToken::new(),
        drain: config.shutdown.drain_timeout,
    };
    let world = World {
        loaded,
        parts: &parts,
        health: &health,
        grpc_health: &grpc_health,
        stop: &shutdown.stop,
    };
    let routers = routers::build(&world, &log, &metrics);

    let loops = start_loops(config, &parts, outlet, &health, &metrics).await?;
    let clock = parts.sso.clock.clone();
    let renewal = certificates.clone().watch(clock, loops.stop.clone());
    loops.running.spawn(renewal);
    let connections = TaskTracker::new();
    listeners.serve(config, &certificates, routers, &shutdown, &connections);
    health.serving();
    grpc_health.set_serving(true);
    let revocations = parts.sso.revocations.clone();
    let tell = background::tell(revocations, grpc_health.clone(), loops.stop.clone());
    loops.running.spawn(tell);
    banner::show(loaded, &addresses);

    let end = tokio::select! {
        signal = signals.wait() => {
            tracing::info!(signal, "draining");
            Ok(Exit::Success)
        }
        given_up = given_up(&parts) => {
            tracing::error!(error = %given_up, "draining");
            Err(Failed::from_error(Exit::Unavailable, &given_up))
        }
    };
    health.draining();
    grpc_health.set_serving(false);
    // A balancer may need its time to see that; a second signal is in a hurry.
    let _ = timeout(config.shutdown.delay, signals.wait()).await;
    shutdown.stop.cancel();
    connections.close();
    connections.wait().await;
    loops.end(&parts, config).await;
    tracing::info!("stopped");
    end
}

/// Waits until the primary that this process has met will never come back.
async fn given_up(parts: &Parts) -> GivenUp {
    match &parts.servers {
        Some(servers) => servers.given_up().await,
        None => std::future::pending().await,
    }
}

/// What this installation depends on beside what every one does.
fn dependencies(outlet: &Outlet, parts: &Parts) -> Vec<Dependency> {
    let mut all = Vec::new();
    if let Some(servers) = &parts.servers {
        all.extend((0..servers.replicas().len()).map(Dependency::Replica));
    }
    if outlet.kafka.is_some() {
        all.extend([Dependency::Kafka, Dependency::Registry]);
    }
    if parts.helpers.is_some() {
        all.push(Dependency::Redis);
    }
    all
}

/// The loops beside the listeners.
struct Loops {
    stop: CancellationToken,
    running: TaskTracker,
}

/// Starts the loops, after the first beat: without one no token is validated.
async fn start_loops(
    config: &Config,
    parts: &Parts,
    outlet: Outlet,
    health: &Arc<Health>,
    metrics: &Metrics,
) -> Result<Loops, Failed> {
    first_beat(parts).await?;
    health.all_up();
    let loops = Loops {
        stop: CancellationToken::new(),
        running: TaskTracker::new(),
    };
    let stop = || loops.stop.clone();
    redis::start(
        parts.helpers.as_ref(),
        &parts.sso,
        health,
        &loops.running,
        &loops.stop,
    );
    if let Some(kafka) = outlet.kafka {
        let look = background::look(kafka, health.clone(), stop());
        loops.running.spawn(look);
    }
    if let Some(servers) = &parts.servers {
        let follow = replicas::follow(servers.clone(), health.clone(), stop());
        loops.running.spawn(follow);
    }
    let beat = background::beat(
        parts.sso.clone(),
        parts.early_beat.clone(),
        config.revocation.lease,
        health.clone(),
        stop(),
    );
    loops.running.spawn(beat);
    loops
        .running
        .spawn(keys::follow(parts, health.clone(), stop()));
    let relay = relay::Loops::new(parts, outlet.sink, health.clone());
    loops.running.spawn(relay.run(stop()));
    loops
        .running
        .spawn(background::audit(parts.sso.clone(), stop()));
    let ages = Ages {
        events: config.events.retention,
        audit: config.audit.retention,
        batch: config.janitor.batch,
    };
    let every = config.janitor.interval;
    loops
        .running
        .spawn(background::janitor(parts.sso.clone(), ages, every, stop()));
    loops
        .running
        .spawn(background::upkeep(metrics.clone(), stop()));
    Ok(loops)
}

/// The first beat may need more than one try: where leases are short it must be answered soon.
async fn first_beat(parts: &Parts) -> Result<(), Failed> {
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
    /// Ends the loops and waits for the work after answers, at most as long as for connections.
    async fn end(self, parts: &Parts, config: &Config) {
        self.stop.cancel();
        self.running.close();
        parts.tasks.close();
        let all = async {
            self.running.wait().await;
            parts.tasks.wait().await;
            // No other instance need wait for this one.
            if let Err(error) = parts.sso.revocations.leave().await {
                tracing::warn!(%error, "others wait for this instance until its lease is over");
            }
        };
        if timeout(config.shutdown.drain_timeout, all).await.is_err() {
            tracing::warn!("work was still under way at the end of the drain deadline");
        }
        parts.hashes.stop();
    }
}
