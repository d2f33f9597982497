//! JSON to a message, by proto3's JSON mapping, read more strictly: one meaning for each text.

use prost_reflect::{DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};
use sso_core::{Failure, FieldError};

use crate::methods::Method;

const OPTIONS: DeserializeOptions = DeserializeOptions::new().deny_unknown_fields(true);

/// Reads a request. Members are known by their camelCase and by their proto names; unknown ones are
/// ignored; those of a wrong type are left out of the message and named.
pub(super) fn message(
    method: &'static Method,
    body: &[u8],
) -> Result<(DynamicMessage, Vec<FieldError>), Failure> {
    let value = sso_ijson::parse(body).map_err(|error| Failure::malformed(error.to_string()))?;
    let Value::Object(members) = value else {
        return Err(Failure::malformed("the body must be a JSON object"));
    };
    let descriptor = method.descriptor.input();
    let mut message = DynamicMessage::new(descriptor.clone());
    let (mut seen, mut bad) = (Vec::new(), Vec::new());
    for (name, value) in members {
        let Some(field) = field(&descriptor, &name) else {
            continue;
        };
        if seen.contains(&field.number()) {
            return Err(Failure::malformed("a member is given by both of its names"));
        }
        seen.push(field.number());
        // One member at a time, so that each bad one is known; the reader's own error would quote
        // the value, which may be a password.
        let alone = Value::Object(Map::from_iter([(name, value)]));
        match DynamicMessage::deserialize_with_options(descriptor.clone(), alone, &OPTIONS) {
            Ok(read) => {
                if read.has_field(&field) {
                    message.set_field(&field, read.get_field(&field).into_owned());
                }
            }
            Err(_) => bad.push(wrong_type(method, &field)),
        }
    }
    Ok((message, bad))
}

fn field(descriptor: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    descriptor
        .get_field_by_json_name(name)
        .or_else(|| descriptor.get_field_by_name(name))
}

fn wrong_type(method: &'static Method, field: &FieldDescriptor) -> FieldError {
    let name = method.field(field.number());
    FieldError::new(
        name,
        "invalid_type",
        format!("{name} must be {}", kind(field)),
    )
}

fn kind(field: &FieldDescriptor) -> &'static str {
    if field.is_map() {
        return "an object";
    }
    if field.is_list() {
        return "an array of the right type";
    }
    match field.kind() {
        Kind::String => "a string",
        Kind::Bool => "true or false",
        Kind::Double | Kind::Float => "a number",
        Kind::Bytes => "a string in base64",
        Kind::Int32
        | Kind::Int64
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Fixed32
        | Kind::Fixed64
        | Kind::Sfixed32
        | Kind::Sfixed64 => "an integer in range",
        Kind::Message(_) | Kind::Enum(_) => "of the right type",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods;

    fn read(path: &str, body: &str) -> Result<(DynamicMessage, Vec<FieldError>), Failure> {
        let method = methods::all().iter().find(|m| m.path == path).unwrap();
        message(method, body.as_bytes())
    }

    #[test]
    fn camel_case_and_snake_case_are_both_read() {
        for body in [r#"{"userId":"x"}"#, r#"{"user_id":"x"}"#] {
            let (message, bad) = read("/auth.Auth/IsAdmin", body).unwrap();
            assert!(bad.is_empty());
            assert_eq!(
                message.get_field_by_name("user_id").unwrap().as_str(),
                Some("x")
            );
        }
        let both = read("/auth.Auth/IsAdmin", r#"{"userId":"x","user_id":"x"}"#);
        assert_eq!(both.unwrap_err().code, "invalid_request");
    }

    #[test]
    fn unknown_members_are_ignored_and_null_is_absent() {
        let body = r#"{"email":null,"role":"admin","deep":[{"a":1}]}"#;
        let (message, bad) = read("/auth.Auth/Login", body).unwrap();
        assert!(bad.is_empty());
        assert_eq!(message.fields().count(), 0);
    }

    #[test]
    fn every_member_of_a_wrong_type_is_named_and_no_value_is_quoted() {
        let body = r#"{"email":["hunter2"],"password":{"hunter2":1}}"#;
        let (message, mut bad) = read("/auth.Auth/Login", body).unwrap();
        assert_eq!(message.fields().count(), 0);
        bad.sort_by_key(|bad| bad.field);
        assert_eq!(
            bad,
            [
                FieldError::new("email", "invalid_type", "email must be a string"),
                FieldError::new("password", "invalid_type", "password must be a string"),
            ]
        );
    }

    #[test]
    fn what_is_no_object_is_malformed() {
        for bad in [
            "",
            "[]",
            "1",
            "\"a\"",
            "null",
            "{",
            "{}{}",
            r#"{"a":1,"a":2}"#,
        ] {
            let failure = read("/auth.Auth/Login", bad).unwrap_err();
            assert_eq!(failure.code, "invalid_request", "{bad}");
        }
    }
}
