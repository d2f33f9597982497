//! What a use case says when it does not do what it was asked.
//!
//! Each use case has an error of its own; all of them become a [`Failure`], whose [`Kind`] each
//! transport maps to its codes in one table. What the client reads ([`Failure::message`]) and what
//! the log says ([`Failure::cause`]) are different fields.

use std::{borrow::Cow, error::Error as StdError, time::Duration};

/// The kinds of failure that a transport has a code for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Malformed input.
    Invalid,
    /// Wrong or missing credentials.
    Unauthenticated,
    /// Known, and not allowed.
    Forbidden,
    /// No such thing.
    NotFound,
    /// It exists already.
    Conflict,
    /// It is not in the state that this needs.
    Precondition,
    /// Too many requests of this caller.
    RateLimited,
    /// Overloaded, or a dependency is away.
    Unavailable,
    /// The deadline passed.
    DeadlineExceeded,
    /// A fault of ours.
    Internal,
}

/// One bad field of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The field's name on the wire.
    pub field: &'static str,
    /// `snake_case`, stable.
    pub code: &'static str,
    /// A sentence for a person.
    pub error: Cow<'static, str>,
}

impl FieldError {
    /// A bad field.
    pub fn new(
        field: &'static str,
        code: &'static str,
        error: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            field,
            code,
            error: error.into(),
        }
    }

    /// A field that is missing, `null` or empty.
    pub fn required(field: &'static str) -> Self {
        Self::new(field, "required", format!("{field} is required"))
    }
}

/// Every bad field of an input, in the order of the request's fields.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} bad fields", .0.len())]
pub struct BadFields(pub Vec<FieldError>);

/// Why something was not done.
#[derive(Debug)]
pub struct Failure {
    /// Which row of the transports' tables.
    pub kind: Kind,
    /// `snake_case`, stable: what programs switch on.
    pub code: &'static str,
    /// A sentence for a person; never a secret, never the cause of a fault of ours.
    pub message: Cow<'static, str>,
    /// Every bad field, if the input was bad.
    pub fields: Vec<FieldError>,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// For the log.
    pub cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Failure {
    /// A failure with a sentence and nothing else.
    pub fn new(kind: Kind, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            code,
            message: message.into(),
            fields: Vec::new(),
            retry_after: None,
            cause: None,
        }
    }

    /// The input was not what the route reads.
    pub fn malformed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Invalid, "invalid_request", message)
    }

    /// A dependency is away, or we are overloaded; try again after `retry_after`.
    pub fn unavailable(code: &'static str, message: &'static str, retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(Kind::Unavailable, code, message)
        }
    }

    /// A fault of ours: the client learns nothing but that.
    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Self::new(Kind::Internal, "internal", "internal error")
        }
    }

    /// With a cause for the log.
    #[must_use]
    pub fn because(self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..self
        }
    }
}

/// One bad field gives its own code, several give `invalid_request` (`docs/decisions/0004`).
impl From<BadFields> for Failure {
    fn from(BadFields(fields): BadFields) -> Self {
        let first = fields
            .first()
            .map_or(Cow::Borrowed("invalid request"), |f| f.error.clone());
        let code = match fields.as_slice() {
            [only] => only.code,
            _ => "invalid_request",
        };
        Self {
            fields,
            ..Self::new(Kind::Invalid, code, first)
        }
    }
}

/// Collects the fields of an input, so that every bad one is named at once, and once: what was
/// found first counts (a transport finds a member of the wrong type, which then looks missing).
#[derive(Debug, Default)]
pub struct Fields(Vec<FieldError>);

impl Fields {
    /// Keeps the value, or remembers what is wrong with it.
    pub fn take<T>(&mut self, parsed: Result<T, FieldError>) -> Option<T> {
        parsed.map_err(|bad| self.bad(bad)).ok()
    }

    /// Remembers a bad field. One that is known already takes its place in the order of parsing.
    pub fn bad(&mut self, error: FieldError) {
        let known = self.0.iter().position(|bad| bad.field == error.field);
        let first = known.map_or(error, |at| self.0.remove(at));
        self.0.push(first);
    }

    /// It is this field's turn: if it is known to be bad, it takes its place in the order of parsing.
    pub fn reach(&mut self, field: &'static str) {
        if let Some(at) = self.0.iter().position(|bad| bad.field == field) {
            let known = self.0.remove(at);
            self.0.push(known);
        }
    }

    /// A member that must be there and not empty, parsed.
    pub fn required<'a, T>(
        &mut self,
        field: &'static str,
        text: Option<&'a str>,
        parse: impl FnOnce(&'a str) -> Result<T, FieldError>,
    ) -> Option<T> {
        match text {
            None | Some("") => self.take(Err(FieldError::required(field))),
            Some(text) => self.take(parse(text)),
        }
    }

    /// A member that may be missing: the empty string is absent.
    pub fn optional<'a, T>(
        &mut self,
        field: &'static str,
        text: Option<&'a str>,
        parse: impl FnOnce(&'a str) -> Result<T, FieldError>,
    ) -> Option<T> {
        self.reach(field);
        text.filter(|text| !text.is_empty())
            .and_then(|text| self.take(parse(text)))
    }

    /// The values, if no field was bad.
    pub fn finish<T>(self, values: Option<T>) -> Result<T, BadFields> {
        match values {
            Some(values) if self.0.is_empty() => Ok(values),
            _ => Err(BadFields(self.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_field_gives_its_code_and_several_give_the_general_one() {
        let bad = |field| FieldError::new(field, "too_long", format!("{field} is too long"));
        let one = Failure::from(BadFields(vec![bad("a")]));
        assert_eq!((one.kind, one.code), (Kind::Invalid, "too_long"));
        assert_eq!(one.message, "a is too long");
        let two = Failure::from(BadFields(vec![bad("a"), bad("b")]));
        assert_eq!((two.code, two.fields.len()), ("invalid_request", 2));
        assert_eq!(two.message, "a is too long");
    }

    #[test]
    fn an_empty_member_is_absent_where_it_may_be_and_missing_where_it_must_not() {
        let mut fields = Fields::default();
        for empty in [None, Some("")] {
            let parsed = fields.optional("x", empty, |_| -> Result<(), _> {
                Err(FieldError::required("x"))
            });
            assert_eq!(parsed, None);
        }
        assert_eq!(fields.0, []);
        for empty in [None, Some("")] {
            assert_eq!(fields.required("name", empty, Ok), None);
        }
        assert_eq!(fields.0, [FieldError::required("name")]);
        assert!(fields.finish(Some(())).is_err());
    }

    #[test]
    fn fields_are_named_in_the_order_of_parsing_whoever_found_them() {
        let mut fields = Fields::default();
        for found_by_the_transport in ["name", "email"] {
            fields.bad(FieldError::new(found_by_the_transport, "invalid_type", "x"));
        }
        let never = |_: &str| Ok(());
        fields.required("email", None, never);
        fields.required("password", None, never);
        fields.optional("name", None, never);
        let named: Vec<_> = fields.0.iter().map(|bad| (bad.field, bad.code)).collect();
        let expected = [
            ("email", "invalid_type"),
            ("password", "required"),
            ("name", "invalid_type"),
        ];
        assert_eq!(named, expected);
    }

    #[test]
    fn a_fault_of_ours_tells_the_client_nothing() {
        let failure = Failure::internal("the disk is on fire");
        assert_eq!(
            (failure.code, &*failure.message),
            ("internal", "internal error")
        );
        assert_eq!(failure.cause.unwrap().to_string(), "the disk is on fire");
    }

    #[test]
    fn a_bad_field_is_named_once_with_what_was_found_first_in_the_order_of_parsing() {
        let mut fields = Fields::default();
        fields.bad(FieldError::new("b", "invalid_type", "b must be a string"));
        let a = fields.required("a", None, Ok);
        let b = fields.required("b", None, Ok);
        let BadFields(bad) = fields.finish(a.zip(b)).unwrap_err();
        let named: Vec<_> = bad.iter().map(|bad| (bad.field, bad.code)).collect();
        assert_eq!(named, [("a", "required"), ("b", "invalid_type")]);
    }
}
