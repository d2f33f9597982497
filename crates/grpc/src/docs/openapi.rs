//! The OpenAPI 3.1 document of the JSON form, made of the descriptors and the comments in them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tonic::Code;

use super::{
    access,
    comments::{Comment, Error},
    schema::Schemas,
};
use crate::{
    json::http_code,
    methods::{self, Method},
    status,
};

const ABOUT: &str = "\
The rpcs of this port as JSON, over HTTP/1.1 and HTTP/2: `POST` with `application/json` only. \
Members are read in camelCase and in snake_case and written in camelCase, unset ones too; unknown \
ones are ignored. The rpcs of `auth.Auth` have a short path and that of gRPC, which do the same.

Beside them the port speaks gRPC itself (HTTP/2 with prior knowledge), with reflection \
(`grpc.reflection.v1` and `v1alpha`) and health (`grpc.health.v1`).

A service identifies itself by its token in the header `x-caller-token` (metadata of gRPC), or by its \
client certificate; the operator writes down who it is and what it may do. Whether `auth.Auth` asks \
for that is the operator's decision, `sso.v1` always does, or wants an administrator's access token.

An error is a `google.rpc.Status`: its `ErrorInfo.reason` is what programs switch on, \
`BadRequest` names every bad field at once, `RetryInfo` and the header `Retry-After` say when to \
try again.";

const STATUS: &str = "google.rpc.Status";

/// The document.
pub(super) fn document() -> Value {
    let mut schemas = Schemas::default();
    schemas.insert(STATUS, status_schema());
    let (mut paths, mut tags) = (Map::new(), BTreeMap::new());
    for method in methods::all().iter().filter(|method| method.is_unary()) {
        let operation = operation(method, &mut schemas);
        for form in forms(method) {
            let mut operation = operation.clone();
            operation["tags"] = json!([form.tag]);
            operation["operationId"] = Value::String(form.id);
            paths.insert(form.path.to_owned(), json!({ "post": operation }));
            tags.insert(form.tag, form.about);
        }
    }
    for method in methods::all().iter().filter(|method| method.ours) {
        if !method.is_unary() {
            let about = tags.entry(method.service.clone()).or_default();
            about.push_str(&of_stream(method));
        }
    }
    let tags = tags
        .iter()
        .map(|(name, about)| json!({ "name": name, "description": about }));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "sso, the services' port",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "Apache-2.0 OR MIT" },
        },
        "tags": tags.collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas.into_value(),
            "securitySchemes": access::schemes(),
        },
    })
}

/// One path of a method, and the group that it stands in.
struct Form {
    path: &'static str,
    id: String,
    tag: String,
    about: String,
}

/// The short path first, if there is one; that of gRPC then stands in a group of its own.
fn forms(method: &'static Method) -> Vec<Form> {
    let service = method.descriptor.parent_service();
    let comment = Comment::at(
        service.parent_file().file_descriptor_proto(),
        service.path(),
    );
    let mut long = Form {
        path: &method.path,
        id: format!("{}.{}", method.service, method.name),
        tag: method.service.clone(),
        about: comment.text,
    };
    let Some(path) = &method.short_path else {
        return vec![long];
    };
    let short = Form {
        path,
        id: method.name.clone(),
        tag: long.tag.clone(),
        about: std::mem::replace(&mut long.about, "The same.".to_owned()),
    };
    long.tag += " by the paths of gRPC";
    vec![short, long]
}

/// What there is to say of a method that JSON cannot call, for the text of its group.
fn of_stream(method: &Method) -> String {
    let service = method.descriptor.parent_service();
    let file = service.parent_file();
    let of = |path: &[i32]| Comment::at(file.file_descriptor_proto(), path).text;
    let (about, text) = (of(service.path()), of(method.descriptor.path()));
    format!("{about}\n\n**`{}`**, by gRPC only: {text}", method.name)
}

fn operation(method: &Method, schemas: &mut Schemas) -> Value {
    let file = method.descriptor.parent_service().parent_file();
    let comment = Comment::at(file.file_descriptor_proto(), method.descriptor.path());
    let body = |schema: Value| json!({ "application/json": { "schema": schema } });
    let mut operation = json!({
        "summary": if comment.text.is_empty() { &method.name } else { comment.summary() },
        "description": comment.text,
        "requestBody": {
            "required": true,
            "content": body(schemas.reference(&method.descriptor.input())),
        },
    });
    let mut errors = comment.errors;
    if let Some(access) = method.access {
        errors.extend(access::errors(access));
        operation["security"] = access::security(access);
    }
    operation["responses"] = responses(&errors);
    operation["responses"]["200"] = json!({
        "description": "OK",
        "content": body(schemas.reference(&method.descriptor.output())),
    });
    operation
}

/// The errors that a method declares, and those that every call can meet, by HTTP's code.
fn responses(declared: &[Error]) -> Value {
    let common = common();
    let mut by_http: BTreeMap<String, (Vec<String>, Map<String, Value>)> = BTreeMap::new();
    for error in declared.iter().chain(&common) {
        for reason in &error.reasons {
            let example = example(error, reason);
            let (texts, examples) = by_http.entry(example.0).or_default();
            examples.insert(reason.clone(), json!({ "value": example.1 }));
            let text = format!("{}: {}", status::name(error.code), error.text);
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
    }
    let responses = by_http.into_iter().map(|(http, (texts, examples))| {
        let schema = json!({ "$ref": format!("#/components/schemas/{STATUS}") });
        let response = json!({
            "description": texts.join("\n\n"),
            "content": { "application/json": { "schema": schema, "examples": examples } },
        });
        (http, response)
    });
    Value::Object(responses.collect())
}

fn common() -> Vec<Error> {
    [
        (
            Code::InvalidArgument,
            "invalid_request",
            "the body is not the JSON that is read.",
        ),
        (
            Code::InvalidArgument,
            "payload_too_large",
            "the body is longer than 64 KiB.",
        ),
        (
            Code::InvalidArgument,
            "unsupported_media_type",
            "the body is not application/json.",
        ),
        (
            Code::ResourceExhausted,
            "rate_limited",
            "too many requests; see `Retry-After`.",
        ),
        (
            Code::Unavailable,
            "unavailable",
            "a dependency is away; see `Retry-After`.",
        ),
        (
            Code::DeadlineExceeded,
            "deadline_exceeded",
            "the deadline passed.",
        ),
        (Code::Internal, "internal", "a fault of ours."),
    ]
    .map(|(code, reason, text)| Error {
        code,
        reasons: vec![reason.to_owned()],
        text: text.to_owned(),
    })
    .into()
}

/// HTTP's code, and the body.
fn example(error: &Error, reason: &str) -> (String, Value) {
    let info = json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": status::DOMAIN,
    });
    let body = json!({
        "code": i32::from(error.code),
        "message": error.text.trim_end_matches('.'),
        "details": [info],
    });
    (
        http_code(error.code, Some(reason)).as_u16().to_string(),
        body,
    )
}

fn status_schema() -> Value {
    json!({
        "type": "object",
        "description": "An error.",
        "required": ["code", "message", "details"],
        "properties": {
            "code": {
                "type": "integer",
                "format": "int32",
                "description": "gRPC's code, a `google.rpc.Code`.",
            },
            "message": { "type": "string", "description": "A sentence for a person." },
            "details": {
                "type": "array",
                "description": "`google.rpc` messages: ErrorInfo, BadRequest, RetryInfo, RequestInfo.",
                "items": {
                    "type": "object",
                    "required": ["@type"],
                    "properties": {
                        "@type": { "type": "string" },
                        "reason": { "type": "string" },
                        "domain": { "type": "string" },
                    },
                },
            },
        },
    })
}
