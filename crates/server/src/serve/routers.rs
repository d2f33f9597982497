//! What each listener serves.

use std::sync::Arc;

use axum::{Router, extract::Request, middleware};
use http::HeaderValue;
use sso_core::{
    Caller, Origin, Sso,
    ports::{RandomIds, ThrottleReason},
    usecases::admit::Doorkeeper,
};
use sso_grpc::GrpcOptions;
use sso_http::{AdminState, HttpState, LogLevel, Rendered};
use sso_store_postgres::servers::Allowance;
use sso_telemetry::{Exposition, Filter, LogControl, Metrics};
use sso_web::{rate::Rates, shield};
use tokio_util::sync::CancellationToken;

use super::{health::Health, listeners::Routers};
use crate::{
    config::{Config, CorsOrigin, Loaded},
    wiring::{self, Parts},
};

/// What the routers are made of.
pub(super) struct World<'a> {
    pub(super) loaded: &'a Loaded,
    pub(super) parts: &'a Parts,
    pub(super) health: &'a Arc<Health>,
    pub(super) grpc_health: &'a sso_grpc::Health,
    /// Ends what would hold up a drain.
    pub(super) stop: &'a CancellationToken,
}

/// Makes all of them.
pub(super) fn build(world: &World<'_>, log: &LogControl, metrics: &Metrics) -> Routers {
    let config = &world.loaded.config;
    let by_tls = config.http.tls_cert.is_some() || config.http.public_url.is_https();
    Routers {
        http: transport(
            patient(sso_http::router(http(world, log, metrics)), config),
            by_tls,
        ),
        grpc: transport(
            patient(sso_grpc::router(grpc(world)), config),
            config.grpc.tls_cert.is_some(),
        ),
        admin: transport(
            sso_http::admin_router(admin(world, log, metrics)),
            config.admin.tls_cert.is_some(),
        ),
    }
}

/// Tells browsers to come by TLS only, where they do.
fn transport(router: Router, by_tls: bool) -> Router {
    if by_tls {
        shield::transport(router)
    } else {
        router
    }
}

/// Bounds what a request waits for PostgreSQL in all, so that it is refused by 503 and Retry-After
/// before its time is over. The embedded database has bounds of its own.
fn patient(router: Router, config: &Config) -> Router {
    if config.database.url.is_embedded() {
        return router;
    }
    let connections = config.database.acquire_timeout;
    let rest = config.http.request_timeout.saturating_sub(connections);
    let allowance = Allowance {
        connections,
        answers: connections + rest / 2,
    };
    let bounded =
        move |request: Request, next: middleware::Next| allowance.of_request(next.run(request));
    router.layer(middleware::from_fn(bounded))
}

fn http(world: &World<'_>, log: &LogControl, metrics: &Metrics) -> HttpState {
    let development = world.loaded.development;
    let http = &world.loaded.config.http;
    let tokens = Arc::clone(&world.parts.keys.tokens);
    HttpState {
        sso: world.parts.sso.clone(),
        health: Arc::clone(world.health) as _,
        jwks: Arc::new(move || tokens.jwks()),
        jwks_max_age: world.loaded.config.keys.jwks_max_age,
        metrics: http.expose_metrics.then(|| render(metrics)),
        admin: development.then(|| admin(world, log, metrics)),
        new_request_id: request_ids(&world.parts.sso),
        request_timeout: http.request_timeout,
        cors_origins: http.cors_origins.iter().filter_map(origin).collect(),
        rates: rates(world, world.loaded.config.throttle.requests_per_second),
        loopback_only: development,
    }
}

/// An origin is a URL's scheme, host and port: always a good value of a header.
fn origin(origin: &CorsOrigin) -> Option<HeaderValue> {
    origin.as_str().parse().ok()
}

fn grpc(world: &World<'_>) -> GrpcOptions {
    let config = &world.loaded.config;
    let sso = world.parts.sso.clone();
    let ids = request_ids(&sso);
    GrpcOptions {
        request_timeout: config.http.request_timeout,
        max_message_size: config.grpc.max_message_size,
        rates: rates(world, config.throttle.grpc_requests_per_second),
        loopback_only: world.loaded.development,
        health: world.grpc_health.clone(),
        doorkeeper: Doorkeeper {
            callers: Arc::new(wiring::callers(&config.grpc.callers)),
            require_caller: config.grpc.require_caller,
        },
        max_watchers: config.grpc.max_watchers,
        stop: world.stop.clone(),
        ..GrpcOptions::new(sso, ids)
    }
}

fn admin(world: &World<'_>, log: &LogControl, metrics: &Metrics) -> AdminState {
    let listen = world.loaded.config.admin.listen.address();
    AdminState {
        health: Arc::clone(world.health) as _,
        metrics: render(metrics),
        log_level: Arc::new(Level {
            log: log.clone(),
            sso: world.parts.sso.clone(),
        }),
        new_request_id: request_ids(&world.parts.sso),
        clock: world.parts.sso.clock.clone(),
        loopback_only: listen.is_some_and(|address| address.ip().is_loopback()),
    }
}

/// The filter of the running process.
struct Level {
    log: LogControl,
    /// Whose audit log is told.
    sso: Sso,
}

impl LogLevel for Level {
    fn get(&self) -> String {
        self.log
            .level()
            .map(|level| level.to_string())
            .unwrap_or_default()
    }

    fn set(&self, filter: &str, by: Origin) -> Result<(), String> {
        let filter: Filter = filter.parse().map_err(|error| format!("{error}"))?;
        let set = self.log.set_level(&filter);
        set.map_err(|error| error.to_string())?;
        self.sso.note_log_level(by, &filter.to_string());
        Ok(())
    }
}

fn render(metrics: &Metrics) -> sso_http::Metrics {
    let metrics = metrics.clone();
    Arc::new(move |accept| {
        let exposition = Exposition::of_accept(accept);
        Rendered {
            content_type: exposition.content_type(),
            text: metrics.render_as(exposition),
        }
    })
}

/// Each listener has buckets of its own.
fn rates(world: &World<'_>, per_second: u32) -> Option<Arc<Rates>> {
    let clock = world.parts.sso.clock.clone();
    let now = Arc::new(move || clock.monotonic());
    let throttle = &world.loaded.config.throttle;
    throttle
        .enabled
        .then(|| Arc::new(Rates::new(per_second, now).telling(told(&world.parts.sso))))
}

/// For the audit log.
fn told(sso: &Sso) -> sso_web::rate::Told {
    let sso = sso.clone();
    Arc::new(move |address| {
        let origin = Origin {
            address: Some(address),
            ..Origin::default()
        };
        sso.note_throttled(&Caller::anonymous(origin), ThrottleReason::Address);
    })
}

fn request_ids(sso: &Sso) -> Arc<dyn Fn() -> String + Send + Sync> {
    let (clock, random) = (sso.clock.clone(), sso.random.clone());
    Arc::new(move || random.uuid_v7(clock.now()).to_string())
}
