//! What stands around every call, gRPC or JSON: its deadline, its panics, its metrics.

use std::{
    any::Any, convert::Infallible, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, request::Parts},
    response::Response,
};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use sso_core::{
    Failure, Kind, Sso,
    metrics::count_throttled,
    ports::{Clock, ThrottleReason, Throttled},
    usecases::admit::Doorkeeper,
};
use sso_web::{
    Client, RequestId,
    rate::Rates,
    trace_context::{self, TraceId, Trust},
};
use tonic::{Code, Status};
use tower::ServiceExt;
use tracing::{Instrument, Span, field::Empty};

use crate::{
    call::REVOCATION,
    deadline,
    door::Door,
    metrics::{Meter, Meters},
    status,
};

/// Carries the details of an error; all errors of ours have some.
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// The services, and what stands around them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Calls(Arc<Inner>);

struct Inner {
    services: Router,
    door: Door,
    meters: Meters,
    clock: Arc<dyn Clock>,
    /// The longest deadline of a call.
    timeout: Duration,
    /// The longest message in bytes.
    limit: usize,
    /// How often one address may call one method.
    rates: Option<Arc<Rates>>,
}

/// What is known of a call before it is served.
pub(crate) struct Head {
    /// The request's.
    pub(crate) id: RequestId,
    /// How long the caller waits at most, if it says so.
    asked: Result<Option<Duration>, deadline::Malformed>,
    /// The trace, if it is sampled.
    trace: Option<TraceId>,
}

impl Head {
    /// Of a request whose span is made.
    pub(crate) fn of(request: &Request) -> Self {
        Self {
            id: RequestId::of(request),
            asked: deadline::asked(request.headers()),
            trace: trace_context::recorded(request),
        }
    }
}

impl Calls {
    pub(crate) fn new(
        services: Router,
        sso: Sso,
        keeper: Doorkeeper,
        timeout: Duration,
        limit: usize,
        rates: Option<Arc<Rates>>,
    ) -> Self {
        Self(Arc::new(Inner {
            services,
            meters: Meters::new(),
            clock: sso.clock.clone(),
            door: Door::new(sso, keeper),
            timeout,
            limit,
            rates,
        }))
    }

    /// The longest message in bytes.
    pub(crate) fn limit(&self) -> usize {
        self.0.limit
    }

    /// Serves a gRPC call.
    pub(crate) async fn grpc(&self, mut request: Request) -> Response {
        let path = request.uri().path().to_owned();
        let span = self.span(&path, &mut request);
        self.traced(request).instrument(span).await
    }

    async fn traced(&self, request: Request) -> Response {
        let meter = self.0.meters.of(request.uri().path());
        let head = Head::of(&request);
        let id = &head.id;
        let paced = self.pace(&request);
        let call = async {
            paced.map_err(|throttled| status::refuse(&throttled.into(), id))?;
            let (mut parts, body) = request.into_parts();
            let path = parts.uri.path().to_owned();
            self.admit(&path, &mut parts, id).await?;
            // Before it is counted: what tonic says of a message is not always whose fault it is.
            Ok(finish(
                self.forward(Request::from_parts(parts, body)).await,
                id,
            ))
        };
        let result = self.supervise(meter, &head, call).await;
        result.unwrap_or_else(Status::into_http)
    }

    /// The span of a call of the method at `path`, by the conventions for RPC servers. Who calls
    /// this port is a service of ours: what he says of his trace is believed.
    pub(crate) fn span(&self, path: &str, request: &mut Request) -> Span {
        let (method, id) = (self.0.meters.name(path), RequestId::of(request));
        trace_context::open(request, Trust::Parent, |trace_id| {
            tracing::info_span!(
                "rpc",
                otel.kind = "server",
                otel.name = method,
                otel.status_code = Empty,
                request_id = id.as_str(),
                trace_id,
                rpc.system.name = "grpc",
                rpc.method = method,
                rpc.response.status_code = Empty,
                "error.type" = Empty,
            )
        })
    }

    /// Whether this address may call this method once more. Methods that do not exist are one.
    fn pace(&self, request: &Request) -> Result<(), Throttled> {
        let (Some(rates), Some(client)) = (&self.0.rates, request.extensions().get::<Client>())
        else {
            return Ok(());
        };
        let path = request.uri().path();
        let path = if self.0.meters.knows(path) { path } else { "" };
        rates.admit(client.address, path).map_err(|wait| {
            let throttled = Throttled::by(ThrottleReason::Address, wait);
            count_throttled(throttled.reason);
            throttled
        })
    }

    /// Runs `call`, which is a call of the method at `path` in another form than gRPC.
    pub(crate) async fn other(
        &self,
        path: &str,
        head: &Head,
        call: impl Future<Output = Result<Response, Status>>,
    ) -> Result<Response, Status> {
        self.supervise(self.0.meters.of(path), head, call).await
    }

    /// Lets in the call of the method at `path`, or says why not.
    pub(crate) async fn admit(
        &self,
        path: &str,
        call: &mut Parts,
        id: &RequestId,
    ) -> Result<(), Status> {
        let admitted = self.0.door.admit(path, call).await;
        admitted.map_err(|failure| status::refuse(&failure, id))
    }

    /// Hands a gRPC request to the services, with nothing around it.
    pub(crate) async fn forward(&self, request: Request) -> Response {
        match self.0.services.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => {
                let never: Infallible = never;
                match never {}
            }
        }
    }

    async fn supervise(
        &self,
        meter: &Meter,
        head: &Head,
        call: impl Future<Output = Result<Response, Status>>,
    ) -> Result<Response, Status> {
        let Head { id, asked, trace } = head;
        let started = meter.start(self.0.clock.as_ref(), *trace);
        let result = if let Ok(asked) = asked {
            let deadline = asked.map_or(self.0.timeout, |asked| asked.min(self.0.timeout));
            guarded(deadline, call)
                .await
                .unwrap_or_else(|failure| Err(status::refuse(&failure, id)))
        } else {
            let failure = Failure::malformed("grpc-timeout is malformed");
            Err(status::refuse(&failure, id))
        };
        let code = match &result {
            Ok(response) => code_of(response.headers()),
            Err(status) => status.code(),
        };
        started.end(code);
        let span = Span::current();
        span.record("rpc.response.status_code", status::name(code));
        if is_fault(code) {
            span.record("otel.status_code", "ERROR");
            span.record("error.type", status::name(code));
        }
        result
    }
}

/// Ends `call` at its deadline, and when it panics.
async fn guarded<T>(deadline: Duration, call: impl Future<Output = T>) -> Result<T, Failure> {
    // What a handler shares is behind locks, which are poisoned, and atomics.
    let call = pin!(AssertUnwindSafe(call).catch_unwind());
    match tokio::time::timeout(deadline, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(panic)) => Err(Failure::internal(format!(
            "a handler panicked: {}",
            text_of(panic.as_ref())
        ))),
        Err(_elapsed) => Err(Failure::new(
            Kind::DeadlineExceeded,
            "deadline_exceeded",
            "the deadline passed before there was an answer",
        )),
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// Whether the server is to blame (OpenTelemetry's conventions for gRPC servers).
const fn is_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

/// The code of an answer, as far as its head tells: an error of a unary call has no body.
fn code_of(head: &HeaderMap) -> Code {
    head.get("grpc-status")
        .map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
}

/// What the services leave open: details for errors that tonic made, and the reach of a revocation,
/// which is a trailer on the wire, while tonic writes the metadata of an answer into its head.
fn finish(mut response: Response, id: &RequestId) -> Response {
    if code_of(response.headers()) != Code::Ok && !response.headers().contains_key(DETAILS) {
        return match Status::from_header_map(response.headers()) {
            Some(made_by_tonic) => status::complete(&made_by_tonic, id.as_str()).into_http(),
            None => response,
        };
    }
    let Some(reach) = response.headers_mut().remove(REVOCATION) else {
        return response;
    };
    response.map(|body| {
        Body::new(body.map_frame(move |mut frame| {
            if let Some(trailers) = frame.trailers_mut() {
                trailers.insert(HeaderName::from_static(REVOCATION), reach.clone());
            }
            frame
        }))
    })
}
