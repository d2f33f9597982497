//! The HTTP side of a service: errors, observation, probes, Swagger UI, and the layers around.

mod members;
mod observe;
mod probes;
mod problem;

use std::{sync::Arc, time::Duration};

use axum::{Router, http::StatusCode, response::IntoResponse};
use sso_web::{compress, deadline, observe::Series, panics, request_id, shield};

pub use members::{Members, Object, refuse_declared_length};
pub(crate) use probes::probes;
pub use problem::{ErrorBody, FieldBody, Problem};
pub use sso_web::{rfc3339, swagger::router as swagger};

/// Everything around the routes of a service, which are seen as these series.
pub(crate) fn complete(own: Router, series: Series, probes: Router, timeout: Duration) -> Router {
    let router = own.merge(probes);
    let router = router.fallback(async || Problem::of_status(StatusCode::NOT_FOUND));
    // From the inside out.
    let router = panics::layer(router, |_| {
        Problem::of_status(StatusCode::INTERNAL_SERVER_ERROR).into_response()
    });
    let router = deadline::layer(router, timeout, |_| Problem::late().into_response());
    let router = observe::layer(router, series);
    let router = compress::layer(router);
    let router = shield::layer(router);
    request_id::layer(router, Arc::new(|| crate::world::new_id().to_string()))
}
