//! The mode `hs256`: access tokens as the system before this one made them, under a secret that the
//! services share. Who can verify such a token can also make one, so it never says `adm`, and it is
//! marked ([`AccessKind::Compat`]).

use std::fmt;

use aws_lc_rs::hmac;
use sso_core::{
    ports::{AccessClaims, AccessKind},
    values::{SessionId, UserId, Version},
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    claims::{self, Claims},
    jws::Compact,
};
use crate::random::uuid_of;

/// `{"alg":"HS256","typ":"JWT"}` and a dot: the header of the seed, byte for byte.
pub(super) const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.";

/// The secret that services share in the mode `hs256`. Never printed.
pub struct CompatSecret(hmac::Key);

impl CompatSecret {
    /// Fewest bytes of a secret that is none of the weak: as long as the hash (RFC 7518, 3.2).
    pub const MIN_BYTES: usize = 32;

    /// The secret of these bytes, weak or not.
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        hmac::sign(&self.0, message).as_ref().to_vec()
    }

    /// Whether a token that names no key says that it is of this kind, and is signed by the secret.
    pub(super) fn signed(&self, token: &Compact<'_>) -> bool {
        token.algorithm == "HS256"
            && token.typ == "JWT"
            && hmac::verify(&self.0, token.signed.as_bytes(), &token.signature).is_ok()
    }
}

impl fmt::Debug for CompatSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CompatSecret(..)")
    }
}

/// A token that the secret has signed.
#[derive(Debug)]
pub(super) enum Signed {
    /// An access token that names a session: the other claims are still to be read.
    Ours,
    /// An access token of the seed.
    Seed(AccessClaims),
    /// A refresh token of the seed. It refreshes nothing.
    SeedRefresh,
}

/// What kind of token it is. The seed knows four claims, and whoever else has the secret may write more. None
/// is `adm`; what an access token says of issuer, audience, subject and time is for [`fits`] to judge.
pub(super) fn read(token: &str, claims: &Claims) -> Option<Signed> {
    if claims.contains_key("adm") {
        return None;
    }
    let user = UserId::parse(claims::text(claims, "uid")?).ok()?;
    let email = claims::text(claims, "email")?.to_owned();
    let expires_at = claims::time(claims, "exp")?;
    match claims::text(claims, "token_type")? {
        "refresh" => Some(Signed::SeedRefresh),
        "access" if claims.contains_key("sid") => Some(Signed::Ours),
        "access" => Some(Signed::Seed(AccessClaims {
            user,
            session: SessionId::from_uuid(uuid_of(token.as_bytes())),
            version: Version::ZERO,
            kind: AccessKind::Seed,
            email,
            email_verified: false,
            is_admin: false,
            id: Uuid::nil(),
            issued_at: claims::time(claims, "iat").unwrap_or(OffsetDateTime::UNIX_EPOCH),
            expires_at,
        })),
        _ => None,
    }
}

/// Whether nothing of a token of the seed speaks against it: another issuer's token must not pass by leaving
/// its `sid` out.
pub(super) fn fits(claims: &Claims, issuer: &str, audiences: &[String]) -> bool {
    let absent_or = |name, fits: &dyn Fn() -> bool| !claims.contains_key(name) || fits();
    absent_or("iss", &|| claims::text(claims, "iss") == Some(issuer))
        && absent_or("aud", &|| claims::is_for(claims, audiences))
        && absent_or("sub", &|| {
            claims::text(claims, "sub") == claims::text(claims, "uid")
        })
        && absent_or("iat", &|| claims::time(claims, "iat").is_some())
}
