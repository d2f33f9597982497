//! A store of traces in memory: OTLP by gRPC in, JSON by HTTP out.
//!
//! `GET /api/traces` lists the newest, `GET /api/traces/{id}` has the spans of one: name, service,
//! span_id, parent_span_id, and how long it took.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

/// Most spans that are kept; the oldest go.
const MOST: usize = 50_000;
/// Most traces that a list shows.
const LISTED: usize = 50;

/// It ends when this is dropped.
pub(crate) struct Traces {
    otlp: SocketAddr,
    http: SocketAddr,
    _servers: JoinSet<()>,
}

#[derive(Debug, Clone, Default)]
struct Spans(Arc<Mutex<VecDeque<Kept>>>);

#[derive(Debug)]
struct Kept {
    trace: String,
    span: Value,
}

impl Traces {
    pub(crate) async fn start() -> Result<Self> {
        let spans = Spans::default();
        let (otlp, http) = (
            TcpListener::bind("127.0.0.1:0").await?,
            TcpListener::bind("127.0.0.1:0").await?,
        );
        let (otlp_address, http_address) = (otlp.local_addr()?, http.local_addr()?);
        let mut servers = JoinSet::new();
        let service = TraceServiceServer::new(spans.clone());
        servers.spawn(async move {
            let server = tonic::transport::Server::builder().add_service(service);
            let _ = server.serve_with_incoming(TcpIncoming::from(otlp)).await;
        });
        let app = Router::new()
            .route("/api/traces", get(list))
            .route("/api/traces/{id}", get(one))
            .with_state(spans);
        servers.spawn(async move {
            let _ = axum::serve(http, app).await;
        });
        Ok(Self {
            otlp: otlp_address,
            http: http_address,
            _servers: servers,
        })
    }

    /// Where spans are sent.
    pub(crate) fn otlp(&self) -> SocketAddr {
        self.otlp
    }

    /// Where they are read.
    pub(crate) fn http(&self) -> SocketAddr {
        self.http
    }
}

#[tonic::async_trait]
impl TraceService for Spans {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.map(|resource| resource.attributes);
            let service = service(&attributes.unwrap_or_default());
            for span in resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans)
            {
                let took = span
                    .end_time_unix_nano
                    .saturating_sub(span.start_time_unix_nano);
                kept.push_back(Kept {
                    trace: hex(&span.trace_id),
                    span: json!({
                        "name": span.name,
                        "service": service,
                        "span_id": hex(&span.span_id),
                        "parent_span_id": hex(&span.parent_span_id),
                        "microseconds": took / 1000,
                    }),
                });
            }
        }
        while kept.len() > MOST {
            kept.pop_front();
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn list(State(spans): State<Spans>) -> impl IntoResponse {
    let kept = spans.0.lock().unwrap_or_else(PoisonError::into_inner);
    let mut ids: Vec<&str> = Vec::new();
    for found in kept.iter().rev() {
        if ids.len() < LISTED && !ids.contains(&found.trace.as_str()) {
            ids.push(&found.trace);
        }
    }
    answer(StatusCode::OK, &json!(ids))
}

async fn one(State(spans): State<Spans>, Path(id): Path<String>) -> impl IntoResponse {
    let kept = spans.0.lock().unwrap_or_else(PoisonError::into_inner);
    let of = kept.iter().filter(|found| found.trace == id);
    let found: Vec<&Value> = of.map(|found| &found.span).collect();
    let status = if found.is_empty() {
        StatusCode::NOT_FOUND
    } else {
        StatusCode::OK
    };
    answer(status, &json!(found))
}

fn answer(status: StatusCode, body: &Value) -> impl IntoResponse + use<> {
    (
        status,
        [(CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
}

fn service(attributes: &[KeyValue]) -> String {
    let found = attributes.iter().find(|found| found.key == "service.name");
    match found.and_then(|found| found.value.clone()?.value) {
        Some(any_value::Value::StringValue(name)) => name,
        _ => String::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}
