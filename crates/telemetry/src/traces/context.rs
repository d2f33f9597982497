//! W3C Trace Context into spans and out of them (<https://www.w3.org/TR/trace-context/>).
//!
//! Everything here does nothing where no traces are sent.

use std::str::FromStr;

use data_encoding::HEXLOWER;
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::sampling::{Ratio, Settled, new_span_id};

/// Where a span stands in its trace, as it is sent on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `00-<32 hex>-<16 hex>-<2 hex>`.
    pub traceparent: String,
    /// What vendors added.
    pub tracestate: Option<String>,
}

/// Makes the span a child of the one that is named. Call it before the span is entered. What is
/// malformed is as if it were not there.
pub fn continue_from(span: &Span, traceparent: &str, tracestate: Option<&str>) {
    if let Some(parent) = parse(traceparent, tracestate) {
        // Without a layer that makes spans there is nobody to have a parent.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent));
    }
}

/// A trace that whoever asks has named.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// `00-<32 hex>-<16 hex>-<2 hex>`. What is malformed is as if it were not there.
    pub traceparent: &'a str,
    /// What vendors added.
    pub tracestate: Option<&'a str>,
    /// Whether ours is part of that trace; else it begins one of its own that is linked with it.
    pub is_parent: bool,
}

/// Makes the span of a request, and tells where it stands: `None` where no traces are sent. A trace that is
/// not sampled has its ids too, for who goes on with it and for the log. What makes the span is told the id
/// of the trace for its field `trace_id`; where only the span itself knows, the field is recorded after.
pub fn open(
    named: Option<Named<'_>>,
    make: impl FnOnce(Option<&str>) -> Span,
) -> (Span, Option<Place>) {
    let Some(ratio) = Ratio::in_force() else {
        let brought = named.and_then(|named| trace_id(named.traceparent));
        return (make(brought), None);
    };
    let named = named.and_then(|named| {
        let context = parse(named.traceparent, named.tracestate)?;
        Some((context, named.is_parent))
    });
    let (parent, linked) = match named {
        Some((parent, true)) => (Some(parent), None),
        Some((other, false)) => (None, Some(other)),
        None => (None, None),
    };
    let (trace, is_sampled) = match &parent {
        Some(parent) => (parent.trace_id(), parent.is_sampled()),
        None => ratio.begin(),
    };
    let settled = Settled::hold(is_sampled);
    if !is_sampled {
        let state = parent.map(|parent| parent.trace_state().header());
        let place = Place {
            traceparent: traceparent(trace, new_span_id(), TraceFlags::NOT_SAMPLED),
            tracestate: state.filter(|state| !state.is_empty()),
        };
        return (make(Some(place.trace_id())), Some(place));
    }
    let span = make(None);
    let around = match parent {
        Some(parent) => Context::new().with_remote_span_context(parent),
        None => Context::new(),
    };
    // Without a layer that makes spans there is nobody to have a parent.
    let _ = span.set_parent(around);
    if let Some(other) = linked {
        span.add_link(other);
    }
    // Here it is sampled.
    let place = place(&span);
    drop(settled);
    if let Some(place) = &place {
        span.record("trace_id", place.trace_id());
    }
    (span, place)
}

fn traceparent(trace: TraceId, span: SpanId, flags: TraceFlags) -> String {
    let mut text = String::with_capacity(55);
    text.push_str("00-");
    HEXLOWER.encode_append(&trace.to_bytes(), &mut text);
    text.push('-');
    HEXLOWER.encode_append(&span.to_bytes(), &mut text);
    text.push('-');
    HEXLOWER.encode_append(&[flags.to_u8()], &mut text);
    text
}

/// Where the span stands. `None` where no traces are sent, and for a request that is not sampled.
pub fn place(span: &Span) -> Option<Place> {
    let context = span.context();
    let own = context.span().span_context().clone();
    if !own.is_valid() {
        return None;
    }
    let flags = own.trace_flags() & TraceFlags::SAMPLED;
    let state = own.trace_state().header();
    Some(Place {
        traceparent: traceparent(own.trace_id(), own.span_id(), flags),
        tracestate: (!state.is_empty()).then_some(state),
    })
}

/// The id of the trace that the span is part of, 32 hex digits, if that trace is sampled. `None`
/// where no traces are sent, at the cost of a look.
pub fn sampled_trace(span: &Span) -> Option<String> {
    let context = span.context();
    let place = context.span().span_context().clone();
    (place.is_valid() && place.is_sampled()).then(|| place.trace_id().to_string())
}

/// Whether the span is part of a trace that is sampled.
pub fn is_sampled(span: &Span) -> bool {
    span.context().span().span_context().is_sampled()
}

impl Place {
    /// The id of the trace: 32 hex digits.
    pub fn trace_id(&self) -> &str {
        self.traceparent.get(3..35).unwrap_or_default()
    }
}

/// The id of the trace that a `traceparent` names: 32 hex digits. `None` if it is malformed.
pub fn trace_id(traceparent: &str) -> Option<&str> {
    parse(traceparent, None).and_then(|_| traceparent.get(3..35))
}

fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<SpanContext> {
    let mut parts = traceparent.split('-');
    let mut next = |digits| parts.next().filter(|part| part.len() == digits);
    let (_version, trace, parent, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let state = tracestate.and_then(|state| TraceState::from_str(state).ok());
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(parent).ok()?,
        flags,
        true,
        state.unwrap_or_default(),
    );
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_good_traceparent_names_a_trace() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(trace_id(good), Some("0af7651916cd43dd8448eb211c80319c"));
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319\n-b7ad6b7169203331-01",
        ] {
            assert_eq!(trace_id(bad), None, "{bad}");
        }
    }
}
