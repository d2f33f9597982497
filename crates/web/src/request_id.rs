//! Request ids: the caller's if it is a decent one, else ours.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderName, HeaderValue},
    middleware::{Next, from_fn_with_state},
    response::Response,
};

/// The header that carries it, in both directions.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Makes a new id. It must match what is accepted from callers.
pub type Generator = Arc<dyn Fn() -> String + Send + Sync>;

/// The id of a request, an extension of it. Always 8 to 64 characters of `[A-Za-z0-9._-]`, so it
/// can be written into logs and headers as it is; empty only where [`layer`] is not applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestId(pub Arc<str>);

impl RequestId {
    /// The id of a request; empty if it has none.
    pub fn of(request: &Request) -> Self {
        request
            .extensions()
            .get::<Self>()
            .cloned()
            .unwrap_or_default()
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Gives every request a [`RequestId`] and its answer the header.
pub fn layer(router: Router, generate: Generator) -> Router {
    router.layer(from_fn_with_state(generate, assign))
}

async fn assign(State(generate): State<Generator>, mut request: Request, next: Next) -> Response {
    let id = accepted(&request).map_or_else(|| generate(), str::to_owned);
    let header = HeaderValue::from_str(&id);
    request.extensions_mut().insert(RequestId(id.into()));
    let mut response = next.run(request).await;
    if let Ok(header) = header {
        response.headers_mut().insert(HEADER, header);
    }
    response
}

/// The caller's id. Of several headers none is believed.
fn accepted(request: &Request) -> Option<&str> {
    let mut values = request.headers().get_all(HEADER).iter();
    let (only, None) = (values.next()?, values.next()) else {
        return None;
    };
    only.to_str().ok().filter(|id| is_decent(id))
}

fn is_decent(id: &str) -> bool {
    (8..=64).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_decent_ids_are_taken_over() {
        for good in ["12345678", "a.b_c-D9", &"x".repeat(64)] {
            assert!(is_decent(good), "{good}");
        }
        for bad in [
            "",
            "1234567",
            "12345678 ",
            "1234567\u{e9}",
            "a/b/c/d/e",
            &"x".repeat(65),
        ] {
            assert!(!is_decent(bad), "{bad}");
        }
    }
}
