//! Which spans are made at all.
//!
//! Of most traces nothing is sent. A span of theirs is nothing but work for every request, so whether a
//! request's trace is sampled is settled before its span is made: of one that is not neither that span nor any
//! below it becomes one of OpenTelemetry.

use std::cell::Cell;

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanId, SpanKind, TraceContextExt as _, TraceId},
};
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, Sampler, SamplingDecision, SamplingResult, ShouldSample,
};
use tracing::{Metadata, Subscriber, level_filters::LevelFilter, subscriber::Interest};
use tracing_subscriber::{
    layer::{Context as Around, Filter},
    registry::LookupSpan,
};

/// Our spans have targets that begin so: those of our crates and of the services on the events.
const OURS: [&str; 3] = ["sso", "welcome", "loyalty"];

thread_local! {
    /// Of the span that this thread is making: whether its trace is sampled.
    static SETTLED: Cell<Option<bool>> = const { Cell::new(None) };
}

/// For as long as it is held, it is settled for the spans that this thread makes. Not to be held over an
/// `await`.
pub(super) struct Settled(());

impl Settled {
    pub(super) fn hold(is_sampled: bool) -> Self {
        SETTLED.set(Some(is_sampled));
        Self(())
    }
}

impl Drop for Settled {
    fn drop(&mut self) {
        SETTLED.set(None);
    }
}

/// The share of traces that are sampled, of those that begin here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ratio(f64);

impl Ratio {
    /// Of the subscriber in force; `None`: no traces are sent.
    pub(super) fn in_force() -> Option<Self> {
        tracing::dispatcher::get_default(|dispatch| {
            dispatch.downcast_ref::<Sampled>().map(|own| own.0)
        })
    }

    /// The id of a trace that begins here, and whether it is sampled.
    pub(super) fn begin(self) -> (TraceId, bool) {
        let id = RandomIdGenerator::default().new_trace_id();
        let sampler = Sampler::TraceIdRatioBased(self.0);
        let result = sampler.should_sample(None, id, "", &SpanKind::Server, &[], &[]);
        (id, result.decision == SamplingDecision::RecordAndSample)
    }
}

pub(super) fn new_span_id() -> SpanId {
    RandomIdGenerator::default().new_span_id()
}

/// Lets spans of ours through, but for those of requests whose trace is not sampled.
#[derive(Debug)]
pub(super) struct Sampled(Ratio);

impl Sampled {
    pub(super) const fn of(ratio: f64) -> Self {
        Self(Ratio(ratio))
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Filter<S> for Sampled {
    fn enabled(&self, metadata: &Metadata<'_>, around: &Around<'_, S>) -> bool {
        let is_wanted = || {
            // Where there is no span around, the sampler decides: it knows the parent.
            around.current_span().id().is_none() || around.lookup_current().is_some()
        };
        is_ours(metadata) && SETTLED.get().unwrap_or_else(is_wanted)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_ours(metadata) {
            Interest::sometimes()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_span()
        && *metadata.level() <= LevelFilter::DEBUG
        && OURS.iter().any(|ours| metadata.target().starts_with(ours))
}

/// Samples what was settled to be; of everything else whoever has no parent by ratio, whoever has one as
/// it is.
#[derive(Debug, Clone)]
pub(super) struct Settling(Sampler);

impl Settling {
    pub(super) fn of(ratio: f64) -> Self {
        Self(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
            ratio,
        ))))
    }
}

impl ShouldSample for Settling {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let begins = parent.is_none_or(|parent| !parent.span().span_context().is_valid());
        let sampler = match SETTLED.get() {
            Some(true) if begins => &Sampler::AlwaysOn,
            _ => &self.0,
        };
        sampler.should_sample(parent, trace, name, kind, attributes, links)
    }
}
