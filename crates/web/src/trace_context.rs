//! W3C Trace Context: `traceparent`, `tracestate`, and the older `x-trace-id`.

use axum::{extract::Request, http::HeaderMap};
use sso_telemetry::traces::context;
use tracing::Span;

/// Longest `tracestate` that is kept (W3C Trace Context, 3.3.1.5: at least 512 are propagated).
const MAX_STATE: usize = 512;

/// Where a request stands in a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// `00-<32 hex>-<16 hex>-<2 hex>`, lower case: version 00 whatever came.
    pub traceparent: String,
    /// What vendors added, as it came.
    pub tracestate: Option<String>,
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

/// Makes a request's span in its trace, and gives the request its [`TraceContext`] as an extension:
/// where this span stands, or without traces of ours what the request brought. `make` is told what is
/// known of the span's field `trace_id`, which it must have.
pub fn open(request: &mut Request, trust: Trust, make: impl FnOnce(Option<&str>) -> Span) -> Span {
    let brought = extract(request.headers());
    let named = brought.as_ref().map(|brought| context::Named {
        traceparent: &brought.traceparent,
        tracestate: brought.tracestate.as_deref(),
        is_parent: trust == Trust::Parent,
    });
    let (span, own) = context::open(named, make);
    let own = own.map(|place| TraceContext {
        traceparent: place.traceparent,
        tracestate: place.tracestate,
    });
    if let Some(stands) = own.or(brought) {
        request.extensions_mut().insert(stands);
    }
    span
}

/// Reads the trace context of a request. What is malformed is as if it were not there; `x-trace-id`
/// (32 hex digits) counts only where there is no `traceparent` at all.
pub fn extract(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all("traceparent").iter();
    let Some(parent) = parents.next() else {
        let id = headers.get("x-trace-id")?.to_str().ok()?;
        return from_trace_id(id).map(|traceparent| TraceContext {
            traceparent,
            tracestate: None,
        });
    };
    if parents.next().is_some() {
        return None;
    }
    Some(TraceContext {
        traceparent: parse(parent.to_str().ok()?)?,
        tracestate: state(headers),
    })
}

/// Parses a `traceparent`. A version above 00 may have more parts, which are dropped.
fn parse(text: &str) -> Option<String> {
    let mut parts = text.split('-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let good = is_hex(version, 2)
        && version != "ff"
        && (version != "00" || parts.next().is_none())
        && is_id(trace, 32)
        && is_id(parent, 16)
        && is_hex(flags, 2);
    if !good {
        return None;
    }
    // A version that we do not know may mean something else by its other flags.
    let flags = match version {
        "00" => flags,
        _ if u8::from_str_radix(flags, 16).is_ok_and(|bits| bits & 1 == 1) => "01",
        _ => "00",
    };
    Some(format!("00-{trace}-{parent}-{flags}"))
}

/// The caller names a trace but no span: the parent is made of the id's own digits, so that the
/// same id always gives the same tree.
fn from_trace_id(id: &str) -> Option<String> {
    let id = id.to_ascii_lowercase();
    if !is_id(&id, 32) {
        return None;
    }
    let (head, tail) = id.split_at(16);
    let parent = if is_id(tail, 16) { tail } else { head };
    Some(format!("00-{id}-{parent}-01"))
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

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_id(text: &str, digits: usize) -> bool {
    is_hex(text, digits) && text.bytes().any(|b| b != b'0')
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
        extract(&headers(pairs)).map(|context| context.traceparent)
    }

    #[test]
    fn a_good_traceparent_is_taken_over_and_a_bad_one_ignored() {
        assert_eq!(parent(&[("traceparent", GOOD)]).as_deref(), Some(GOOD));
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
        ] {
            assert_eq!(parent(&[("traceparent", bad)]), None, "{bad}");
        }
        assert_eq!(
            parent(&[("traceparent", GOOD), ("traceparent", GOOD)]),
            None
        );
    }

    #[test]
    fn a_later_version_is_read_as_what_we_know_of_it() {
        let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-09-more";
        assert_eq!(parent(&[("traceparent", later)]).as_deref(), Some(GOOD));
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
        let state = |pairs: &[_]| extract(&headers(pairs)).unwrap().tracestate;
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
