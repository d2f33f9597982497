//! A panic is a fault of one request, not the end of its connection.

use std::{any::Any, panic::AssertUnwindSafe};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use futures_util::FutureExt;

use crate::{Answer, RequestId};

/// Answers with `broken` where a handler panics, and logs it once.
pub fn layer(router: Router, broken: Answer) -> Router {
    router.layer(from_fn_with_state(broken, catch))
}

async fn catch(State(broken): State<Answer>, request: Request, next: Next) -> Response {
    let id = RequestId::of(&request);
    // What a handler shares is behind locks, which are poisoned, and atomics.
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let panic = message(panic.as_ref());
            tracing::error!(
                request_id = id.as_str(),
                panic,
                "a request handler panicked"
            );
            broken(&id)
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
