//! Whose access token is this, and is it still good? No network, no store.

use crate::{
    caller::{Caller, Identity, Origin},
    ports::{AccessClaims, TokenRefused},
    sso::Sso,
};

/// Verifies an access token and looks whether it is revoked.
pub fn validate(sso: &Sso, token: &str) -> Result<AccessClaims, TokenRefused> {
    let claims = sso.tokens.verify_access(token, sso.clock.now())?;
    sso.revocations.check(&claims)?;
    Ok(claims)
}

/// The caller that an access token speaks for.
pub fn authenticate(sso: &Sso, origin: Origin, token: &str) -> Result<Caller, TokenRefused> {
    Ok(Caller {
        origin,
        identity: Identity::User(validate(sso, token)?),
    })
}
