//! A stand-in for a Schema Registry: Confluent's REST interface, Protobuf only, with what can happen
//! to one. No registry server can be had from package registries.
//!
//! Schemas lie in the topic `_schemas`, laid out like Confluent's. Not there: other kinds of schemas,
//! modes, contexts, `format=serialized`.

mod compare;
mod rest;
mod schema;
mod state;

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use anyhow::{Context, Result, anyhow};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::{
    sync::{oneshot, watch},
    task::{JoinSet, spawn_blocking},
};
use tokio_rustls::TlsAcceptor;

use self::{
    rest::Asked,
    state::{Refused, State, TOPIC},
};
use super::kafka::Kafka;
use crate::pki::{Authority, Wanted};

const JSON: &str = "application/vnd.schemaregistry.v1+json";
/// Longest body.
const MAX_BODY: usize = 1 << 20;

/// A running registry. It ends with the test.
#[derive(Debug)]
pub struct Registry {
    shared: Arc<Shared>,
    address: SocketAddr,
    running: Option<Running>,
    tls: Option<(Arc<rustls::ServerConfig>, TempDir)>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    control: Mutex<Control>,
    frozen: watch::Sender<bool>,
}

/// What a test has ordered, and what it wants to know.
#[derive(Debug, Default)]
struct Control {
    /// The `Authorization` that every request must have.
    authorization: Option<String>,
    /// Every request gets this status, e.g. 500.
    failing: Option<u16>,
    requests: usize,
}

#[derive(Debug)]
struct Running {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Registry {
    /// A registry that keeps its schemas in this cluster.
    pub async fn start(kafka: &Kafka) -> Result<Self> {
        kafka
            .create_topic_with(TOPIC, 1, &[("cleanup.policy", "compact")])
            .await?;
        let mut state = State {
            brokers: Some(kafka.brokers()),
            ..State::default()
        };
        state.replay(&kafka.consume_all(TOPIC).await?)?;
        Self::serve(state, false)
    }

    /// A registry that forgets with the process.
    pub fn in_memory() -> Result<Self> {
        Self::serve(State::default(), false)
    }

    /// As [`Self::in_memory`], over TLS by an authority of its own.
    pub fn in_memory_tls() -> Result<Self> {
        Self::serve(State::default(), true)
    }

    fn serve(state: State, tls: bool) -> Result<Self> {
        let shared = Shared {
            state: Mutex::new(state),
            ..Shared::default()
        };
        let mut registry = Self {
            shared: Arc::new(shared),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            running: None,
            tls: if tls { Some(certify()?) } else { None },
        };
        registry.come_back()?;
        Ok(registry)
    }

    /// Its URL.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The root (PEM) of its certificate.
    pub fn authority(&self) -> Result<PathBuf> {
        let (_, folder) = self.tls.as_ref().context("it speaks no TLS")?;
        Ok(folder.path().join("ca.pem"))
    }

    /// Goes away: connections end, new ones are refused.
    pub fn go_away(&mut self) {
        self.running = None;
    }

    /// Comes back under its address.
    pub fn come_back(&mut self) -> Result<()> {
        let listener = TcpListener::bind(self.address)?;
        listener.set_nonblocking(true)?;
        self.address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        let tls = self.tls.as_ref().map(|(config, _)| config.clone().into());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = thread::Builder::new().spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    // A listener that fails refuses connections from then on: tests see that.
                    _ = accept(listener, shared, tls) => {}
                }
            });
        })?;
        self.running = Some(Running {
            stop: Some(stop),
            thread: Some(thread),
        });
        Ok(())
    }

    /// Takes requests and answers none until it is thawed.
    pub fn freeze(&self) {
        self.shared.frozen.send_replace(true);
    }

    /// Answers again, also what it was asked meanwhile.
    pub fn thaw(&self) {
        self.shared.frozen.send_replace(false);
    }

    /// Loses all schemas and settings, and forgets which ids were given.
    pub fn lose_data(&self) -> Result<()> {
        let mut state = self.state();
        let brokers = state.brokers.clone();
        let subjects: Vec<_> = state
            .subjects
            .iter()
            .flat_map(|(subject, versions)| {
                versions
                    .iter()
                    .map(|(number, version)| (subject.clone(), *number, version.clone()))
            })
            .collect();
        let refused = |refused: Refused| anyhow!(refused.1);
        for (subject, number, version) in subjects {
            state
                .delete(&subject, number, &version, true)
                .map_err(refused)?;
        }
        *state = State {
            brokers,
            ..State::default()
        };
        Ok(())
    }

    /// From now on only who shows this name and password (RFC 7617) is answered.
    pub fn require_basic(&self, user: &str, password: &str) {
        let credentials = STANDARD.encode(format!("{user}:{password}"));
        self.control().authorization = Some(format!("Basic {credentials}"));
    }

    /// From now on only who shows this token (RFC 6750) is answered.
    pub fn require_bearer(&self, token: &str) {
        self.control().authorization = Some(format!("Bearer {token}"));
    }

    /// Answers everything with this status until it is told otherwise.
    pub fn fail(&self, status: Option<u16>) {
        self.control().failing = status;
    }

    /// How many requests it has had.
    pub fn requests(&self) -> usize {
        self.control().requests
    }

    /// The texts of a subject's schemas, oldest first.
    pub fn schemas(&self, subject: &str) -> Vec<String> {
        let versions = self.state().versions(subject, false).unwrap_or_default();
        versions
            .into_values()
            .map(|version| version.schema.text.clone())
            .collect()
    }

    /// The level that a subject has.
    pub fn level(&self, subject: &str) -> String {
        self.state().level(subject).to_owned()
    }

    /// Stores a schema as another client would; its id.
    pub fn register(&self, subject: &str, text: &str) -> Result<u32> {
        let schema = schema::Schema::parse(text).map_err(anyhow::Error::msg)?;
        let registered = self.state().register(subject, &schema);
        registered.map_err(|refused| anyhow!(refused.1))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.shared.state)
    }

    fn control(&self) -> MutexGuard<'_, Control> {
        locked(&self.shared.control)
    }
}

/// What makes data written by the schema `old` unreadable by `new`, after Confluent's rules;
/// nothing: `new` may follow.
pub fn differences(old: &str, new: &str) -> Result<Vec<String>> {
    let parse = |text| schema::Schema::parse(text).map_err(anyhow::Error::msg);
    Ok(compare::differences(&parse(old)?, &parse(new)?))
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn certify() -> Result<(Arc<rustls::ServerConfig>, TempDir)> {
    let authority = Authority::new()?;
    #[expect(
        clippy::disallowed_methods,
        reason = "clients go by the machine's clock"
    )]
    let now = OffsetDateTime::now_utc();
    let issued = authority.issue(&Wanted::of(&["127.0.0.1", "localhost"], now))?;
    let folder = TempDir::with_prefix("sso-registry-")?;
    write(&folder.path().join("ca.pem"), &authority.root())?;
    Ok((Arc::new(issued.server()?), folder))
}

fn write(path: &Path, text: &str) -> Result<()> {
    Ok(std::fs::write(path, text)?)
}

async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    tls: Option<TlsAcceptor>,
) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    // Dropped with this future: connections end with the registry.
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        while connections.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        let tls = tls.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| respond(Arc::clone(&shared), request));
            let http = http1::Builder::new();
            match tls {
                None => {
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                }
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        let _ = http.serve_connection(TokioIo::new(stream), service).await;
                    }
                }
            }
        });
    }
}

async fn respond(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, http::Error> {
    // The sender is in what we share: it does not close.
    let _ = shared.frozen.subscribe().wait_for(|frozen| !frozen).await;
    let answered = match guard(&shared, request.headers()) {
        Ok(()) => ask(shared, request).await,
        Err(refused) => Err(refused),
    };
    let (status, body) = match answered {
        Ok(body) => (StatusCode::OK, body),
        Err(Refused(code, message)) => {
            let status = if code < 1000 { code } else { code / 100 };
            let status = u16::try_from(status).ok();
            let status = status.and_then(|status| StatusCode::from_u16(status).ok());
            (
                status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                json!({ "error_code": code, "message": message }),
            )
        }
    };
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, JSON)
        .body(Full::from(body.to_string()))
}

fn guard(shared: &Shared, headers: &HeaderMap) -> Result<(), Refused> {
    let mut control = locked(&shared.control);
    control.requests += 1;
    if let Some(status) = control.failing {
        return Err(Refused(status.into(), "told to fail".to_owned()));
    }
    let shown = headers
        .get(header::AUTHORIZATION)
        .map(http::HeaderValue::as_bytes);
    match &control.authorization {
        Some(wanted) if shown != Some(wanted.as_bytes()) => {
            Err(Refused(401, "Unauthorized".to_owned()))
        }
        _ => Ok(()),
    }
}

async fn ask(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Value, Refused> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await;
    let body = body
        .map_err(|error| Refused(400, error.to_string()))?
        .to_bytes();
    let body = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&body).map_err(|_| Refused(400, "Unrecognized token".to_owned()))?
    };
    let answered = spawn_blocking(move || {
        let path = head.uri.path().trim_matches('/');
        let asked = Asked {
            method: head.method,
            path: path.split('/').collect(),
            query: head.uri.query().unwrap_or_default(),
            body,
        };
        rest::answer(&mut locked(&shared.state), &asked)
    });
    answered
        .await
        .unwrap_or_else(|error| Err(Refused(50_001, error.to_string())))
}
