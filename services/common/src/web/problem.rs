//! What an error looks like: as those of `sso`.

use std::{borrow::Cow, time::Duration};

use axum::{
    Json,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sso_web::{
    RequestId,
    body::{BodyError, ObjectError},
    observe::keep_headers,
};
use utoipa::ToSchema;

/// The body of every answer that is not a success.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub struct ErrorBody {
    /// Always `Error`.
    #[schema(example = "Error")]
    status: &'static str,
    /// A sentence for a person.
    error: String,
    /// What programs switch on; stable.
    code: &'static str,
    /// The id of this request, as in the header `x-request-id`.
    request_id: String,
    /// Every bad field at once, where fields of the request are bad.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    fields: Vec<FieldBody>,
}

/// One bad field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = FieldError)]
pub struct FieldBody {
    /// The member's name.
    pub field: &'static str,
    /// What programs switch on; stable.
    pub code: &'static str,
    /// A sentence for a person.
    pub error: String,
}

/// What went wrong with a request. It has no body yet: that is written where the request's id is
/// known, and it is logged there.
#[derive(Debug, Clone)]
pub struct Problem {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) error: Cow<'static, str>,
    pub(super) fields: Vec<FieldBody>,
    /// For the log.
    pub(super) cause: Option<String>,
}

impl Problem {
    /// A status, what programs switch on, and a sentence.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        error: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code,
            error: error.into(),
            fields: Vec::new(),
            cause: None,
        }
    }

    /// 400: bad fields, all of them. The top-level code is the field's if there is one.
    pub fn of_fields(fields: Vec<FieldBody>) -> Self {
        let (code, error) = match &*fields {
            [only] => (only.code, only.error.clone()),
            _ => ("invalid_request", "several fields are not valid".to_owned()),
        };
        Self {
            fields,
            ..Self::new(StatusCode::BAD_REQUEST, code, error)
        }
    }

    /// 400: nothing that has a field.
    pub fn malformed(error: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", error)
    }

    /// 403: this token is not enough.
    pub fn forbidden(error: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", error)
    }

    /// 404.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "not found")
    }

    /// 503, for the client to come back; why is for the log.
    pub fn unavailable(cause: impl Into<String>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "the service cannot do that at the moment",
            )
        }
    }

    /// 500: ours; why is for the log.
    pub fn internal(cause: impl Into<String>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "internal error",
            )
        }
    }

    /// 504.
    pub(crate) fn late() -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "deadline_exceeded",
            "the request took too long",
        )
    }

    /// What an answer without a body of ours says by its status alone.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::not_found(),
            StatusCode::METHOD_NOT_ALLOWED => Self::new(
                status,
                "method_not_allowed",
                "this method is not allowed here",
            ),
            status if status.is_client_error() => Self {
                status,
                ..Self::malformed("invalid request")
            },
            _ => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "internal error",
            ),
        }
    }

    /// Writes the body, and keeps the other headers of the answer.
    pub(super) fn render(self, id: &RequestId, headers: HeaderMap) -> Response {
        let body = Json(ErrorBody {
            status: "Error",
            error: self.error.into_owned(),
            code: self.code,
            request_id: id.as_str().to_owned(),
            fields: self.fields,
        });
        let mut response = (self.status, body).into_response();
        keep_headers(&mut response, headers);
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // A 403 is a token that is not enough (RFC 6750, section 3).
        if [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&self.status) {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, Duration::from_secs(1).as_secs().into());
        }
        response
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "payload_too_large",
                "the body is larger than 64 KiB",
            ),
            BodyError::UnsupportedEncoding | BodyError::UnsupportedMediaType => Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                error.to_string(),
            ),
            BodyError::Malformed(_) | BodyError::Interrupted => Self::malformed(error.to_string()),
        }
    }
}

impl From<ObjectError> for Problem {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::Body(error) => error.into(),
            ObjectError::NotJson(_) | ObjectError::NotAnObject => {
                Self::malformed(error.to_string())
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
