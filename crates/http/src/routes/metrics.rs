use axum::{
    http::{
        HeaderMap, HeaderValue,
        header::{ACCEPT, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};

use crate::state::Metrics;

/// The metrics as the scraper wants them.
pub(crate) fn text(render: &Metrics, asked: &HeaderMap) -> Response {
    let accept = asked.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let page = render(accept);
    let content_type = HeaderValue::from_static(page.content_type);
    ([(CONTENT_TYPE, content_type)], page.text).into_response()
}
