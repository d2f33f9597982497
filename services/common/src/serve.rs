//! `serve`, from the configuration to exit code 0.

use std::{sync::Arc, time::Duration};

use axum::Router;
use sso_config::Sections;
use sso_kafka::{
    SettingsError,
    consumer::{Consumer, ConsumerHealth},
};
use sso_telemetry::Metrics;
use sso_web::{
    listener::{self, Limits, Settings, Shutdown},
    observe,
    signals::Signals,
    vital::Vital,
};
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Common, Configured, Exit, Failed, Need, Service,
    database::parked::Parked,
    health::{self, Health},
    kafka::{self, Kafka, of_settings},
    section, web,
};

/// The name of the listener in metrics and logs.
const LISTENER: &str = "http";
/// What every service needs.
const KAFKA: &str = "kafka";
/// How often dependencies are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn serve<S: Service>(config: &S::Config, metrics: Metrics) -> Result<(), Failed> {
    let Common {
        http,
        kafka,
        shutdown,
        ..
    } = config.common();
    let signals = Signals::catch();
    let mut signals = signals.map_err(|error| Failed::from_error(Exit::Failure, &error))?;
    let service = S::open(config).await?;
    let inlets = Inlets {
        listener: bind(http.listen).await?,
        consumer: consumer(&service, kafka, shutdown.drain_timeout)?,
    };
    let running = Running::start(config, &service, inlets, metrics);
    let end = running.until_told(&mut signals).await;
    let drained = running.drain(shutdown, &mut signals).await;
    drained.and(end)
}

/// Where work comes from: requests and events.
struct Inlets {
    listener: TcpListener,
    consumer: Consumer,
}

/// Takes the events of the service. Connects to nothing yet.
fn consumer<S: Service>(
    service: &Arc<S>,
    kafka: &Kafka,
    drain: Duration,
) -> Result<Consumer, Failed> {
    let settings = kafka::consumer(kafka, drain)?;
    let parked = Parked {
        database: service.database().clone(),
        topic: kafka.topic.as_str().to_owned(),
        group: kafka.own.group.clone(),
    };
    let registry = kafka::registry(kafka)?;
    Consumer::new(settings, registry, service.handler(), Box::new(parked))
        .map_err(|error| of_settings(&error))
}

/// What runs, until it is told to end.
struct Running {
    health: Arc<Health>,
    /// Requests and events. Without one of them it is no service: it ends, and its supervisor starts
    /// it again.
    vital: Vital,
    /// Cancelled when one of them has ended by itself.
    broken: CancellationToken,
    events: JoinHandle<Result<(), SettingsError>>,
    /// What runs as long as they do, until `stop`.
    beside: TaskTracker,
    stop: CancellationToken,
}

impl Running {
    /// Starts all of it.
    fn start<S: Service>(
        config: &S::Config,
        service: &Arc<S>,
        inlets: Inlets,
        metrics: Metrics,
    ) -> Self {
        let Inlets { listener, consumer } = inlets;
        let Common { http, shutdown, .. } = config.common();
        let program = <S::Config as Sections>::PROGRAM;
        let health = Health::new();
        let probes = web::probes(program, &health, metrics.clone());
        let router = web::complete(service.routes(), S::SERIES, probes, http.request_timeout);

        let beside = TaskTracker::new();
        let stop = CancellationToken::new();
        let looks = look(
            Arc::clone(service),
            consumer.health(),
            Arc::clone(&health),
            metrics,
        );
        beside.spawn(until(stop.clone(), looks));
        beside.spawn(Arc::clone(service).background(stop.clone()));

        let broken = CancellationToken::new();
        let vital = Vital::new(CancellationToken::new(), broken.clone());
        let events = vital.spawn("events", consumer.run(vital.stop()));
        let end = Shutdown {
            stop: vital.stop(),
            drain: shutdown.drain_timeout,
        };
        vital.spawn("requests", accept(listener, router, limits(config), end));
        health.serving();
        tracing::info!(program, "serving");
        Self {
            health,
            vital,
            broken,
            events,
            beside,
            stop,
        }
    }

    /// Waits for what ends it. The error: a part has ended by itself.
    async fn until_told(&self, signals: &mut Signals) -> Result<(), Failed> {
        tokio::select! {
            signal = signals.wait() => {
                tracing::info!(signal, "draining");
                Ok(())
            }
            () = self.broken.cancelled() => {
                let text = "a part of the service has ended by itself".to_owned();
                Err(Failed::new(Exit::Failure, text))
            }
        }
    }

    /// Ends requests and events, then what runs beside. The error: why there were no events.
    async fn drain(self, times: &section::Shutdown, signals: &mut Signals) -> Result<(), Failed> {
        self.health.draining();
        // A balancer may need its time to see that; a second signal is in a hurry.
        let _ = timeout(times.delay, signals.wait()).await;
        self.vital.stop().cancel();
        let events = self.events.await;
        self.vital.ended().await;
        self.stop.cancel();
        self.beside.close();
        let _ = timeout(times.drain_timeout, self.beside.wait()).await;
        tracing::info!("stopped");
        match events {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(of_settings(&error)),
            Err(error) => Err(Failed::from_error(Exit::Failure, &error)),
        }
    }
}

fn limits<C: Configured>(config: &C) -> Limits {
    let http = config.common().http;
    Limits {
        max_connections: http.max_connections,
        max_connections_per_address: http.max_connections_per_address,
        ..Limits::default()
    }
}

async fn accept(listener: TcpListener, router: Router, limits: Limits, shutdown: Shutdown) {
    let settings = Settings {
        name: LISTENER,
        limits,
        ..Settings::default()
    };
    if let Err(error) = listener::serve(listener, router, settings, shutdown).await {
        tracing::error!(%error, "the listener has ended");
    }
}

/// Every metric of the service exists from the start.
pub(crate) fn register_metrics<S: Service>() {
    sso_telemetry::register_metrics();
    listener::register_metrics(&[LISTENER]);
    observe::register(S::SERIES);
    sso_kafka::register_consumer_metrics();
    health::register_metrics(S::NEEDS.iter().copied().chain([KAFKA]));
    S::register_metrics();
}

async fn bind(address: std::net::SocketAddr) -> Result<TcpListener, Failed> {
    let cannot = |error: std::io::Error| {
        let text = format!(
            "http.listen: cannot listen on {address} ({error}): free the port or choose another"
        );
        Failed::new(Exit::Unavailable, text)
    };
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    tracing::info!(address = %listener.local_addr().map_err(cannot)?, "listening");
    Ok(listener)
}

/// Looks at everything that is needed, for ever.
async fn look<S: Service>(
    service: Arc<S>,
    consumer: ConsumerHealth,
    health: Arc<Health>,
    metrics: Metrics,
) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let look = async {
            let kafka = Need {
                name: KAFKA,
                meaning: "events wait",
                problem: consumer.look().await,
                required: false,
            };
            health.set(vec![kafka]);
        };
        let others = async { health.set(service.needs().await) };
        tokio::join!(look, others);
        health.looked();
        metrics.run_upkeep();
    }
}

async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    let _ = stop.run_until_cancelled(work).await;
}
