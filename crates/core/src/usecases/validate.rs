//! Whose access token is this, and is it still good? No network, no store; but for a token of the
//! seed, which the mode `hs256` accepts.

use crate::{
    caller::{Caller, Identity, Origin},
    ports::{AccessClaims, AccessKind, TokenRefused},
    sso::Sso,
    usecases::info::{self, InfoError},
};

/// Verifies an access token and looks whether it is revoked.
pub async fn validate(sso: &Sso, token: &str) -> Result<AccessClaims, TokenRefused> {
    let claims = sso.tokens.verify_access(token, sso.clock.now())?;
    if claims.kind == AccessKind::Seed {
        still_honoured(sso, &claims).await?;
    }
    sso.revocations.check(&claims)?;
    Ok(claims)
}

/// A token of the seed says neither when nor from which row it was made, and may live for as long
/// as it likes: longer than a revocation is remembered. So the user's row decides: it honours such
/// a token until his sessions are ended for the first time.
async fn still_honoured(sso: &Sso, claims: &AccessClaims) -> Result<(), TokenRefused> {
    match info::honouring(sso, claims).await {
        Ok(_) => Ok(()),
        Err(InfoError::Token(refused)) => Err(refused),
        Err(error) => {
            tracing::warn!(%error, "the user of a token without a session cannot be looked up");
            Err(TokenRefused::Unknowable)
        }
    }
}

/// The caller that an access token speaks for.
pub async fn authenticate(sso: &Sso, origin: Origin, token: &str) -> Result<Caller, TokenRefused> {
    Ok(Caller {
        origin,
        identity: Identity::User(validate(sso, token).await?),
    })
}
