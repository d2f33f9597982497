//! What an error looks like over HTTP, and the one table from a failure's kind to a status.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sso_core::{
    Failure, FieldError, Kind,
    metrics::count_throttled,
    ports::{ThrottleReason, Throttled},
};
use sso_web::{
    RequestId,
    body::{BodyError, ObjectError},
    observe::keep_headers,
};
use utoipa::ToSchema;

/// `status` of an error: one word, so that clients can tell the two shapes apart.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
#[schema(as = StatusOfError)]
pub(crate) enum Failed {
    /// Not as asked.
    #[default]
    Error,
}

/// The body of every answer that is not a success.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct ErrorBody {
    /// Always `Error`.
    status: Failed,
    /// A sentence for a person.
    #[schema(example = "invalid e-mail or password")]
    error: String,
    /// What programs switch on; stable.
    #[schema(example = "invalid_credentials")]
    code: &'static str,
    /// The id of this request, as in the header `x-request-id`: quote it when you ask for help.
    #[schema(example = "0197f2a4-8a3b-7c1e-9f60-2d7f3f1c5b11")]
    request_id: String,
    /// Every bad field at once, where fields of the request are bad.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    fields: Vec<FieldBody>,
}

/// One bad field.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FieldError)]
pub(crate) struct FieldBody {
    /// The member's name.
    #[schema(example = "email")]
    field: &'static str,
    /// What programs switch on; stable.
    #[schema(example = "invalid_email")]
    code: &'static str,
    /// A sentence for a person.
    #[schema(example = "email is not a valid address")]
    error: String,
}

/// What one bad field says.
impl From<&FieldError> for FieldBody {
    fn from(bad: &FieldError) -> Self {
        Self {
            field: bad.field,
            code: bad.code,
            error: bad.error.to_string(),
        }
    }
}

impl ErrorBody {
    /// What the client reads of a failure.
    pub(crate) fn new(failure: &Failure, request_id: &str) -> Self {
        Self {
            status: Failed::Error,
            error: failure.message.to_string(),
            code: failure.code,
            request_id: request_id.to_owned(),
            fields: failure.fields.iter().map(FieldBody::from).collect(),
        }
    }
}

/// The table of the contract: kind to status.
pub(crate) const fn status_of(kind: Kind) -> StatusCode {
    match kind {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict | Kind::Precondition => StatusCode::CONFLICT,
        Kind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A failure on its way to the client. It has no body yet: [`render`] writes it where the request's
/// id is known, and it is logged there.
#[derive(Debug, Clone)]
pub(crate) struct HttpError {
    pub(crate) status: StatusCode,
    pub(crate) failure: Arc<Failure>,
}

impl HttpError {
    /// What only HTTP can say: the domain has no kind for it.
    pub(crate) fn of_protocol(status: StatusCode, code: &'static str, error: &'static str) -> Self {
        Self {
            status,
            failure: Arc::new(Failure::new(Kind::Invalid, code, error)),
        }
    }

    /// What an answer without a body of ours says by its status alone: the router's own answers.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Failure::new(Kind::NotFound, "not_found", "not found").into(),
            StatusCode::METHOD_NOT_ALLOWED => Self::of_protocol(
                status,
                "method_not_allowed",
                "this method is not allowed here",
            ),
            status if status.is_client_error() => {
                Self::of_protocol(status, "invalid_request", "invalid request")
            }
            status => {
                let why = format!("the router answered {status}");
                Failure::internal(why).into()
            }
        }
    }

    /// The request did not name a host of this machine.
    pub(crate) fn misdirected() -> Self {
        Self::of_protocol(
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected_request",
            "only requests to localhost are answered here",
        )
    }

    /// No answer in time.
    pub(crate) fn late() -> Self {
        Failure::new(
            Kind::DeadlineExceeded,
            "deadline_exceeded",
            "the request took too long",
        )
        .into()
    }

    /// Too many requests of this address to this route.
    pub(crate) fn too_many(wait: Duration) -> Self {
        let throttled = Throttled::by(ThrottleReason::Address, wait);
        count_throttled(throttled.reason);
        throttled.into()
    }

    /// A handler panicked; that is logged already.
    pub(crate) fn broken() -> Self {
        Failure::new(Kind::Internal, "internal", "internal error").into()
    }
}

impl<E: Into<Failure>> From<E> for HttpError {
    fn from(error: E) -> Self {
        let failure = error.into();
        Self {
            status: status_of(failure.kind),
            failure: Arc::new(failure),
        }
    }
}

/// An error of the body, as this API names it.
pub(crate) fn of_body(error: BodyError) -> HttpError {
    match error {
        BodyError::TooLarge => HttpError::of_protocol(
            StatusCode::PAYLOAD_TOO_LARGE,
            "payload_too_large",
            "the body is larger than 64 KiB",
        ),
        BodyError::UnsupportedEncoding | BodyError::UnsupportedMediaType => HttpError {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            failure: Arc::new(Failure::new(
                Kind::Invalid,
                "unsupported_media_type",
                error.to_string(),
            )),
        },
        BodyError::Malformed(_) | BodyError::Interrupted => {
            Failure::malformed(error.to_string()).into()
        }
    }
}

/// An error of a body that should be an object, as this API names it.
pub(crate) fn of_object(error: ObjectError) -> HttpError {
    match error {
        ObjectError::Body(error) => of_body(error),
        ObjectError::NotJson(_) | ObjectError::NotAnObject => {
            Failure::malformed(error.to_string()).into()
        }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the body of an error whose answer has none of ours yet, and keeps its other headers.
pub(crate) fn render(error: &HttpError, id: &RequestId, headers: HeaderMap) -> Response {
    let body = Json(ErrorBody::new(&error.failure, id.as_str()));
    let mut response = (error.status, body).into_response();
    keep_headers(&mut response, headers);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let wait = error.failure.retry_after;
    if let Some(seconds) = wait.or_else(|| default_wait(error.status)) {
        headers.insert(RETRY_AFTER, whole_seconds(seconds).into());
    }
    response
}

/// 429 and 503 always say when to come back.
fn default_wait(status: StatusCode) -> Option<Duration> {
    let must = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    must.contains(&status).then_some(Duration::from_secs(1))
}

/// Rounded up, and never 0: that would be an invitation to hammer.
fn whole_seconds(wait: Duration) -> u64 {
    let part = u64::from(wait.subsec_nanos() > 0);
    (wait.as_secs() + part).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_in_whole_seconds_and_at_least_one() {
        let seconds = |millis| whole_seconds(Duration::from_millis(millis));
        assert_eq!(
            [seconds(0), seconds(1), seconds(1000), seconds(1001)],
            [1, 1, 1, 2]
        );
    }
}
