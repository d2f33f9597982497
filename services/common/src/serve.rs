//! `serve`, from the configuration to exit code 0.

use std::{sync::Arc, time::Duration};

use axum::Router;
use sso_kafka::consumer::{Consumer, ConsumerHealth};
use sso_telemetry::Metrics;
use sso_web::{
    listener::{self, Limits, Settings, Shutdown},
    observe,
    signals::Signals,
    vital::Vital,
};
use tokio::{
    net::TcpListener,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Common, Configured, Exit, Failed, Need, Service,
    database::parked::Parked,
    health::{self, Health},
    kafka::{self, of_settings},
    web,
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
        shutdown: end,
        ..
    } = config.common();
    let signals = Signals::catch();
    let mut signals = signals.map_err(|error| Failed::from_error(Exit::Failure, &error))?;
    let service = S::open(config).await?;
    let listener = bind(http.listen).await?;
    let settings = kafka::consumer(kafka, end.drain_timeout)?;
    let parked = Parked {
        database: service.database().clone(),
        topic: kafka.topic.as_str().to_owned(),
        group: kafka.own.group.clone(),
    };
    let registry = kafka::registry(kafka)?;
    let consumer = Consumer::new(settings, registry, service.handler(), Box::new(parked));
    let consumer = consumer.map_err(|error| of_settings(&error))?;

    let health = Health::new();
    let probes = web::probes(
        <S::Config as sso_config::Sections>::PROGRAM,
        &health,
        metrics.clone(),
    );
    let router = web::complete(service.routes(), S::SERIES, probes, http.request_timeout);
    let shutdown = Shutdown {
        stop: CancellationToken::new(),
        drain: end.drain_timeout,
    };
    let running = TaskTracker::new();
    let stop = CancellationToken::new();
    let looks = look(
        Arc::clone(&service),
        consumer.health(),
        Arc::clone(&health),
        metrics,
    );
    running.spawn(until(stop.clone(), looks));
    running.spawn(Arc::clone(&service).background(stop.clone()));
    // Without one of them it is no service: it ends, and its supervisor starts it again.
    let broken = CancellationToken::new();
    let vital = Vital::new(shutdown.stop.clone(), broken.clone());
    let events = vital.spawn("events", consumer.run(vital.stop()));
    let requests = accept(listener, router, limits(config), shutdown.clone());
    vital.spawn("requests", requests);
    health.serving();
    tracing::info!(
        program = <S::Config as sso_config::Sections>::PROGRAM,
        "serving"
    );

    let broke = tokio::select! {
        signal = signals.wait() => {
            tracing::info!(signal, "draining");
            false
        }
        () = broken.cancelled() => true,
    };
    health.draining();
    // A balancer may need its time to see that; a second signal is in a hurry.
    let _ = timeout(end.delay, signals.wait()).await;
    shutdown.stop.cancel();
    let events = events.await;
    vital.ended().await;
    stop.cancel();
    running.close();
    let _ = timeout(end.drain_timeout, running.wait()).await;
    tracing::info!("stopped");
    match events {
        Ok(Ok(())) if broke => {
            let text = "a part of the service has ended by itself".to_owned();
            Err(Failed::new(Exit::Failure, text))
        }
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(of_settings(&error)),
        Err(error) => Err(Failed::from_error(Exit::Failure, &error)),
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
