//! W3C Trace Context into spans and out of them (<https://www.w3.org/TR/trace-context/>).
//!
//! Everything here does nothing where no traces are sent.

use std::str::FromStr as _;

use data_encoding::HEXLOWER;
pub use opentelemetry::trace::TraceId;
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceState},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::sampling::{Ratio, Settled, new_span_id};

/// Where something stands in a trace. The ids are kept as they are: most are never written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    trace: TraceId,
    span: SpanId,
    flags: TraceFlags,
    state: Option<String>,
    /// It is the place of a span of ours that is made and sent.
    is_recorded: bool,
}

impl TraceContext {
    /// Reads `<2 hex>-<32 hex>-<16 hex>-<2 hex>`, lower case, with what vendors added, which is kept as
    /// it is. A version above 00 may have more parts, which are dropped. `None`: it is malformed.
    pub fn parse(traceparent: &str, tracestate: Option<String>) -> Option<Self> {
        let mut parts = traceparent.split('-');
        let mut next = |digits| parts.next().filter(|part| is_hex(part, digits));
        let (version, trace, span, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let mut flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
        if version != "00" {
            // It may mean something else by its other flags.
            flags = flags & TraceFlags::SAMPLED;
        }
        let trace = TraceId::from_hex(trace).ok()?;
        let span = SpanId::from_hex(span).ok()?;
        let is_valid = trace != TraceId::INVALID && span != SpanId::INVALID;
        is_valid.then_some(Self {
            trace,
            span,
            flags,
            state: tracestate,
            is_recorded: false,
        })
    }

    /// `00-<32 hex>-<16 hex>-<2 hex>`, lower case.
    pub fn traceparent(&self) -> String {
        let mut text = String::with_capacity(55);
        text.push_str("00-");
        HEXLOWER.encode_append(&self.trace.to_bytes(), &mut text);
        text.push('-');
        HEXLOWER.encode_append(&self.span.to_bytes(), &mut text);
        text.push('-');
        HEXLOWER.encode_append(&[self.flags.to_u8()], &mut text);
        text
    }

    /// What vendors added.
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// Both as texts, for what outlives the request.
    pub fn texts(&self) -> (String, Option<String>) {
        (self.traceparent(), self.state.clone())
    }

    /// The trace; 32 hex digits as text.
    pub const fn trace_id(&self) -> TraceId {
        self.trace
    }

    /// The trace, if a span of ours in it is sent.
    pub fn recorded(&self) -> Option<TraceId> {
        self.is_recorded.then_some(self.trace)
    }

    /// Where a span of ours stands. `None` where no traces are sent, and for a request that is not sampled.
    pub fn of(span: &Span) -> Option<Self> {
        let context = span.context();
        let own = context.span().span_context().clone();
        let state = own.trace_state().header();
        own.is_valid().then(|| Self {
            trace: own.trace_id(),
            span: own.span_id(),
            flags: own.trace_flags() & TraceFlags::SAMPLED,
            state: (!state.is_empty()).then_some(state),
            is_recorded: own.is_sampled(),
        })
    }

    fn vendors(&self) -> Option<TraceState> {
        TraceState::from_str(self.state.as_deref()?).ok()
    }

    fn remote(&self) -> SpanContext {
        let flags = self.flags & TraceFlags::SAMPLED;
        let state = self.vendors().unwrap_or_default();
        SpanContext::new(self.trace, self.span, flags, true, state)
    }
}

/// What the trace context of a request is to its span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The parent: it comes from a service of ours.
    Parent,
    /// A link: anybody can write it, and might have it sampled, or put what he does into the trace
    /// of somebody else.
    Link,
}

/// Makes the span a child of the one that is named. Call it before the span is entered.
pub fn continue_from(span: &Span, parent: &TraceContext) {
    // Without a layer that makes spans there is nobody to have a parent.
    let _ = span.set_parent(Context::new().with_remote_span_context(parent.remote()));
}

/// Makes the span of a request, and tells where it stands; where no traces are sent, that is what the
/// request brought. A trace that is not sampled has its ids too, for who goes on with it and for the log.
/// What makes the span is told the id of the trace for its field `trace_id`; where only the span itself
/// knows, the field is recorded after.
pub fn open(
    brought: Option<TraceContext>,
    trust: Trust,
    make: impl FnOnce(Option<&str>) -> Span,
) -> (Span, Option<TraceContext>) {
    let Some(ratio) = Ratio::in_force() else {
        let span = match &brought {
            Some(brought) => make(Some(hex(brought.trace, &mut [0; 32]))),
            None => make(None),
        };
        return (span, brought);
    };
    let (parent, linked) = match trust {
        Trust::Parent => (brought, None),
        Trust::Link => (None, brought),
    };
    let (trace, is_sampled) = match &parent {
        Some(parent) => (parent.trace, parent.flags.is_sampled()),
        None => ratio.begin(),
    };
    let settled = Settled::hold(is_sampled);
    if !is_sampled {
        let stands = TraceContext {
            trace,
            span: new_span_id(),
            flags: TraceFlags::NOT_SAMPLED,
            state: parent
                .filter(|parent| parent.vendors().is_some())
                .and_then(|parent| parent.state),
            is_recorded: false,
        };
        return (make(Some(hex(trace, &mut [0; 32]))), Some(stands));
    }
    let span = make(None);
    let around = match parent {
        Some(parent) => Context::new().with_remote_span_context(parent.remote()),
        None => Context::new(),
    };
    // Without a layer that makes spans there is nobody to have a parent.
    let _ = span.set_parent(around);
    if let Some(other) = linked {
        span.add_link(other.remote());
    }
    // Here it is sampled.
    let stands = TraceContext::of(&span);
    drop(settled);
    if let Some(stands) = &stands {
        span.record("trace_id", hex(stands.trace, &mut [0; 32]));
    }
    (span, stands)
}

/// Whether the span is part of a trace that is sampled.
pub fn is_sampled(span: &Span) -> bool {
    span.context().span().span_context().is_sampled()
}

fn hex(trace: TraceId, digits: &mut [u8; 32]) -> &str {
    HEXLOWER.encode_mut_str(&trace.to_bytes(), digits)
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn parse(traceparent: &str) -> Option<String> {
        TraceContext::parse(traceparent, None).map(|context| context.traceparent())
    }

    #[test]
    fn only_a_good_traceparent_names_a_trace() {
        assert_eq!(parse(GOOD).as_deref(), Some(GOOD));
        for bad in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319\n-b7ad6b7169203331-01",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_what_we_know_of_it() {
        let later = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-09-more";
        assert_eq!(parse(later).as_deref(), Some(GOOD));
    }

    #[test]
    fn what_a_request_brings_is_recorded_by_nobody() {
        let brought = TraceContext::parse(GOOD, None).unwrap();
        assert_eq!(brought.recorded(), None);
        let (_, stands) = open(Some(brought.clone()), Trust::Parent, |id| {
            assert_eq!(id, Some("0af7651916cd43dd8448eb211c80319c"));
            Span::none()
        });
        assert_eq!(stands, Some(brought), "no traces are sent here");
    }
}
