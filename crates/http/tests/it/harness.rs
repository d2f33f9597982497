//! An app to send requests to, and users of it.

use std::{
    num::NonZeroU32,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode},
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sso_core::{
    Policy, Sso,
    ports::{Clock, Hasher, Random, Store},
    revocation::{LeaseTerms, Revocations},
    throttle::{LocalThrottle, ThrottleSettings},
};
use sso_crypto::{
    AccessAlgorithm, Argon2Params, HashPool, HashPoolSettings, JwsSettings, JwsTokens, KeyRing,
    KeyWorkshop, MasterKey, SealedCursors, account_keys,
};
use sso_http::{Health, HealthReport, HttpState, ServiceState};
use sso_testkit::{
    clock::ManualClock, memory::MemoryStore, random::SeededRandom, tasks::TokioTasks,
};
use sso_web::{Client, ConnectionId, rate::Rates};
use tower::ServiceExt;

use crate::document;

const ISSUER: &str = "https://sso.test";

/// What a test may turn.
pub(crate) struct Options {
    /// Instead of the pool.
    pub(crate) hasher: Option<Arc<dyn Hasher>>,
    pub(crate) policy: Policy,
    pub(crate) request_timeout: Duration,
    pub(crate) cors_origins: Vec<HeaderValue>,
    pub(crate) loopback_only: bool,
    pub(crate) rates: Option<Arc<Rates>>,
    pub(crate) metrics: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hasher: None,
            policy: Policy {
                failure_floor: Duration::ZERO,
                ..Policy::default()
            },
            request_timeout: Duration::from_mins(1),
            cors_origins: Vec::new(),
            loopback_only: false,
            rates: None,
            metrics: false,
        }
    }
}

/// The API.
pub(crate) struct App {
    router: Router,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) health: Arc<Reported>,
}

/// Health as a test says it is.
pub(crate) struct Reported(pub(crate) Mutex<HealthReport>);

impl Health for Reported {
    fn report(&self) -> HealthReport {
        self.0.lock().unwrap().clone()
    }
}

impl Default for Reported {
    fn default() -> Self {
        Self(Mutex::new(HealthReport {
            state: ServiceState::Ready,
            can_validate: true,
            dependencies: Vec::new(),
        }))
    }
}

impl App {
    pub(crate) async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let clock = Arc::new(ManualClock::new());
        let (sso, tokens) = sso(&options, clock.clone()).await;
        let health = Arc::new(Reported::default());
        let ids = AtomicU64::new(0);
        let router = sso_http::router(HttpState {
            sso,
            health: health.clone(),
            jwks: Arc::new(move || tokens.ring().jwks()),
            jwks_max_age: Duration::from_mins(5),
            admin: None,
            metrics: options.metrics.then(|| Arc::new(page) as sso_http::Metrics),
            new_request_id: Arc::new(move || {
                format!("request-{}", ids.fetch_add(1, Ordering::Relaxed))
            }),
            request_timeout: options.request_timeout,
            cors_origins: options.cors_origins,
            rates: options.rates,
            loopback_only: options.loopback_only,
        });
        Self {
            router,
            clock,
            health,
        }
    }

    /// Sends a request, reads the answer, and holds it against the document.
    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let reply = Reply {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        };
        reply.is_sound();
        document::documents(&method, &path, &reply);
        reply
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(request("GET", path).body(Body::empty()).unwrap())
            .await
    }

    /// Posts without a content type, as the first clients did.
    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>) -> Reply {
        self.send(request("POST", path).body(body.into()).unwrap())
            .await
    }

    pub(crate) async fn post_json(&self, path: &str, body: &Value) -> Reply {
        let request = request("POST", path).header("content-type", "application/json");
        self.send(request.body(body.to_string().into()).unwrap())
            .await
    }

    /// Registers `name`@example.com.
    pub(crate) async fn user(&self, name: &str) -> User<'_> {
        let body = json!({"email": email_of(name), "password": password_of(name)});
        let reply = self.post_json("/auth/registration", &body).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        User::of(self, &reply)
    }

    /// Signs `name`@example.com in.
    pub(crate) async fn login(&self, name: &str) -> User<'_> {
        let body = json!({"email": email_of(name), "password": password_of(name)});
        let reply = self.post_json("/auth/login", &body).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        User::of(self, &reply)
    }
}

async fn sso(options: &Options, clock: Arc<ManualClock>) -> (Sso, Arc<JwsTokens>) {
    let random = Arc::new(SeededRandom::new(7));
    let store = Arc::new(MemoryStore::new());
    let tokens = Arc::new(tokens(store.as_ref(), clock.as_ref(), random.as_ref()).await);
    let hasher = options
        .hasher
        .clone()
        .unwrap_or_else(|| Arc::new(pool(random.clone())));
    let revocations = Revocations::new(store.clone(), clock.clone(), LeaseTerms::default());
    revocations.beat().await.unwrap();
    let sso = Sso {
        store,
        hasher,
        tokens: tokens.clone(),
        keys: Arc::new(KeyWorkshop::new(
            AccessAlgorithm::default(),
            MasterKey::from_bytes(&[7; 32]),
            random.clone(),
        )),
        cursors: Arc::new(SealedCursors::new(&MasterKey::from_bytes(&[7; 32]))),
        revocations: Arc::new(revocations),
        throttle: Arc::new(LocalThrottle::new(
            ThrottleSettings::default(),
            clock.clone(),
            account_keys(random.as_ref()),
        )),
        clock,
        random,
        tasks: Arc::new(TokioTasks::default()),
        nudge: Arc::new(|_| {}),
        repeated: Arc::new(sso_core::audit::Repeated::new(600)),
        policy: Arc::new(options.policy.clone()),
    };
    (sso, tokens)
}

async fn tokens(store: &dyn Store, clock: &dyn Clock, random: &dyn Random) -> JwsTokens {
    let master = MasterKey::from_bytes(&[7; 32]);
    let first = KeyRing::first_keys(&master, random, clock.now()).unwrap();
    let stored = store.insert_first_keys(&first).await.unwrap();
    let settings = JwsSettings {
        issuer: ISSUER.to_owned(),
        audiences: vec![ISSUER.to_owned()],
        verified_tokens: 64,
    };
    JwsTokens::new(settings, KeyRing::open(&stored, &master).unwrap())
}

/// Hashes that cost nearly nothing.
fn pool(random: Arc<SeededRandom>) -> HashPool {
    let settings = HashPoolSettings {
        threads: NonZeroU32::MIN,
        argon2: Argon2Params {
            memory_kib: 64,
            iterations: 1,
            ..Argon2Params::default()
        },
        ..HashPoolSettings::default()
    };
    HashPool::start(settings, random).unwrap()
}

/// A request from 192.0.2.7.
pub(crate) fn request(method: &str, path: &str) -> axum::http::request::Builder {
    let client = Client {
        address: "192.0.2.7".parse().unwrap(),
        connection: ConnectionId(0),
        via_proxy: false,
    };
    Request::builder()
        .method(Method::from_bytes(method.as_bytes()).unwrap())
        .uri(path)
        .extension(client)
}

pub(crate) fn email_of(name: &str) -> String {
    format!("{name}@example.com")
}

pub(crate) fn password_of(name: &str) -> String {
    format!("the secret of {name}")
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    pub(crate) fn text(&self, member: &str) -> String {
        let json = self.json();
        let text = json[member].as_str();
        text.unwrap_or_else(|| panic!("no {member} in {json}"))
            .to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn code(&self) -> String {
        self.text("code")
    }

    /// `field: code` of each bad field.
    pub(crate) fn fields(&self) -> Vec<String> {
        let json = self.json();
        let fields = json["fields"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        fields
            .iter()
            .map(|bad| format!("{}: {}", text(&bad["field"]), text(&bad["code"])))
            .collect()
    }

    /// Status and code, and that it is an error in every respect.
    pub(crate) fn is_error(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status.as_u16(), &*self.code()),
            (status, code),
            "{self:?}"
        );
    }

    /// What holds of every answer.
    fn is_sound(&self) {
        assert_eq!(
            self.header("x-content-type-options"),
            Some("nosniff"),
            "{self:?}"
        );
        let id = self.header("x-request-id").expect("a request id");
        let failed = self.status.is_client_error() || self.status.is_server_error();
        if !failed || self.body.is_empty() {
            return;
        }
        let body = self.json();
        assert_eq!(body["status"], "Error", "{self:?}");
        assert_eq!(body["request_id"], id, "{self:?}");
        assert!(
            body["error"]
                .as_str()
                .is_some_and(|error| !error.is_empty()),
            "{self:?}"
        );
        assert_eq!(
            self.header("content-type"),
            Some("application/json"),
            "{self:?}"
        );
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        if self.status == 503 || self.status == 429 {
            let wait: u64 = self.header("retry-after").expect("a wait").parse().unwrap();
            assert!(wait >= 1);
        }
    }
}

/// Somebody with the tokens of a session.
pub(crate) struct User<'a> {
    app: &'a App,
    pub(crate) id: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl<'a> User<'a> {
    pub(crate) fn of(app: &'a App, reply: &Reply) -> Self {
        Self {
            app,
            id: reply.text("user_id"),
            access: reply.text("access_token"),
            refresh: reply.text("refresh_token"),
        }
    }

    /// A request with his access token.
    pub(crate) fn request(&self, method: &str, path: &str) -> axum::http::request::Builder {
        let bearer = HeaderValue::from_str(&format!("Bearer {}", self.access)).unwrap();
        request(method, path).header(HeaderName::from_static("authorization"), bearer)
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        let request = self.request("GET", path).body(Body::empty()).unwrap();
        self.app.send(request).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        let request = self.request("DELETE", path).body(Body::empty()).unwrap();
        self.app.send(request).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        let request = self.request("POST", path).body(body.to_string().into());
        self.app.send(request.unwrap()).await
    }

    pub(crate) async fn refreshed(&self) -> Reply {
        let body = json!({"token": self.refresh});
        self.app.post_json("/auth/refresh", &body).await
    }

    pub(crate) async fn logged_out(&self, token: &str, everywhere: bool) -> Reply {
        let body = json!({"token": token, "everywhere": everywhere});
        self.app.post_json("/auth/logout", &body).await
    }
}

/// Metrics for whoever asks.
fn page(_: Option<&str>) -> sso_http::Rendered {
    sso_http::Rendered {
        content_type: "text/plain; version=0.0.4; charset=utf-8",
        text: "sso_up 1\n".to_owned(),
    }
}
