//! The one router of the port.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, Method, Version, header::CONTENT_TYPE},
    response::IntoResponse,
};
use sso_core::{Service, Sso, ports::Callers, usecases::admit::Doorkeeper};
use sso_web::{
    host, panics,
    rate::{self, Rates},
    request_id, shield,
};
use tokio_util::sync::CancellationToken;
use tonic::{codec::CompressionEncoding, service::Routes};
use tonic_reflection::pb::{
    v1::FILE_DESCRIPTOR_SET as V1, v1alpha::FILE_DESCRIPTOR_SET as V1ALPHA,
};
use tower::ServiceExt;

use crate::{
    audit::AuditService,
    auth::AuthService,
    calls::Calls,
    docs,
    events::EventsService,
    health::Health,
    json,
    keys::KeysService,
    proto::{
        self,
        auth_server::AuthServer,
        v1::{
            audit_server::AuditServer, events_server::EventsServer, keys_server::KeysServer,
            revocations_server::RevocationsServer, users_server::UsersServer,
        },
    },
    revocations::{DEFAULT_MAX_WATCHERS, RevocationsService},
    users::UsersService,
};

/// Longest message in bytes, inflated, if nothing else is configured: 64 KiB.
pub const DEFAULT_MAX_MESSAGE_SIZE: usize = 64 * 1024;

/// What the port is made of.
#[derive(Clone)]
pub struct GrpcOptions {
    /// The use cases.
    pub sso: Sso,
    /// Makes an id for a request that brought none.
    pub new_request_id: Arc<dyn Fn() -> String + Send + Sync>,
    /// Longest time for a call; a caller's `grpc-timeout` may be shorter.
    pub request_timeout: Duration,
    /// Longest message in bytes, inflated; of JSON bodies too.
    pub max_message_size: usize,
    /// How often one address may call one method; `None`: as often as it likes.
    pub rates: Option<Arc<Rates>>,
    /// Development mode: refuses requests that were meant for another host.
    pub loopback_only: bool,
    /// What `grpc.health.v1` says. Keep a clone and flip it.
    pub health: Health,
    /// Who is let in.
    pub doorkeeper: Doorkeeper,
    /// Most streams of `sso.v1.Revocations/Watch` at once.
    pub max_watchers: usize,
    /// Ends those streams, which would otherwise hold up a drain.
    pub stop: CancellationToken,
}

/// Nobody is known.
struct NoCallers;

impl Callers for NoCallers {
    fn by_token(&self, _: &str) -> Option<Service> {
        None
    }

    fn by_certificate(&self, _: &[String]) -> Option<Service> {
        None
    }
}

impl GrpcOptions {
    /// The defaults: 10 seconds, 64 KiB, any host, not serving yet, callers required and none known.
    pub fn new(sso: Sso, new_request_id: Arc<dyn Fn() -> String + Send + Sync>) -> Self {
        Self {
            sso,
            new_request_id,
            request_timeout: Duration::from_secs(10),
            max_message_size: DEFAULT_MAX_MESSAGE_SIZE,
            rates: None,
            loopback_only: false,
            health: Health::new(),
            doorkeeper: Doorkeeper {
                callers: Arc::new(NoCallers),
                require_caller: true,
            },
            max_watchers: DEFAULT_MAX_WATCHERS,
            stop: CancellationToken::new(),
        }
    }
}

/// Everything on the gRPC port: `auth.Auth`, reflection, health, JSON, Swagger UI. To be served over
/// HTTP/2 with prior knowledge and over HTTP/1.1 (`sso_web::listener`).
pub fn router(options: GrpcOptions) -> Router {
    let calls = Calls::new(
        services(&options),
        options.sso.clone(),
        options.doorkeeper.clone(),
        options.request_timeout,
        options.max_message_size,
        options.rates.clone(),
    );
    let others = json::with_fallbacks(json::router(&calls).merge(docs::router()));
    let others = panics::layer(others, json::broken);
    let others = rate::layer(others, options.rates, json::too_many);

    let entry = move |request: Request| {
        let (calls, others) = (calls.clone(), others.clone());
        async move {
            if is_grpc(&request) {
                calls.grpc(request).await
            } else {
                others.oneshot(request).await.into_response()
            }
        }
    };
    let mut router = Router::new().fallback(entry);
    if options.loopback_only {
        router = host::require_loopback(router, json::misdirected);
    }
    request_id::layer(shield::layer(router), options.new_request_id)
}

/// The tonic services.
fn services(options: &GrpcOptions) -> Router {
    let limit = options.max_message_size;
    let auth = AuthServer::new(AuthService(options.sso.clone()))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(limit);
    let users = UsersServer::new(UsersService(options.sso.clone()))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(limit);
    let events = EventsServer::new(EventsService(options.sso.clone()))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(limit);
    let audit = AuditServer::new(AuditService(options.sso.clone()))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(limit);
    let keys = KeysServer::new(KeysService(options.sso.clone()))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(limit);
    let revocations = RevocationsServer::new(RevocationsService::new(options))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(limit);
    let health = options.health.service().max_decoding_message_size(limit);
    let routes = Routes::new(auth)
        .add_service(users)
        .add_service(events)
        .add_service(audit)
        .add_service(keys)
        .add_service(revocations)
        .add_service(health);
    reflection(routes, limit).prepare().into_axum_router()
}

#[expect(
    clippy::expect_used,
    reason = "the descriptors are compiled into the binary, and the tests list them"
)]
fn reflection(routes: Routes, limit: usize) -> Routes {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // Each tells of the other, too.
    let (v1, v1alpha) = (
        builder()
            .register_encoded_file_descriptor_set(V1ALPHA)
            .build_v1(),
        builder()
            .register_encoded_file_descriptor_set(V1)
            .build_v1alpha(),
    );
    routes
        .add_service(
            v1.expect("the descriptors are compiled in")
                .max_decoding_message_size(limit),
        )
        .add_service(
            v1alpha
                .expect("the descriptors are compiled in")
                .max_decoding_message_size(limit),
        )
}

/// Whether a request is gRPC, which is POST over HTTP/2 with its media type. Anything else that
/// looks a little like it goes where it is refused by HTTP's rules.
fn is_grpc(request: &axum::http::Request<Body>) -> bool {
    request.version() == Version::HTTP_2
        && request.method() == Method::POST
        && is_grpc_type(request.headers())
}

fn is_grpc_type(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(CONTENT_TYPE).map(|value| value.to_str()) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence == "application/grpc" || essence == "application/grpc+proto"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_grpc_over_protobuf_is_grpc() {
        let headers = |value: &str| HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]);
        for good in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc; charset=utf-8",
        ] {
            assert!(is_grpc_type(&headers(good)), "{good}");
        }
        for bad in [
            "application/json",
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpc+json",
            "application/grpcx",
            "",
        ] {
            assert!(!is_grpc_type(&headers(bad)), "{bad}");
        }
        assert!(!is_grpc_type(&HeaderMap::new()));
    }
}
