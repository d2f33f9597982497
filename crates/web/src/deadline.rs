//! A bound on the time from a request's head to its answer's head.

use std::time::Duration;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};

use crate::{Answer, RequestId};

/// Answers with `late` when no answer has begun after `duration`; what was being done is dropped.
/// Reading the request's body counts, streaming the answer's does not.
pub fn layer(router: Router, duration: Duration, late: Answer) -> Router {
    router.layer(from_fn_with_state((duration, late), limit))
}

async fn limit(
    State((duration, late)): State<(Duration, Answer)>,
    request: Request,
    next: Next,
) -> Response {
    let id = RequestId::of(&request);
    match tokio::time::timeout(duration, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => late(&id),
    }
}
