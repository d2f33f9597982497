//! Where a request stands in its trace.

use sso_telemetry::traces::context::TraceContext;
use tracing::Span;

/// `traceparent` and `tracestate` (W3C Trace Context, level 2) of the current span, for what is asked of
/// others meanwhile. `None`: no traces are sent, or this one is not sampled.
pub fn current() -> Option<(String, Option<String>)> {
    Some(TraceContext::of(&Span::current())?.texts())
}
