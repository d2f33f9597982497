//! JSON bodies: one object, read strictly, whose members are taken by name and type.

use axum::{
    extract::{FromRequest, Request},
    http::HeaderMap,
};
use serde_json::{Map, Value};
use sso_core::{Failure, FieldError, Fields};
use sso_web::body;

use crate::error::{HttpError, of_body};

/// Most bytes of a body, as sent and inflated.
pub(crate) const MAX_BODY: usize = 64 * 1024;

/// The object in a request's body. Members that nobody asks for are ignored.
pub(crate) struct Object(Map<String, Value>);

impl Object {
    /// Reads its members by type, and remembers those of another.
    pub(crate) fn members(&self) -> Members<'_> {
        Members {
            object: &self.0,
            fields: Fields::default(),
        }
    }
}

impl<S: Sync> FromRequest<S> for Object {
    type Rejection = HttpError;

    async fn from_request(request: Request, _: &S) -> Result<Self, HttpError> {
        let (parts, body) = request.into_parts();
        refuse_declared_length(&parts.headers)?;
        body::require_json(&parts.headers).map_err(of_body)?;
        let bytes = body::read(body, &parts.headers, MAX_BODY)
            .await
            .map_err(of_body)?;
        let value = sso_ijson::parse(&bytes)
            .map_err(|error| Failure::malformed(format!("the body is not valid: {error}")))?;
        match value {
            Value::Object(object) => Ok(Self(object)),
            _ => Err(Failure::malformed("the body must be a JSON object").into()),
        }
    }
}

/// 413 comes before 401: whoever checks a token asks this first.
pub(crate) fn refuse_declared_length(headers: &HeaderMap) -> Result<(), HttpError> {
    body::require_length(headers, MAX_BODY).map_err(of_body)
}

/// Takes members of an object, and collects those whose type is wrong.
pub(crate) struct Members<'a> {
    object: &'a Map<String, Value>,
    fields: Fields,
}

impl<'a> Members<'a> {
    /// A string; `None` if it is missing, `null`, or of another type (which is remembered).
    pub(crate) fn text(&mut self, field: &'static str) -> Option<&'a str> {
        match self.object.get(field)? {
            Value::String(text) => Some(text),
            Value::Null => None,
            _ => self.wrong_type(field, "a string"),
        }
    }

    /// A bool; `false` if it is missing, `null`, or of another type (which is remembered).
    pub(crate) fn flag(&mut self, field: &'static str) -> bool {
        match self.object.get(field) {
            None | Some(Value::Null) => false,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => self.wrong_type(field, "true or false").unwrap_or_default(),
        }
    }

    /// What was bad, for the use case to add to.
    pub(crate) fn into_fields(self) -> Fields {
        self.fields
    }

    fn wrong_type<T>(&mut self, field: &'static str, wanted: &str) -> Option<T> {
        let error = format!("{field} must be {wanted}");
        self.fields
            .bad(FieldError::new(field, "invalid_type", error));
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_of_another_type_are_remembered_all_at_once() {
        let Value::Object(map) =
            json!({"a": 1, "b": null, "c": "x", "d": "true", "e": true, "f": {}})
        else {
            unreachable!("an object")
        };
        let object = Object(map);
        let mut members = object.members();
        assert_eq!(members.text("a"), None);
        assert_eq!(members.text("b"), None);
        assert_eq!(members.text("c"), Some("x"));
        assert!(!members.flag("d"));
        assert!(members.flag("e"));
        assert!(!members.flag("missing"));
        assert_eq!(members.text("f"), None);
        let bad = members.into_fields().finish(Some(())).unwrap_err();
        let named: Vec<_> = bad.0.iter().map(|bad| (bad.field, &*bad.error)).collect();
        let expected = [
            ("a", "a must be a string"),
            ("d", "d must be true or false"),
            ("f", "f must be a string"),
        ];
        assert_eq!(named, expected);
        assert!(bad.0.iter().all(|bad| bad.code == "invalid_type"));
    }
}
