//! W3C Trace Context: `traceparent`, `tracestate`, and the older `x-trace-id`.

use axum::{extract::Request, http::HeaderMap};
use sso_telemetry::traces::context;
pub use sso_telemetry::traces::context::{TraceContext, TraceId, Trust};
use tracing::Span;

/// Longest `tracestate` that is kept (W3C Trace Context, 3.3.1.5: at least 512 are propagated).
const MAX_STATE: usize = 512;

/// Makes a request's span in its trace, and gives the request its [`TraceContext`] as an extension:
/// where this span stands, or without traces of ours what the request brought. `make` is told what is
/// known of the span's field `trace_id`, which it must have.
pub fn open(request: &mut Request, trust: Trust, make: impl FnOnce(Option<&str>) -> Span) -> Span {
    let (span, stands) = context::open(extract(request.headers()), trust, make);
    if let Some(stands) = stands {
        request.extensions_mut().insert(stands);
    }
    span
}

/// The trace of a request whose span was [opened](open) and is sent.
pub fn recorded(request: &Request) -> Option<TraceId> {
    let stands = request.extensions().get();
    stands.and_then(TraceContext::recorded)
}

/// Reads the trace context of a request. What is malformed is as if it were not there; `x-trace-id`
/// (32 hex digits) counts only where there is no `traceparent` at all.
pub fn extract(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all("traceparent").iter();
    let Some(parent) = parents.next() else {
        let id = headers.get("x-trace-id")?.to_str().ok()?;
        return from_trace_id(&id.to_ascii_lowercase());
    };
    if parents.next().is_some() {
        return None;
    }
    TraceContext::parse(parent.to_str().ok()?, state(headers))
}

/// The caller names a trace but no span: the parent is made of the id's own digits, so that the
/// same id always gives the same tree.
fn from_trace_id(id: &str) -> Option<TraceContext> {
    let (head, tail) = id.split_at_checked(16)?;
    let with = |parent| TraceContext::parse(&format!("00-{id}-{parent}-01"), None);
    with(tail).or_else(|| with(head))
}

fn state(headers: &HeaderMap) -> Option<String> {
    let mut joined = String::new();
    for value in headers.get_all("tracestate") {
        let part = value.to_str().ok()?.trim();
        if part.is_empty() {
            continue;
        }
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(part);
        if joined.len() > MAX_STATE {
            return None;
        }
    }
    (!joined.is_empty()).then_some(joined)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn parent(pairs: &[(&'static str, &str)]) -> Option<String> {
        extract(&headers(pairs)).map(|context| context.traceparent())
    }

    #[test]
    fn a_good_traceparent_is_taken_over_and_a_bad_one_ignored() {
        assert_eq!(parent(&[("traceparent", GOOD)]).as_deref(), Some(GOOD));
        assert_eq!(parent(&[("traceparent", "00")]), None);
        let twice = [("traceparent", GOOD), ("traceparent", GOOD)];
        assert_eq!(parent(&twice), None);
    }

    #[test]
    fn the_older_header_counts_only_without_a_traceparent() {
        let id = "4BF92F3577B34DA6A3CE929D0E0E4736";
        let made = "00-4bf92f3577b34da6a3ce929d0e0e4736-a3ce929d0e0e4736-01";
        assert_eq!(parent(&[("x-trace-id", id)]).as_deref(), Some(made));
        assert_eq!(
            parent(&[("traceparent", GOOD), ("x-trace-id", id)]).as_deref(),
            Some(GOOD)
        );
        assert_eq!(parent(&[("traceparent", "x"), ("x-trace-id", id)]), None);
        for bad in ["", "4bf9", &"0".repeat(32), &"z".repeat(32)] {
            assert_eq!(parent(&[("x-trace-id", bad)]), None, "{bad}");
        }
        let low = format!("{}{}", "1".repeat(16), "0".repeat(16));
        let made = format!("00-{low}-{}-01", "1".repeat(16));
        assert_eq!(parent(&[("x-trace-id", &low)]), Some(made));
    }

    #[test]
    fn tracestate_is_joined_and_bounded() {
        let state = |pairs: &[_]| {
            let context = extract(&headers(pairs)).unwrap();
            context.tracestate().map(str::to_owned)
        };
        let two = [
            ("traceparent", GOOD),
            ("tracestate", "a=1"),
            ("tracestate", "b=2"),
        ];
        assert_eq!(state(&two).as_deref(), Some("a=1,b=2"));
        let long = format!("a={}", "x".repeat(511));
        assert_eq!(state(&[("traceparent", GOOD), ("tracestate", &long)]), None);
        assert_eq!(extract(&headers(&[("tracestate", "a=1")])), None);
    }
}
