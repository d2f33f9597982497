//! Is this user an administrator?

use crate::{
    failure::{BadFields, Failure, FieldError, Fields, Kind},
    ports::{
        StoreError,
        store::{Freshness, User},
    },
    sso::Sso,
    usecases::confirmed::RestsOnRow as _,
    values::{UserId, Version},
};

/// Parses the id of the question; `fields`: what the transport has found wrong already.
pub fn parse(user_id: Option<&str>, mut fields: Fields) -> Result<UserId, BadFields> {
    let id = fields.required("user_id", user_id, parse_id);
    fields.finish(id)
}

/// Parses the field `user_id`.
pub fn parse_id(text: &str) -> Result<UserId, FieldError> {
    UserId::parse(text)
        .map_err(|_| FieldError::new("user_id", "invalid_id", "user_id must be a UUID"))
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum IsAdminError {
    /// No such user.
    #[error("user not found")]
    NotFound,
    /// The store did not do it, or its answer was lost.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<IsAdminError> for Failure {
    fn from(error: IsAdminError) -> Self {
        match error {
            IsAdminError::NotFound => Self::new(Kind::NotFound, "not_found", "user not found"),
            IsAdminError::Store(error) => error.into(),
        }
    }
}

/// Whether the user has the admin role and may use it: a disabled one may not.
pub async fn is_admin(sso: &Sso, user: UserId) -> Result<bool, IsAdminError> {
    let found = || async {
        let fresh = sso.revocations.freshness(user, Version::ZERO);
        let user = sso.store.user(user, fresh).await?;
        let user = user.ok_or(IsAdminError::NotFound)?;
        let is_fresh = matches!(fresh, Freshness::AtLeast(known) if user.version >= known);
        Ok((user, is_fresh))
    };
    // Without a lease, or of a row that is known to be old, a deposed primary may have said it.
    let rests = |found: &Result<(User, bool), IsAdminError>| match found {
        Ok((_, is_fresh)) => !is_fresh,
        Err(error) => error.rests_on_row(),
    };
    let (user, _) = sso.confirmed_where(rests, found).await?;
    Ok(user.is_admin && !user.disabled)
}
