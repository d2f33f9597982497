//! A message, or an error, to JSON by proto3's mapping.

use axum::{
    body::Body,
    http::{
        HeaderName, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
    },
    response::Response,
};
use prost::Message;
use prost_reflect::{DynamicMessage, ReflectMessage, SerializeOptions, Value as Field};
use serde_json::{Value, json};
use sso_core::Failure;
use tonic::{Code, Status};
use tonic_types::{StatusExt, pb};

use super::frame::Answer;
use crate::{
    call::REVOCATION,
    methods::{self, Method},
};

/// [`REVOCATION`] in the answers of HTTP.
const X_REVOCATION: HeaderName = HeaderName::from_static("x-revocation");
/// What every message of `google.protobuf.Any` is in the pool.
const ANY: &str = "google.protobuf.Any";

/// The answer of a call that went well: camelCase, unset fields too.
pub(super) fn answer(method: &'static Method, answer: Answer) -> Result<Response, Failure> {
    let descriptor = method.descriptor.output();
    let message = DynamicMessage::decode(descriptor, answer.message).map_err(Failure::internal)?;
    let body = written(&message).map_err(Failure::internal)?;

    let mut response = respond(StatusCode::OK, body.to_string().into_bytes());
    if let Some(reach) = answer.headers.get(REVOCATION) {
        response.headers_mut().insert(X_REVOCATION, reach.clone());
    }
    Ok(response)
}

fn written(message: &DynamicMessage) -> serde_json::Result<Value> {
    let options = SerializeOptions::new().skip_default_fields(false);
    let mut written = message.serialize_with_options(serde_json::value::Serializer, &options)?;
    tell_unset(message, &mut written);
    Ok(written)
}

/// Messages that are not set as `null`, which proto3's mapping reads as that. An unset member of a oneof is
/// left out: another one of it is there.
fn tell_unset(message: &DynamicMessage, written: &mut Value) {
    // Those of `google.protobuf` have a mapping of their own.
    let Value::Object(members) = written else {
        return;
    };
    for field in message.descriptor().fields() {
        if field.kind().as_message().is_none() || field.is_map() {
            continue;
        }
        let name = field.json_name();
        if field.is_list() {
            let value = message.get_field(&field);
            let inner = value.as_list().unwrap_or_default().iter();
            let outer = members.get_mut(name).and_then(Value::as_array_mut);
            for (inner, outer) in inner.zip(outer.into_iter().flatten()) {
                if let Field::Message(inner) = inner {
                    tell_unset(inner, outer);
                }
            }
        } else if !message.has_field(&field) {
            if field.containing_oneof().is_none() {
                members.insert(name.to_owned(), Value::Null);
            }
        } else if let Some(outer) = members.get_mut(name)
            && let Some(inner) = message.get_field(&field).as_message()
        {
            tell_unset(inner, outer);
        }
    }
}

/// A `google.rpc.Status` as JSON, with HTTP's code and `Retry-After`.
pub(super) fn error(status: &Status) -> Response {
    let body = json!({
        "code": i32::from(status.code()),
        "message": status.message(),
        "details": details(status),
    });
    let info = status.get_details_error_info();
    let reason = info.as_ref().map(|info| info.reason.as_str());
    let code = http_code(status.code(), reason);
    let mut response = respond(code, body.to_string().into_bytes());
    if let Some(seconds) = retry_after(status) {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// HTTP's code of an error. What HTTP alone can refuse is told apart by its reason.
pub(crate) fn http_code(code: Code, reason: Option<&str>) -> StatusCode {
    match reason {
        Some("method_not_allowed") => StatusCode::METHOD_NOT_ALLOWED,
        Some("payload_too_large") => StatusCode::PAYLOAD_TOO_LARGE,
        Some("unsupported_media_type") => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Some("misdirected_request") => StatusCode::MISDIRECTED_REQUEST,
        _ => by_code(code),
    }
}

const fn by_code(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

/// The details as proto3 writes an `Any`: their members, and `@type`.
fn details(status: &Status) -> Vec<Value> {
    let Ok(encoded) = pb::Status::decode(status.details()) else {
        return Vec::new();
    };
    let Some(any) = methods::descriptors().get_message_by_name(ANY) else {
        return Vec::new();
    };
    let written = encoded.details.iter().filter_map(|detail| {
        let mut message = DynamicMessage::new(any.clone());
        message.transcode_from(detail).ok()?;
        serde_json::to_value(&message).ok()
    });
    written.collect()
}

/// In whole seconds, at least one.
fn retry_after(status: &Status) -> Option<u64> {
    let delay = status.get_details_retry_info()?.retry_delay?;
    Some((delay.as_secs() + u64::from(delay.subsec_nanos() > 0)).max(1))
}

/// Answers are about tokens and people: nobody keeps them.
fn respond(code: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sso_core::{BadFields, FieldError, Kind};

    use super::*;
    use crate::status;

    #[test]
    fn the_codes_are_those_of_the_contracts_table() {
        for (kind, expected) in [
            (Kind::Invalid, 400),
            (Kind::Unauthenticated, 401),
            (Kind::Forbidden, 403),
            (Kind::NotFound, 404),
            (Kind::Conflict, 409),
            (Kind::Precondition, 400),
            (Kind::RateLimited, 429),
            (Kind::Unavailable, 503),
            (Kind::DeadlineExceeded, 504),
            (Kind::Internal, 500),
        ] {
            assert_eq!(by_code(status::code(kind)).as_u16(), expected, "{kind:?}");
        }
        for (reason, expected) in [
            ("method_not_allowed", 405),
            ("payload_too_large", 413),
            ("unsupported_media_type", 415),
            ("misdirected_request", 421),
        ] {
            let status = status::of(&Failure::new(Kind::Invalid, reason, ""), "");
            assert_eq!(error(&status).status().as_u16(), expected, "{reason}");
        }
    }

    #[test]
    fn messages_that_are_not_set_are_null_at_any_depth() {
        let descriptor = methods::descriptors().get_message_by_name("sso.v1.ListKeysResponse");
        let given = r#"{"keys":[{"keyId":"a","createdAt":"2026-11-23T12:00:00Z"}]}"#;
        let mut given = serde_json::Deserializer::from_str(given);
        let message = DynamicMessage::deserialize(descriptor.unwrap(), &mut given).unwrap();
        let expected = json!({ "keys": [{
            "keyId": "a",
            "use": "",
            "algorithm": "",
            "state": "",
            "createdAt": "2026-11-23T12:00:00Z",
            "signsFrom": null,
            "retiredAt": null,
        }]});
        assert_eq!(written(&message).unwrap(), expected);
    }

    #[test]
    fn details_are_written_as_any() {
        let failure = Failure {
            retry_after: Some(Duration::from_millis(1500)),
            ..BadFields(vec![FieldError::required("email")]).into()
        };
        let details = details(&status::of(&failure, "request-1"));
        assert!(details.contains(&json!({
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{
                "field": "email",
                "description": "email is required",
                "reason": "required",
            }],
        })));
        assert!(details.contains(&json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "required",
            "domain": "sso",
        })));
        assert!(details.contains(&json!({
            "@type": "type.googleapis.com/google.rpc.RequestInfo",
            "requestId": "request-1",
        })));
        assert!(details.contains(&json!({
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": "1.500s",
        })));
    }

    #[test]
    fn retry_after_is_rounded_up_to_whole_seconds() {
        for (millis, expected) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2")] {
            let delay = Duration::from_millis(millis);
            let failure = Failure::unavailable("overloaded", "", delay);
            let response = error(&status::of(&failure, ""));
            assert_eq!(response.headers()[RETRY_AFTER], expected, "{millis}");
        }
    }
}
