//! The members of a JSON body, taken by name and type.

use axum::{
    extract::{FromRequest, Request},
    http::HeaderMap,
};
use sso_web::body::{self, MAX_BODY, WrongType};

use super::{FieldBody, Problem};

/// The object in a request's body. Members that nobody asks for are ignored.
pub struct Object(body::Object);

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
        let object = body::object(body, &parts.headers, MAX_BODY).await?;
        Ok(Self(object))
    }
}

/// 413 comes before 401: whoever checks a token asks this first.
pub fn refuse_declared_length(headers: &HeaderMap) -> Result<(), Problem> {
    Ok(body::require_length(headers, MAX_BODY)?)
}

/// Takes members of an object, and collects those that are bad.
pub struct Members<'a> {
    object: &'a body::Object,
    bad: Vec<FieldBody>,
}

impl<'a> Members<'a> {
    /// A string; `None` if it is missing, `null`, or of another type (which is remembered).
    pub fn text(&mut self, field: &'static str) -> Option<&'a str> {
        let read = self.object.text(field);
        self.take(read)
    }

    /// A whole number; `None` if it is missing, `null`, or something else (which is remembered).
    pub fn integer(&mut self, field: &'static str) -> Option<i64> {
        let read = self.object.integer(field);
        self.take(read)
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

    fn take<T>(&mut self, read: Result<Option<T>, WrongType>) -> Option<T> {
        read.unwrap_or_else(|wrong| {
            self.bad(wrong.field, "invalid_type", wrong.to_string());
            None
        })
    }
}
