//! Spans of what is sent and of what is consumed, by the conventions for messaging (`messaging.*`).
//! Neither the message nor its key is part of them.

use sso_events::Envelope;
use sso_telemetry::traces::context::{self, TraceContext};
use tracing::{
    Span,
    field::{Empty, display},
};

use crate::consumer::Event;

/// The span of sending an event: a child of the request that caused it.
pub(crate) fn send(event: &Envelope, topic: &str) -> Span {
    let span = tracing::debug_span!(
        "send",
        otel.kind = "producer",
        otel.name = Empty,
        otel.status_code = Empty,
        messaging.system = "kafka",
        messaging.operation.name = "send",
        "messaging.operation.type" = "send",
        messaging.destination.name = topic,
        messaging.message.id = %event.id,
    );
    named(&span, "send", topic);
    if let Some(parent) = brought(event.traceparent.as_deref(), event.tracestate.as_deref()) {
        context::continue_from(&span, &parent);
    }
    span
}

/// What the record carries: where the span of sending stands, or without traces of ours what the
/// event brought.
pub(crate) fn carried(event: &Envelope, span: &Span) -> (Option<String>, Option<String>) {
    let Some(stands) = TraceContext::of(span) else {
        return (event.traceparent.clone(), event.tracestate.clone());
    };
    let (traceparent, tracestate) = stands.texts();
    (Some(traceparent), tracestate)
}

/// The span of handling an event: a child of its sending.
pub(crate) fn process(event: &Event, topic: &str, group: &str) -> Span {
    let span = tracing::info_span!(
        "process",
        otel.kind = "consumer",
        otel.name = Empty,
        otel.status_code = Empty,
        trace_id = Empty,
        event_id = %event.id,
        messaging.system = "kafka",
        messaging.operation.name = "process",
        "messaging.operation.type" = "process",
        messaging.destination.name = topic,
        messaging.consumer.group.name = group,
        messaging.message.id = %event.id,
    );
    named(&span, "process", topic);
    let parent = brought(event.traceparent.as_deref(), event.tracestate.as_deref());
    if let Some(parent) = &parent {
        context::continue_from(&span, parent);
    }
    // Without traces of ours the log still names the one that the event brought.
    if let Some(stands) = TraceContext::of(&span).or(parent) {
        span.record("trace_id", display(stands.trace_id()));
    }
    span
}

fn brought(traceparent: Option<&str>, tracestate: Option<&str>) -> Option<TraceContext> {
    TraceContext::parse(traceparent?, tracestate.map(str::to_owned))
}

/// Notes that what the span is of has failed.
pub(crate) fn ended<T, E>(span: &Span, result: Result<T, E>) -> Result<T, E> {
    if result.is_err() {
        failed(span);
    }
    result
}

/// The same.
pub(crate) fn failed(span: &Span) {
    span.record("otel.status_code", "ERROR");
}

fn named(span: &Span, operation: &str, topic: &str) {
    if !span.is_disabled() {
        span.record("otel.name", format!("{operation} {topic}"));
    }
}
