//! Who am I?

use crate::{
    caller::{Caller, NotAllowed},
    failure::Failure,
    ports::{
        StoreError, TokenRefused,
        store::{Freshness, User},
    },
    sso::Sso,
};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum InfoError {
    /// Only users have a profile.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// The user is gone, or the token is of a future that was lost in a failover.
    #[error(transparent)]
    Token(#[from] TokenRefused),
    /// No row.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<InfoError> for Failure {
    fn from(error: InfoError) -> Self {
        match error {
            InfoError::NotAllowed(error) => error.into(),
            InfoError::Token(refused) => refused.into(),
            InfoError::Store(error) => error.into(),
        }
    }
}

/// The caller's own row, at least as new as his token and as what was revoked of him.
pub async fn info(sso: &Sso, caller: &Caller) -> Result<User, InfoError> {
    let claims = caller.user()?;
    let floor = claims.version.max(sso.revocations.floor(claims.user));
    let user = sso
        .store
        .user(claims.user, Freshness::AtLeast(floor))
        .await?;
    match user {
        Some(user) if user.version >= claims.version => Ok(user),
        Some(_) | None => Err(TokenRefused::Revoked.into()),
    }
}
