use std::sync::Arc;

use axum::{Router, http::HeaderMap, response::IntoResponse, routing::get};
use sso_web::{compress, deadline, host, panics, rate, request_id, shield};

use crate::{
    admin::operator_routes, cors, error::HttpError, observe, openapi, routes, state::HttpState,
};

/// Every route of the API, and what is around them.
pub fn router(state: HttpState) -> Router {
    let state = Arc::new(state);
    let (api, document) = openapi::api().split_for_parts();
    let mut router = api
        .with_state(Arc::clone(&state))
        .merge(sso_web::swagger::router(&document));
    if let Some(render) = &state.metrics {
        let render = Arc::clone(render);
        router = router.route(
            "/metrics",
            get(async move |asked: HeaderMap| routes::metrics::text(&render, &asked)),
        );
    }
    if let Some(admin) = &state.admin {
        router = router.merge(operator_routes(admin.clone()));
    }
    let router = router.fallback(async || HttpError::of_status(axum::http::StatusCode::NOT_FOUND));

    // From the inside out.
    let router = panics::layer(router, |_| HttpError::broken().into_response());
    let router = deadline::layer(router, state.request_timeout, |_| {
        HttpError::late().into_response()
    });
    let router = rate::layer(router, state.rates.clone(), |wait, _| {
        HttpError::too_many(wait).into_response()
    });
    let router = cors::layer(router, &state.cors_origins);
    // Preflights included.
    let router = if state.loopback_only {
        host::require_loopback(router, |_| HttpError::misdirected().into_response())
    } else {
        router
    };
    let router = observe::layer(router, Arc::clone(&state.sso.clock));
    let router = compress::layer(router);
    let router = shield::layer(router);
    request_id::layer(router, Arc::clone(&state.new_request_id))
}
