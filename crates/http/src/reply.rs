//! Answers of a success.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::CACHE_CONTROL},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sso_core::ports::store::Reach;
use utoipa::ToSchema;

use crate::error::HttpError;

/// The header on answers to revocations.
pub(crate) const X_REVOCATION: &str = "x-revocation";

/// `status` of a success: one word, so that clients can tell the two shapes apart.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
#[schema(as = StatusOfSuccess)]
pub(crate) enum Success {
    /// As asked.
    #[default]
    Success,
}

/// What a handler answers: a body, or a failure.
pub(crate) type Outcome<T> = Result<Reply<T>, HttpError>;

/// A success. Never stored by caches: it holds tokens or personal data.
#[derive(Debug)]
pub(crate) struct Reply<T> {
    status: StatusCode,
    body: T,
    reach: Option<Reach>,
}

impl<T: Serialize> Reply<T> {
    /// 200.
    pub(crate) const fn ok(body: T) -> Self {
        Self {
            status: StatusCode::OK,
            body,
            reach: None,
        }
    }

    /// 201.
    pub(crate) const fn created(body: T) -> Self {
        Self {
            status: StatusCode::CREATED,
            body,
            reach: None,
        }
    }

    /// The answer to a revocation says how far it has come.
    pub(crate) fn revoked(self, reach: Reach) -> Self {
        Self {
            reach: Some(reach),
            ..self
        }
    }
}

impl<T: Serialize> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(reach) = self.reach {
            headers.insert(X_REVOCATION, HeaderValue::from_static(reach.as_str()));
        }
        response
    }
}
