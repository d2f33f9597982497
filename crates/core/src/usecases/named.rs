//! Users as they are named from outside.

use crate::{
    failure::{BadFields, FieldError, Fields},
    usecases::is_admin,
    values::{Email, UserId},
};

/// How a user is named.
#[derive(Debug, Clone)]
pub enum Named {
    /// By his id.
    Id(UserId),
    /// By his address.
    Email(Email),
}

impl Named {
    /// Parses an id or an address.
    pub fn parse(text: &str) -> Option<Self> {
        let id = UserId::parse(text).ok().map(Self::Id);
        id.or_else(|| Email::parse(text).ok().map(Self::Email))
    }

    /// Of two fields, of which one must be given.
    pub fn of(user_id: &str, email: &str, mut fields: Fields) -> Result<Self, BadFields> {
        if email.is_empty() {
            return is_admin::parse(Some(user_id), fields).map(Self::Id);
        }
        let email = fields.take(Email::parse(email));
        if !user_id.is_empty() {
            let why = "give user_id or email, not both";
            fields.bad(FieldError::new("user_id", "invalid_request", why));
        }
        fields.finish(email).map(Self::Email)
    }
}
