//! A port that listens, and clients of it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, request::Builder};
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use sso_core::{Scope, Scopes, Service, usecases::admit::Doorkeeper};
use sso_crypto::{KnownCaller, KnownCallers, sha256};
use sso_grpc::{GrpcOptions, Health};
use sso_testkit::{
    app::App,
    clock::ManualClock,
    http::{Http, Reply},
    memory::MemoryStore,
    persona::{self, Grpc},
};
use sso_web::listener::{self, Limits, Shutdown};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Code, Status};
use tonic_types::StatusExt;

pub(crate) const EMAIL: &str = "alice@example.com";
pub(crate) const PASSWORD: &str = "the secret of alice";

/// Longest wait for what must come: longer than any test, so that what never comes is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A port on loopback; it stops when this is dropped.
pub(crate) struct Port {
    pub(crate) app: App,
    pub(crate) health: Health,
    pub(crate) address: SocketAddr,
    pub(crate) http: Http,
    pub(crate) grpc: Grpc,
    pub(crate) stop: CancellationToken,
    pub(crate) server: JoinHandle<std::io::Result<()>>,
    _stopped: DropGuard,
}

impl Port {
    pub(crate) async fn start() -> Result<Self> {
        Self::with(|_| {}).await
    }

    /// A port with other options than the defaults.
    pub(crate) async fn with(change: impl FnOnce(&mut GrpcOptions)) -> Result<Self> {
        let store = Arc::new(MemoryStore::new());
        let app = App::new(store, Arc::new(ManualClock::new())).await?;
        let mut options =
            GrpcOptions::new(app.sso.clone(), Arc::new(|| "made-by-the-test".to_owned()));
        options.doorkeeper = doorkeeper(false);
        change(&mut options);
        let health = options.health.clone();

        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let shutdown = Shutdown {
            stop: stop.clone(),
            // Nothing is cut: a test that waits for the drain hangs where something holds it up.
            drain: Duration::from_hours(1),
        };
        let router = sso_grpc::router(options);
        let server = tokio::spawn(listener::serve(
            listener,
            router,
            Limits::default(),
            shutdown,
        ));
        Ok(Self {
            app,
            health,
            address,
            http: Http::new(address),
            grpc: persona::connect(address).await?,
            server,
            _stopped: stop.clone().drop_guard(),
            stop,
        })
    }

    /// A `POST` of JSON with more headers.
    pub(crate) async fn post_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Reply> {
        let headers = [&[("content-type", "application/json")], headers].concat();
        timeout(PATIENCE, self.http.send(Method::POST, path, &headers, body)).await?
    }

    /// A gRPC call made by hand: `message` is sent in a frame with `flag`.
    pub(crate) async fn raw(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
        flag: u8,
        message: &[u8],
    ) -> Result<Raw> {
        let mut frame = BytesMut::new();
        frame.put_u8(flag);
        frame.put_u32(u32::try_from(message.len())?);
        frame.put_slice(message);
        let mut request = self.grpc_request(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.http2(request.body(Full::new(frame.freeze()))?).await
    }

    /// A gRPC call whose frames are these bytes.
    pub(crate) async fn frames(&self, path: &str, bytes: &'static [u8]) -> Result<Raw> {
        let request = self.grpc_request(path);
        self.http2(request.body(Full::new(bytes.into()))?).await
    }

    fn grpc_request(&self, path: &str) -> Builder {
        Request::builder()
            .method(Method::POST)
            .uri(format!("http://{}{path}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
    }

    /// Any request over HTTP/2.
    pub(crate) async fn http2(&self, request: Request<Full<Bytes>>) -> Result<Raw> {
        let io = TokioIo::new(TcpStream::connect(self.address).await?);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(connection);
        let answer = timeout(PATIENCE, sender.send_request(request)).await??;
        let (head, body) = answer.into_parts();
        let body = body.collect().await?;
        Ok(Raw {
            code: head.status,
            trailers: body.trailers().cloned().unwrap_or_default(),
            body: body.to_bytes(),
            headers: head.headers,
        })
    }

    pub(crate) async fn register(&self) -> Result<String> {
        let request = persona::auth::RegisterRequest {
            email: EMAIL.to_owned(),
            password: PASSWORD.to_owned(),
        };
        let answer = self.grpc.clone().register(request).await?;
        Ok(answer.into_inner().user_id)
    }

    pub(crate) async fn login(&self) -> Result<persona::auth::LoginResponse> {
        let request = persona::auth::LoginRequest {
            email: EMAIL.to_owned(),
            password: PASSWORD.to_owned(),
        };
        Ok(self.grpc.clone().login(request).await?.into_inner())
    }

    pub(crate) async fn validate(
        &self,
        token: &str,
    ) -> Result<persona::auth::ValidateResponse, Status> {
        let request = persona::auth::ValidateRequest {
            token: token.to_owned(),
        };
        let answer = self.grpc.clone().validate(request).await?;
        Ok(answer.into_inner())
    }
}

/// Who knows a service for each scope, by the token [`token_of`] says.
pub(crate) fn doorkeeper(require_caller: bool) -> Doorkeeper {
    let known = Scope::ALL.map(|scope| KnownCaller {
        token_sha256: Some(sha256(token_of(scope).as_bytes())),
        certificate: Some(format!("{scope}.internal")),
        service: Service {
            name: scope.as_str().into(),
            scopes: Scopes::from_iter([scope]),
        },
    });
    Doorkeeper {
        callers: Arc::new(KnownCallers::new(known.into())),
        require_caller,
    }
}

/// The token of the service that has this scope.
pub(crate) fn token_of(scope: Scope) -> String {
    format!("the token of {scope}")
}

/// All of an answer over HTTP/2.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) code: StatusCode,
    pub(crate) headers: HeaderMap<HeaderValue>,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap<HeaderValue>,
}

impl Raw {
    /// The status, wherever it stands.
    pub(crate) fn status(&self) -> Result<Status> {
        Status::from_header_map(&self.headers)
            .or_else(|| Status::from_header_map(&self.trailers))
            .context("no grpc-status")
    }
}

/// What of an error a client switches on: code, reason, message, and the bad fields.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: Code,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl Refused {
    pub(crate) fn of(status: &Status) -> Self {
        let details = status.get_error_details();
        let violations = details.bad_request().map(|bad| &bad.field_violations);
        Self {
            code: status.code(),
            reason: details
                .error_info()
                .map_or(String::new(), |i| i.reason.clone()),
            message: status.message().to_owned(),
            fields: violations
                .into_iter()
                .flatten()
                .map(|bad| (bad.field.clone(), bad.reason.clone()))
                .collect(),
        }
    }

    /// The same of an error in JSON.
    pub(crate) fn of_json(body: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let detail = |name: &str| {
            let full = format!("type.googleapis.com/google.rpc.{name}");
            let details = body["details"].as_array().into_iter().flatten();
            details
                .into_iter()
                .find(|d| d["@type"] == full.as_str())
                .cloned()
        };
        let violations = detail("BadRequest").unwrap_or_default();
        let violations = violations["fieldViolations"].as_array().cloned();
        let number = body["code"].as_i64().unwrap_or_default();
        Self {
            code: Code::from_i32(i32::try_from(number).unwrap_or_default()),
            reason: text(&detail("ErrorInfo").unwrap_or_default()["reason"]),
            message: text(&body["message"]),
            fields: violations
                .unwrap_or_default()
                .iter()
                .map(|bad| (text(&bad["field"]), text(&bad["reason"])))
                .collect(),
        }
    }
}

/// The encoding of a message's field that is a string, valid or not.
pub(crate) fn string(number: u32, value: &[u8]) -> Vec<u8> {
    let mut field = Vec::new();
    prost::encoding::bytes::encode(number, &value.to_vec(), &mut field);
    field
}
