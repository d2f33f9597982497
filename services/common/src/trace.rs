//! The trace of the request that caused an event, continued.

use sso_kafka::consumer::Event;
use tracing::Span;

/// A span around what is done with an event. It names the trace of the request that caused the event,
/// and the span in it that is this one's parent (W3C Trace Context).
pub fn span(event: &Event) -> Span {
    let context = event.traceparent.as_deref().and_then(parse);
    tracing::info_span!(
        "registration",
        event_id = %event.id,
        trace_id = context.map(|(trace, _)| trace),
        parent_id = context.map(|(_, parent)| parent),
    )
}

/// Trace id and parent id of a `traceparent`.
fn parse(text: &str) -> Option<(&str, &str)> {
    let mut parts = text.split('-');
    let (_version, trace, parent) = (parts.next()?, parts.next()?, parts.next()?);
    let is_id = |id: &str, digits| {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        id.len() == digits && id.bytes().all(is_hex) && id.bytes().any(|byte| byte != b'0')
    };
    (is_id(trace, 32) && is_id(parent, 16)).then_some((trace, parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_good_traceparent_is_continued() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let ids = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        assert_eq!(parse(good), Some(ids));
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319\n-b7ad6b7169203331-01",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
