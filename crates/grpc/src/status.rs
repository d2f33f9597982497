//! What a failure is on the wire: one table from [`Kind`] to gRPC's codes, and `google.rpc` details.

use std::collections::HashMap;

use sso_core::{Failure, Kind};
use sso_web::RequestId;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

/// `ErrorInfo.domain` of all our errors.
pub(crate) const DOMAIN: &str = "sso";

/// The code of a kind.
pub(crate) const fn code(kind: Kind) -> Code {
    match kind {
        Kind::Invalid => Code::InvalidArgument,
        Kind::Unauthenticated => Code::Unauthenticated,
        Kind::Forbidden => Code::PermissionDenied,
        Kind::NotFound => Code::NotFound,
        Kind::Conflict => Code::AlreadyExists,
        Kind::Precondition => Code::FailedPrecondition,
        Kind::RateLimited => Code::ResourceExhausted,
        Kind::Unavailable => Code::Unavailable,
        Kind::DeadlineExceeded => Code::DeadlineExceeded,
        Kind::Internal => Code::Internal,
    }
}

/// A code's name in the gRPC specification: label of metrics, word of the documents.
pub(crate) const fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The end of a failure: logged here, once, and turned into a status.
pub(crate) fn refuse(failure: &Failure, id: &RequestId) -> Status {
    log(failure, id.as_str());
    of(failure, id.as_str())
}

/// The status of a failure with its `google.rpc` details. An empty `request_id` is left out.
pub(crate) fn of(failure: &Failure, request_id: &str) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(failure.code, DOMAIN, HashMap::new());
    if !failure.fields.is_empty() {
        let violations: Vec<_> = failure.fields.iter().map(violation).collect();
        details.set_bad_request(violations);
    }
    if let Some(delay) = failure.retry_after {
        details.set_retry_info(Some(delay));
    }
    if !request_id.is_empty() {
        details.set_request_info(request_id, "");
    }
    Status::with_error_details(code(failure.kind), failure.message.as_ref(), details)
}

/// Gives a status that tonic made the details that all of ours have. What it could not read is the
/// client's fault, though tonic says INTERNAL; and what is too large when inflated is told as if it had
/// come so.
pub(crate) fn complete(status: &Status, request_id: &str) -> Status {
    let (code, message) = match status.code() {
        Code::Internal => (Code::InvalidArgument, "the message cannot be read"),
        Code::ResourceExhausted => (Code::OutOfRange, "the inflated message is too large"),
        Code::Unimplemented if status.message().is_empty() => {
            (Code::Unimplemented, "there is no such method")
        }
        code => (code, status.message()),
    };
    let mut details = ErrorDetails::new();
    details.set_error_info(reason(code), DOMAIN, HashMap::new());
    if !request_id.is_empty() {
        details.set_request_info(request_id, "");
    }
    let mut complete = Status::with_error_details(code, message, details);
    *complete.metadata_mut() = status.metadata().clone();
    complete
}

/// `ErrorInfo.reason` of a status that tonic made: it refused the message, or knows no such method.
const fn reason(code: Code) -> &'static str {
    match code {
        Code::OutOfRange => "payload_too_large",
        Code::NotFound => "not_found",
        Code::Unimplemented => "unimplemented",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::Unavailable => "unavailable",
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Internal
        | Code::ResourceExhausted
        | Code::DataLoss
        | Code::Unauthenticated => "invalid_request",
    }
}

fn violation(bad: &sso_core::FieldError) -> FieldViolation {
    FieldViolation {
        field: bad.field.to_owned(),
        description: bad.error.clone().into_owned(),
        reason: bad.code.to_owned(),
        localized_message: None,
    }
}

fn log(failure: &Failure, request_id: &str) {
    let (code, cause) = (
        failure.code,
        failure.cause.as_deref().map(tracing::field::display),
    );
    match failure.kind {
        Kind::Internal => tracing::error!(request_id, code, cause, "a call failed"),
        Kind::Unavailable | Kind::DeadlineExceeded => {
            tracing::warn!(
                request_id,
                code,
                cause,
                "a call was not served: {}",
                failure.message
            );
        }
        Kind::Invalid
        | Kind::Unauthenticated
        | Kind::Forbidden
        | Kind::NotFound
        | Kind::Conflict
        | Kind::Precondition
        | Kind::RateLimited => {
            tracing::debug!(
                request_id,
                code,
                cause,
                "a call was refused: {}",
                failure.message
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sso_core::{BadFields, FieldError};

    use super::*;

    #[test]
    fn every_bad_field_is_in_bad_request_and_the_first_is_the_message() {
        let failure = Failure::from(BadFields(vec![
            FieldError::required("email"),
            FieldError::new("password", "weak_password", "too short"),
        ]));
        let status = of(&failure, "request-1");
        assert_eq!(
            (status.code(), status.message()),
            (Code::InvalidArgument, "email is required")
        );
        let details = status.get_error_details();
        let violations = &details.bad_request().unwrap().field_violations;
        let named: Vec<_> = violations
            .iter()
            .map(|v| (v.field.as_str(), v.reason.as_str(), v.description.as_str()))
            .collect();
        assert_eq!(
            named,
            [
                ("email", "required", "email is required"),
                ("password", "weak_password", "too short"),
            ]
        );
        let info = details.error_info().unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            ("invalid_request", "sso")
        );
        assert_eq!(details.request_info().unwrap().request_id, "request-1");
    }

    #[test]
    fn a_cause_stays_in_the_log_and_a_delay_is_retry_info() {
        let failure = Failure::unavailable("overloaded", "try again", Duration::from_millis(1500))
            .because("secret detail");
        let status = of(&failure, "");
        assert_eq!(status.code(), Code::Unavailable);
        assert!(!format!("{status:?}").contains("secret detail"));
        let details = status.get_error_details();
        assert_eq!(
            details.retry_info().unwrap().retry_delay,
            Some(Duration::from_millis(1500))
        );
        assert!(details.request_info().is_none());
        assert!(details.bad_request().is_none());
    }
}
