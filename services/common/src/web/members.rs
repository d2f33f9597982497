//! JSON bodies: one object, read strictly, whose members are taken by name and type.

use axum::{
    extract::{FromRequest, Request},
    http::HeaderMap,
};
use serde_json::{Map, Value};
use sso_web::body;

use super::{FieldBody, Problem};

/// Most bytes of a body, as sent and inflated.
pub const MAX_BODY: usize = 64 * 1024;

/// The object in a request's body. Members that nobody asks for are ignored.
#[derive(Debug)]
pub struct Object(Map<String, Value>);

impl Object {
    /// Reads its members by type, and remembers those that are bad.
    pub fn members(&self) -> Members<'_> {
        Members {
            object: &self.0,
            bad: Vec::new(),
        }
    }
}

impl<S: Sync> FromRequest<S> for Object {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        refuse_declared_length(&parts.headers)?;
        body::require_json(&parts.headers)?;
        let bytes = body::read(body, &parts.headers, MAX_BODY).await?;
        let value = sso_ijson::parse(&bytes)
            .map_err(|error| Problem::malformed(format!("the body is not valid: {error}")))?;
        match value {
            Value::Object(object) => Ok(Self(object)),
            _ => Err(Problem::malformed("the body must be a JSON object")),
        }
    }
}

/// 413 comes before 401: whoever checks a token asks this first.
pub fn refuse_declared_length(headers: &HeaderMap) -> Result<(), Problem> {
    Ok(body::require_length(headers, MAX_BODY)?)
}

/// Takes members of an object, and collects those that are bad.
#[derive(Debug)]
pub struct Members<'a> {
    object: &'a Map<String, Value>,
    bad: Vec<FieldBody>,
}

impl<'a> Members<'a> {
    /// A string; `None` if it is missing, `null`, or of another type (which is remembered).
    pub fn text(&mut self, field: &'static str) -> Option<&'a str> {
        match self.object.get(field)? {
            Value::String(text) => Some(text),
            Value::Null => None,
            _ => {
                self.bad(field, "invalid_type", format!("{field} must be a string"));
                None
            }
        }
    }

    /// A whole number; `None` if it is missing, `null`, or something else (which is remembered).
    pub fn integer(&mut self, field: &'static str) -> Option<i64> {
        match self.object.get(field)? {
            Value::Null => None,
            Value::Number(number) if number.is_i64() => number.as_i64(),
            _ => {
                let error = format!("{field} must be a whole number");
                self.bad(field, "invalid_type", error);
                None
            }
        }
    }

    /// Remembers a bad member.
    pub fn bad(&mut self, field: &'static str, code: &'static str, error: impl Into<String>) {
        let error = error.into();
        if !self.bad.iter().any(|bad| bad.field == field) {
            self.bad.push(FieldBody { field, code, error });
        }
    }

    /// What was bad; nothing may be empty.
    pub fn into_bad(self) -> Vec<FieldBody> {
        self.bad
    }
}
