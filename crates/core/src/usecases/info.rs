//! Who am I?

use crate::{
    caller::{Caller, NotAllowed},
    failure::Failure,
    ports::{AccessClaims, StoreError, TokenRefused, store::User},
    sso::Sso,
};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum InfoError {
    /// Only users have a profile.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// The user is gone, or his row does not honour the token.
    #[error(transparent)]
    Token(#[from] TokenRefused),
    /// The store did not do it, or its answer was lost.
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
    honouring(sso, caller.user()?).await
}

/// The row of the user of a token, if it honours that.
pub(super) async fn honouring(sso: &Sso, claims: &AccessClaims) -> Result<User, InfoError> {
    sso.confirmed(|| async {
        let fresh = || sso.revocations.freshness(claims.user, claims.version);
        let asked = fresh();
        let mut user = sso.store.user(claims.user, asked).await?;
        // What was revoked of him while a replica was asked, the row may not show.
        let known = fresh();
        if known != asked {
            user = sso.store.user(claims.user, known).await?;
        }
        let user = user.filter(|user| user.honours(claims.version));
        Ok(user.ok_or(TokenRefused::Revoked)?)
    })
    .await
}
