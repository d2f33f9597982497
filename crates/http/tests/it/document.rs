//! The OpenAPI document as the judge of every answer.

use std::{collections::BTreeSet, sync::LazyLock};

use axum::http::Method;
use serde_json::Value;

use crate::harness::Reply;

/// The document.
pub(crate) static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::to_value(sso_http::openapi()).unwrap());

/// What any path may answer; the document says so in its introduction.
const ANYWHERE: [&str; 3] = ["not_found", "method_not_allowed", "misdirected_request"];

/// Every operation: path, method, and what the document says of it.
pub(crate) fn operations() -> Vec<(String, String, &'static Value)> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let mut found = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            if ["get", "post", "put", "delete"].contains(&method.as_str()) {
                found.push((path.clone(), method.to_uppercase(), operation));
            }
        }
    }
    assert!(found.len() >= 11, "{found:?}");
    found
}

/// Asserts that the document knows this answer: its status, its code, its members.
pub(crate) fn documents(method: &Method, path: &str, reply: &Reply) {
    let found = operations()
        .into_iter()
        .find(|(template, known, _)| method == known.as_str() && matches(template, path));
    let Some((template, _, operation)) = found else {
        return;
    };
    let at = format!("{method} {template}");
    let code =
        (reply.status.is_client_error() || reply.status.is_server_error()).then(|| reply.code());
    if code.as_deref().is_some_and(|code| ANYWHERE.contains(&code)) {
        return;
    }
    let response = &operation["responses"][reply.status.as_str()];
    assert!(response.is_object(), "{at} does not document {reply:?}");
    let content = &response["content"]["application/json"];
    if let Some(code) = code {
        let examples = examples_of(content);
        assert!(
            examples
                .iter()
                .any(|example| example["code"] == code.as_str()),
            "{at} does not document {code}: {reply:?}"
        );
    }
    has_members_of(&at, &reply.json(), &content["schema"]);
    for name in response["headers"].as_object().into_iter().flatten() {
        assert!(
            reply.headers.contains_key(name.0),
            "{at} lacks {}: {reply:?}",
            name.0
        );
    }
}

/// The values of all examples of a body.
pub(crate) fn examples_of(content: &Value) -> Vec<&Value> {
    let many = content["examples"].as_object().into_iter().flatten();
    let one = content.get("example");
    many.map(|(_, example)| &example["value"])
        .chain(one)
        .collect()
}

/// What a `$ref` points to.
pub(crate) fn resolve(schema: &'static Value) -> &'static Value {
    match schema["$ref"].as_str() {
        Some(reference) => {
            let pointer = reference.strip_prefix('#').expect("a local reference");
            let found = DOCUMENT.pointer(pointer);
            found.unwrap_or_else(|| panic!("{reference} points nowhere"))
        }
        None => schema,
    }
}

/// Asserts that an object has the required members of its schema and no unknown ones, all the way
/// down.
fn has_members_of(at: &str, value: &Value, schema: &'static Value) {
    let schema = resolve(schema);
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        for value in values {
            has_members_of(at, value, items);
        }
    }
    let (Some(properties), Some(object)) = (schema["properties"].as_object(), value.as_object())
    else {
        return;
    };
    let required = schema["required"].as_array().into_iter().flatten();
    let required: BTreeSet<&str> = required.filter_map(Value::as_str).collect();
    let given: BTreeSet<&str> = object.keys().map(String::as_str).collect();
    assert!(required.is_subset(&given), "{at}: {required:?} in {value}");
    for (name, member) in object {
        let known = properties.get(name);
        let known = known.unwrap_or_else(|| panic!("{at}: {name} is not in the schema: {value}"));
        has_members_of(at, member, known);
    }
}

fn matches(template: &str, path: &str) -> bool {
    let (mut left, mut right) = (template.split('/'), path.split('/'));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (Some(part), Some(given)) if part == given || part.starts_with('{') => {}
            _ => return false,
        }
    }
}
