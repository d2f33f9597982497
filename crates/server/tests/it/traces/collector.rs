//! A collector of OTLP for tests: gRPC, and HTTP on another port.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};
use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message;
use tokio::{net::TcpListener, task::JoinSet};
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

use crate::support::eventually_within;

/// A span, and who sent it.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// `service.name`.
    pub(crate) service: String,
    pub(crate) span: Span,
}

/// What was received.
#[derive(Debug, Clone, Default)]
struct Sink(Arc<Mutex<Vec<Received>>>);

impl Sink {
    fn take(&self, request: ExportTraceServiceRequest) {
        let mut spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for resource in request.resource_spans {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let name = attributes.iter().find(|found| found.key == "service.name");
            let service = name.and_then(text).unwrap_or_default();
            for span in resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans)
            {
                let service = service.clone();
                spans.push(Received { service, span });
            }
        }
    }
}

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.take(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn by_http(State(received): State<Sink>, body: Bytes) -> StatusCode {
    match ExportTraceServiceRequest::decode(body) {
        Ok(request) => {
            received.take(request);
            StatusCode::OK
        }
        Err(_) => StatusCode::BAD_REQUEST,
    }
}

/// It ends when this is dropped.
pub(crate) struct Collector {
    /// Where it takes OTLP over gRPC.
    pub(crate) grpc: SocketAddr,
    /// Where it takes OTLP over HTTP.
    pub(crate) http: SocketAddr,
    received: Sink,
    _servers: JoinSet<()>,
}

impl Collector {
    pub(crate) async fn start() -> Result<Self> {
        let received = Sink::default();
        let (grpc, http) = (
            TcpListener::bind("127.0.0.1:0").await?,
            TcpListener::bind("127.0.0.1:0").await?,
        );
        let addresses = (grpc.local_addr()?, http.local_addr()?);
        let mut servers = JoinSet::new();
        let service = TraceServiceServer::new(received.clone());
        servers.spawn(async move {
            let server = tonic::transport::Server::builder().add_service(service);
            let _ = server.serve_with_incoming(TcpIncoming::from(grpc)).await;
        });
        let app = Router::new()
            .route("/v1/traces", post(by_http))
            .with_state(received.clone());
        servers.spawn(async move {
            loop {
                let Ok((stream, _)) = http.accept().await else {
                    return;
                };
                let service = hyper_util::service::TowerToHyperService::new(app.clone());
                let io = hyper_util::rt::TokioIo::new(stream);
                tokio::spawn(async move {
                    let http1 = hyper::server::conn::http1::Builder::new();
                    let _ = http1.serve_connection(io, service).await;
                });
            }
        });
        Ok(Self {
            grpc: addresses.0,
            http: addresses.1,
            received,
            _servers: servers,
        })
    }

    /// All spans so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let received = self.received().into_iter();
        received.map(|received| received.span).collect()
    }

    /// The same with who sent them.
    pub(crate) fn received(&self) -> Vec<Received> {
        let spans = self.received.0.lock();
        spans.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the first span of this name.
    pub(crate) async fn span(&self, name: &str) -> Result<Span> {
        let find = || self.spans().into_iter().find(|span| span.name == name);
        eventually_within(crate::kafka::LONG, name, async || Ok(find().is_some())).await?;
        find().context("it was there")
    }
}

/// An attribute as text.
pub(crate) fn attribute(span: &Span, name: &str) -> Option<String> {
    span.attributes
        .iter()
        .find(|found| found.key == name)
        .and_then(text)
}

fn text(attribute: &KeyValue) -> Option<String> {
    match attribute.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        Value::BoolValue(is) => Some(is.to_string()),
        Value::DoubleValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}
