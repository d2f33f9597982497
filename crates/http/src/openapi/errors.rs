//! Every error that a route can answer with, as the document shows it: one example per code.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{
        ContentBuilder, HeaderBuilder, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Type,
        example::ExampleBuilder,
    },
};

/// Text of the header `x-revocation`.
pub(crate) const REVOCATION: &str = "`everywhere`: every instance of the service obeys. \
    `pending`: this one does, the others will within seconds.";

/// Who obeys a revocation.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "a shape for the document")]
pub(crate) enum Revocation {
    /// Every instance.
    Everywhere,
    /// This instance, the others soon.
    Pending,
}

/// An error: its status, its code, its sentence, and the field that it is about.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    status: u16,
    code: &'static str,
    error: &'static str,
    field: Option<&'static str>,
}

const fn case(status: u16, code: &'static str, error: &'static str) -> Case {
    Case {
        status,
        code,
        error,
        field: None,
    }
}

const fn bad(field: &'static str, code: &'static str, error: &'static str) -> Case {
    Case {
        status: 400,
        code,
        error,
        field: Some(field),
    }
}

const ALWAYS: &[Case] = &[
    case(429, "rate_limited", "too many requests, try again later"),
    case(500, "internal", "internal error"),
    case(504, "deadline_exceeded", "the request took too long"),
];

const STORED: &[Case] = &[case(
    503,
    "unavailable",
    "the database is not available, try again",
)];

const HASHED: &[Case] = &[case(
    503,
    "overloaded",
    "too many requests at once, try again",
)];

const BODY: &[Case] = &[
    case(400, "invalid_request", "the body must be a JSON object"),
    case(413, "payload_too_large", "the body is larger than 64 KiB"),
    case(
        415,
        "unsupported_media_type",
        "the Content-Type is not supported, send application/json",
    ),
];

const EMAIL: &[Case] = &[
    bad("email", "required", "email is required"),
    bad("email", "invalid_type", "email must be a string"),
    bad("email", "invalid_email", "email is not a valid address"),
    bad("email", "too_long", "email must be at most 254 bytes long"),
];

const NEW_PASSWORD: &[Case] = &[bad(
    "password",
    "weak_password",
    "password must have at least 8 characters",
)];

const PROFILE: &[Case] = &[
    bad(
        "name",
        "invalid_name",
        "name must have no control characters",
    ),
    bad(
        "birthday",
        "invalid_birthday",
        "birthday must be a real day, written YYYY-MM-DD",
    ),
];

const TOKEN_MEMBER: &[Case] = &[
    bad("token", "required", "token is required"),
    bad("token", "invalid_type", "token must be a string"),
];

const FORGED: &[Case] = &[case(401, "invalid_token", "invalid token")];

const REFUSED: &[Case] = &[
    case(401, "invalid_token", "invalid token"),
    case(401, "wrong_token_type", "wrong type of token"),
    case(401, "token_expired", "token is expired"),
    case(401, "token_revoked", "token is revoked"),
];

/// Declares the errors of a route.
macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident = $($cases:expr),+;)+) => {$(
        $(#[$doc])*
        pub(crate) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                responses_of(&[$($cases),+].concat())
            }
        }
    )+};
}

errors! {
    /// Of every route.
    Always = ALWAYS;
    /// Of registration.
    Registration = BODY, EMAIL, NEW_PASSWORD, PROFILE, &[
        case(403, "forbidden", "registration is disabled"),
        case(409, "user_exists", "user already exists"),
    ], HASHED, STORED, ALWAYS;
    /// Of login.
    Login = BODY, EMAIL, &[
        case(401, "invalid_credentials", "invalid e-mail or password"),
        case(403, "user_disabled", "user is disabled"),
    ], HASHED, STORED, ALWAYS;
    /// Of refresh.
    Refresh = BODY, TOKEN_MEMBER, REFUSED, STORED, ALWAYS;
    /// Of logout.
    Logout = BODY, TOKEN_MEMBER, &[
        bad("everywhere", "invalid_type", "everywhere must be true or false"),
    ], FORGED, STORED, ALWAYS;
    /// Of routes that take an access token and nothing else.
    Bearer = REFUSED, &[
        case(413, "payload_too_large", "the body is larger than 64 KiB"),
    ], STORED, ALWAYS;
    /// Of one session.
    Session = REFUSED, &[
        case(404, "not_found", "no such session"),
        case(413, "payload_too_large", "the body is larger than 64 KiB"),
    ], STORED, ALWAYS;
    /// Of the change of a password.
    Password = BODY, &[
        bad("current_password", "required", "current_password is required"),
        bad("current_password", "invalid_type", "current_password must be a string"),
        bad("current_password", "too_long", "password must be at most 1024 bytes long"),
        bad("new_password", "weak_password", "password must have at least 8 characters"),
    ], REFUSED, &[
        case(401, "invalid_credentials", "wrong password"),
    ], HASHED, STORED, ALWAYS;
}

fn responses_of(cases: &[Case]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, Vec<Case>> = BTreeMap::new();
    for case in cases {
        by_status.entry(case.status).or_default().push(*case);
    }
    by_status
        .into_iter()
        .map(|(status, cases)| (status.to_string(), response(status, &cases).into()))
        .collect()
}

fn response(status: u16, cases: &[Case]) -> Response {
    let mut codes: Vec<&str> = cases.iter().map(|case| case.code).collect();
    codes.dedup();
    let examples = cases.iter().map(|case| {
        let name = match case.field {
            Some(field) => format!("{}: {field}", case.code),
            None => case.code.to_owned(),
        };
        let example = ExampleBuilder::new()
            .summary(case.error)
            .value(Some(example(case)));
        (name, example)
    });
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Error")))
        .examples_from_iter(examples)
        .build();
    let listed: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
    let mut response = ResponseBuilder::new()
        .description(format!("{}: {}", meaning(status), listed.join(", ")))
        .content("application/json", content);
    for (name, text) in headers(status) {
        let text = HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
            .description(Some(*text));
        response = response.header(*name, text.build());
    }
    response.build()
}

fn example(case: &Case) -> Value {
    let mut body = json!({
        "status": "Error",
        "error": case.error,
        "code": case.code,
        "request_id": "0197f2a4-8a3b-7c1e-9f60-2d7f3f1c5b11",
    });
    if let Some(field) = case.field {
        body["fields"] = json!([{"field": field, "code": case.code, "error": case.error}]);
    }
    body
}

const fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The body or its members are bad, every bad one is named",
        401 => "Not who one claims to be",
        403 => "Known, and not allowed",
        404 => "No such thing",
        409 => "It exists already",
        413 => "The body is too large",
        415 => "Neither JSON nor gzip of it",
        429 => "Too many requests of this client, or too many that failed",
        503 => "Not now, try again",
        504 => "It took too long; whether it was done is not known",
        _ => "A fault of this service; quote the request id",
    }
}

const fn headers(status: u16) -> &'static [(&'static str, &'static str)] {
    match status {
        429 | 503 => &[("retry-after", "Whole seconds, at least 1.")],
        _ => &[],
    }
}
