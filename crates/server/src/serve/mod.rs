//! `sso serve`, from the configuration to exit code 0.

mod background;
mod banner;
mod beat;
pub(crate) mod certificates;
mod descriptors;
#[cfg(debug_assertions)]
mod failpoint;
mod health;
mod janitor;
mod kafka;
mod key_metrics;
mod keys;
mod listeners;
mod loops;
mod redis;
mod relay;
mod replicas;
mod routers;
pub(crate) mod tls_files;

use std::sync::Arc;

use sso_store_postgres::servers::GivenUp;
use sso_telemetry::{LogControl, Metrics};
use sso_web::{listener::Shutdown, signals::Signals, vital::Vital};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::{
    certificates::Certificates,
    health::{Dependency, Health},
    listeners::{Listeners, Routers},
    loops::Loops,
    routers::World,
};
use crate::{
    config::{Config, Loaded},
    exit::{Exit, Failed},
    wiring::{self, Outlet, Parts, Role},
};

/// Serves until SIGTERM or SIGINT, or until only another process can go on.
pub(crate) fn run(loaded: &Loaded) -> Result<Exit, Failed> {
    let fault = |error: &dyn std::error::Error| Failed::from_error(Exit::Failure, error);
    let config = &loaded.config;
    let started = sso_telemetry::init(&(&config.log).into(), config.telemetry.traces().as_ref());
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
        let exit = Box::pin(serve(loaded, log, metrics)).await;
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
    beat::register_metrics();
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
    // Another's migration may be waited for; who wants an end meanwhile need not wait for that.
    let parts = tokio::select! {
        parts = open(config) => parts?,
        signal = signals.wait() => {
            tracing::info!(signal, "stopped before it served");
            return Ok(Exit::Success);
        }
    };
    let outlet = wiring::outlet(config)?;
    let (listeners, addresses) = Listeners::bind(config).await?;

    let running = Running::new(loaded, parts, &outlet);
    let routers = running.routers(&log, &metrics);
    // Whoever asks before the first beat is told that this starts; nothing is validated without one.
    running.listen(listeners, &certificates, routers);
    tokio::select! {
        beat = loops::first_beat(&running.parts) => beat?,
        signal = signals.wait() => {
            tracing::info!(signal, "stopped before it served");
            // It may be registered already: then the others would wait for its lease.
            let left = running.parts.sso.revocations.leave();
            let _ = timeout(config.shutdown.drain_timeout, left).await;
            return Ok(Exit::Success);
        }
    }
    let loops = running.begin(outlet, &certificates, &metrics);
    banner::show(loaded, &addresses);

    let end = running.until_told(&mut signals).await;
    running.drain(loops, &mut signals).await;
    end
}

/// This process, from its first connection to the end of its last.
struct Running<'a> {
    loaded: &'a Loaded,
    parts: Parts,
    health: Arc<Health>,
    grpc_health: sso_grpc::Health,
    /// Ends the listeners.
    shutdown: Shutdown,
    /// The listeners.
    connections: Vital,
    /// Cancelled when a part has ended by itself.
    broken: CancellationToken,
}

impl<'a> Running<'a> {
    /// Nothing runs yet.
    fn new(loaded: &'a Loaded, parts: Parts, outlet: &Outlet) -> Self {
        let health = Arc::new(Health::new(
            parts.sso.clock.clone(),
            parts.sso.revocations.clone(),
            &dependencies(outlet, &parts),
        ));
        let shutdown = Shutdown {
            stop: CancellationToken::new(),
            drain: loaded.config.shutdown.drain_timeout,
        };
        let broken = CancellationToken::new();
        Self {
            loaded,
            parts,
            health,
            grpc_health: sso_grpc::Health::new(),
            connections: Vital::new(shutdown.stop.clone(), broken.clone()),
            shutdown,
            broken,
        }
    }

    fn routers(&self, log: &LogControl, metrics: &Metrics) -> Routers {
        let world = World {
            loaded: self.loaded,
            parts: &self.parts,
            health: &self.health,
            grpc_health: &self.grpc_health,
            stop: &self.shutdown.stop,
        };
        routers::build(&world, log, metrics)
    }

    /// Accepts connections.
    fn listen(&self, listeners: Listeners, certificates: &Certificates, routers: Routers) {
        let Self {
            shutdown,
            connections,
            ..
        } = self;
        let config = &self.loaded.config;
        listeners.serve(config, certificates, routers, shutdown, connections);
    }

    /// Starts the loops, after the first beat; from then on requests are welcome.
    fn begin(&self, outlet: Outlet, certificates: &Certificates, metrics: &Metrics) -> Loops {
        let Self { parts, health, .. } = self;
        health.all_up();
        let config = &self.loaded.config;
        let loops = Loops::start(config, parts, outlet, health, metrics, &self.broken);
        let vital = loops.vital();
        let clock = parts.sso.clock.clone();
        vital.spawn(
            "certificates",
            certificates.clone().watch(clock, vital.stop()),
        );
        health.serving();
        self.grpc_health.set_serving(true);
        let revocations = parts.sso.revocations.clone();
        let tell = background::tell(revocations, self.grpc_health.clone(), vital.stop());
        vital.spawn("health of gRPC", tell);
        loops
    }

    /// Waits for what ends it: a signal, or that only another process can go on.
    async fn until_told(&self, signals: &mut Signals) -> Result<Exit, Failed> {
        tokio::select! {
            signal = signals.wait() => {
                tracing::info!(signal, "draining");
                Ok(Exit::Success)
            }
            given_up = given_up(&self.parts) => {
                tracing::error!(error = %given_up, "draining");
                Err(Failed::from_error(Exit::Unavailable, &given_up))
            }
            () = self.broken.cancelled() => {
                let text = "a part of the service has ended by itself".to_owned();
                Err(Failed::new(Exit::Failure, text))
            }
        }
    }

    /// Ends the listeners after the answers in flight, then the loops.
    async fn drain(&self, loops: Loops, signals: &mut Signals) {
        let config = &self.loaded.config;
        self.health.draining();
        self.grpc_health.set_serving(false);
        // A balancer may need its time to see that; a second signal is in a hurry.
        let _ = timeout(config.shutdown.delay, signals.wait()).await;
        self.shutdown.stop.cancel();
        self.connections.ended().await;
        loops.end(&self.parts, config).await;
        tracing::info!("stopped");
    }
}

/// Opens what it stands on.
async fn open(config: &Config) -> Result<Parts, Failed> {
    let parts = wiring::open(config, Role::Server, config.revocation.ack_wait).await?;
    let remembered = parts.sso.remember_access_life().await;
    remembered.map_err(|error| wiring::of_failure(error.into()))?;
    Ok(parts)
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
