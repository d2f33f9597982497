//! A collector of traces that keeps what it is sent: OTLP over gRPC, and over HTTP on another port.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
pub use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
};
use prost::Message;
use tokio::{net::TcpListener, task::JoinSet};
use tonic::{Status, transport::server::TcpIncoming};

use crate::patience::eventually;

/// A span, and who sent it.
#[derive(Debug, Clone)]
pub struct Received {
    /// `service.name`.
    pub service: String,
    /// The span.
    pub span: Span,
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

    async fn read(&self, body: Incoming) -> StatusCode {
        let Ok(body) = body.collect().await else {
            return StatusCode::BAD_REQUEST;
        };
        match ExportTraceServiceRequest::decode(body.to_bytes()) {
            Ok(request) => {
                self.take(request);
                StatusCode::OK
            }
            Err(_) => StatusCode::BAD_REQUEST,
        }
    }
}

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
        self.take(request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

/// It ends when this is dropped.
#[derive(Debug)]
pub struct Collector {
    /// Where it takes OTLP over gRPC.
    pub grpc: SocketAddr,
    /// Where it takes OTLP over HTTP.
    pub http: SocketAddr,
    received: Sink,
    _servers: JoinSet<()>,
}

impl Collector {
    /// On two free loopback ports.
    pub async fn start() -> Result<Self> {
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
        servers.spawn(accept(http, received.clone()));
        Ok(Self {
            grpc: addresses.0,
            http: addresses.1,
            received,
            _servers: servers,
        })
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Span> {
        let received = self.received().into_iter();
        received.map(|received| received.span).collect()
    }

    /// The same with who sent them.
    pub fn received(&self) -> Vec<Received> {
        let spans = self.received.0.lock();
        spans.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the first span of this name.
    pub async fn span(&self, name: &str) -> Result<Span> {
        let find = || self.spans().into_iter().find(|span| span.name == name);
        eventually(name, async || Ok(find().is_some())).await?;
        find().context("it was there")
    }
}

async fn accept(listener: TcpListener, received: Sink) {
    // Dropped with this future: connections end with the collector.
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        while connections.try_join_next().is_some() {}
        let received = received.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| by_http(received.clone(), request));
            let http = http1::Builder::new();
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn by_http(
    received: Sink,
    request: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let status = match (&head.method, head.uri.path()) {
        (&Method::POST, "/v1/traces") => received.read(body).await,
        _ => StatusCode::NOT_FOUND,
    };
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    Ok(response)
}

/// An attribute as text.
pub fn attribute(span: &Span, name: &str) -> Option<String> {
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

/// Whether a span was made within another.
pub fn is_child(span: &Span, parent: &Span) -> bool {
    span.trace_id == parent.trace_id && span.parent_span_id == parent.span_id
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}
