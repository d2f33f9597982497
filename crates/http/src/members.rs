//! The members of a JSON body, taken by name and type.

use axum::{
    extract::{FromRequest, Request},
    http::HeaderMap,
};
use sso_core::{FieldError, Fields};
use sso_web::body::{self, MAX_BODY, WrongType};

use crate::error::{HttpError, of_body, of_object};

/// The object in a request's body. Members that nobody asks for are ignored.
pub(crate) struct Object(body::Object);

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
        let object = body::object(body, &parts.headers, MAX_BODY).await;
        object.map(Self).map_err(of_object)
    }
}

/// 413 comes before 401: whoever checks a token asks this first.
pub(crate) fn refuse_declared_length(headers: &HeaderMap) -> Result<(), HttpError> {
    body::require_length(headers, MAX_BODY).map_err(of_body)
}

/// Takes members of an object, and collects those whose type is wrong.
pub(crate) struct Members<'a> {
    object: &'a body::Object,
    fields: Fields,
}

impl<'a> Members<'a> {
    /// A string; `None` if it is missing, `null`, or of another type (which is remembered).
    pub(crate) fn text(&mut self, field: &'static str) -> Option<&'a str> {
        let read = self.object.text(field);
        self.take(read).flatten()
    }

    /// A bool; `false` if it is missing, `null`, or of another type (which is remembered).
    pub(crate) fn flag(&mut self, field: &'static str) -> bool {
        let read = self.object.flag(field);
        self.take(read).unwrap_or_default()
    }

    /// What was bad, for the use case to add to.
    pub(crate) fn into_fields(self) -> Fields {
        self.fields
    }

    fn take<T>(&mut self, read: Result<T, WrongType>) -> Option<T> {
        let bad =
            |wrong: WrongType| FieldError::new(wrong.field, "invalid_type", wrong.to_string());
        self.fields.take(read.map_err(bad))
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[tokio::test]
    async fn members_of_another_type_are_remembered_all_at_once() {
        let text = r#"{"a": 1, "b": null, "c": "x", "d": "true", "e": true, "f": {}}"#;
        let request = Request::new(Body::from(text));
        let object = Object::from_request(request, &()).await.unwrap();
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
