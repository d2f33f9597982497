//! JSON bodies: one object, read strictly, whose members are taken by name and type.

use axum::{body::Body, http::HeaderMap};
use serde_json::{Map, Value};

use super::{BodyError, read, require_json, require_length};

/// Most bytes of a JSON body, as sent and inflated.
pub const MAX_BODY: usize = 64 * 1024;

/// Why a body is no object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// It was not read.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// It is not I-JSON.
    #[error("the body is not valid: {0}")]
    NotJson(#[from] sso_ijson::Error),
    /// It is another value.
    #[error("the body must be a JSON object")]
    NotAnObject,
}

/// A member of another type than the one that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field} must be {wanted}")]
pub struct WrongType {
    /// The member's name.
    pub field: &'static str,
    /// What it must be: `a string`.
    pub wanted: &'static str,
}

/// The object in a request's body. Members that nobody asks for are ignored. It does not print: a
/// member may be a password.
pub struct Object(Map<String, Value>);

/// Reads a body of at most `limit` bytes that is one object. What its headers declare is looked at
/// first: its length, then its type.
pub async fn object(body: Body, headers: &HeaderMap, limit: usize) -> Result<Object, ObjectError> {
    require_length(headers, limit)?;
    require_json(headers)?;
    let bytes = read(body, headers, limit).await?;
    match sso_ijson::parse(&bytes)? {
        Value::Object(members) => Ok(Object(members)),
        _ => Err(ObjectError::NotAnObject),
    }
}

impl Object {
    /// A string; `None` if it is missing or `null`.
    pub fn text(&self, field: &'static str) -> Result<Option<&str>, WrongType> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong_type(field, "a string")),
        }
    }

    /// A whole number; `None` if it is missing or `null`.
    pub fn integer(&self, field: &'static str) -> Result<Option<i64>, WrongType> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Number(number)) if number.is_i64() => Ok(number.as_i64()),
            Some(_) => Err(wrong_type(field, "a whole number")),
        }
    }

    /// A bool; `false` if it is missing or `null`.
    pub fn flag(&self, field: &'static str) -> Result<bool, WrongType> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(wrong_type(field, "true or false")),
        }
    }
}

const fn wrong_type(field: &'static str, wanted: &'static str) -> WrongType {
    WrongType { field, wanted }
}

#[cfg(test)]
mod tests {
    use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};

    use super::*;

    async fn read_text(text: &'static str) -> Result<Object, ObjectError> {
        object(Body::from(text), &HeaderMap::new(), MAX_BODY).await
    }

    async fn error_of(text: &'static str) -> ObjectError {
        read_text(text).await.err().unwrap()
    }

    #[tokio::test]
    async fn a_body_is_one_object_or_says_why_not() {
        for other in ["null", "5", "\"text\"", "[]", "[{}]"] {
            assert_eq!(error_of(other).await, ObjectError::NotAnObject, "{other}");
        }
        for bad in ["", "{", "{}x", "{\"a\":1,\"a\":2}"] {
            let error = error_of(bad).await;
            assert!(matches!(error, ObjectError::NotJson(_)), "{bad}: {error}");
            let text = error.to_string();
            assert!(text.starts_with("the body is not valid: "), "{text}");
        }
    }

    #[tokio::test]
    async fn a_declared_length_is_refused_before_a_type() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "text/plain".parse().unwrap());
        let refused = object(Body::from("{}"), &headers, 10).await.err();
        let media_type = ObjectError::Body(BodyError::UnsupportedMediaType);
        assert_eq!(refused, Some(media_type));
        headers.insert(CONTENT_LENGTH, "11".parse().unwrap());
        let refused = object(Body::from("{}"), &headers, 10).await.err();
        assert_eq!(refused, Some(ObjectError::Body(BodyError::TooLarge)));
    }

    #[tokio::test]
    async fn a_member_is_taken_by_its_type_and_null_is_as_if_it_were_missing() {
        let text = r#"{"text": "x", "integer": -5, "flag": true, "null": null, "half": 0.5}"#;
        let Ok(object) = read_text(text).await else {
            panic!("an object");
        };
        assert_eq!(object.text("text"), Ok(Some("x")));
        assert_eq!(object.integer("integer"), Ok(Some(-5)));
        assert_eq!(object.flag("flag"), Ok(true));
        for absent in ["null", "missing"] {
            assert_eq!(object.text(absent), Ok(None));
            assert_eq!(object.integer(absent), Ok(None));
            assert_eq!(object.flag(absent), Ok(false));
        }
        let said = |wrong: WrongType| wrong.to_string();
        let refused = [
            object.text("flag").map_err(said).err(),
            object.integer("half").map_err(said).err(),
            object.integer("text").map_err(said).err(),
            object.flag("integer").map_err(said).err(),
        ];
        let expected = [
            "flag must be a string",
            "half must be a whole number",
            "text must be a whole number",
            "integer must be true or false",
        ];
        assert_eq!(refused, expected.map(|text| Some(text.to_owned())));
    }
}
