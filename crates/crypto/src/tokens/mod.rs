//! Tokens: JWS compact (RFC 7515) with the claims of RFC 7519 and RFC 9068, signed by the ring.
//!
//! A verifier believes nothing of a token but the id of a key of ours until that key's signature
//! holds; the algorithm is the key's, whatever the token says (RFC 8725, 3.1). Access and refresh
//! tokens have different keys, `typ`, `token_type` and `aud`, so neither passes for the other.

mod cache;
mod claims;
mod compat;
mod held;
mod jws;

use std::{fmt, slice, sync::Arc, time::Duration};

use serde_json::Value;
use sso_core::{
    CLOCK_LEEWAY,
    ports::{
        AccessClaims, AccessKind, Clock, RefreshClaims, SignError, TokenOwner, TokenRefused,
        Tokens, store::KeyUse,
    },
    values::KeyTag,
};
use time::OffsetDateTime;

use self::{
    cache::{Digest, Verified, VerifiedTokens},
    claims::Claims,
    compat::Signed,
    held::HeldRing,
    jws::{Compact, MAX_BYTES},
};
use crate::keyring::{Key, KeyRing, token_typ};

pub use self::compat::CompatSecret;

/// Whose tokens these are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwsSettings {
    /// `iss`.
    pub issuer: String,
    /// `aud` of access tokens, any of which is accepted; if empty, the issuer.
    pub audiences: Vec<String>,
    /// How many verified access tokens are remembered. A good size is [`VERIFIED_TOKENS`].
    pub verified_tokens: usize,
}

/// Verified access tokens that are remembered by default: about 5 MB when full.
pub const VERIFIED_TOKENS: usize = 8_192;

/// Signs and verifies with a ring of keys.
pub struct JwsTokens {
    issuer: String,
    audiences: Vec<String>,
    held: HeldRing,
    compat: Option<CompatSecret>,
    verified: VerifiedTokens,
}

impl JwsTokens {
    /// Tokens of `settings`, signed by `ring`.
    pub fn new(settings: JwsSettings, ring: KeyRing) -> Self {
        let JwsSettings {
            issuer,
            mut audiences,
            verified_tokens,
        } = settings;
        if audiences.is_empty() {
            audiences.push(issuer.clone());
        }
        Self {
            issuer,
            audiences,
            held: HeldRing::new(ring),
            compat: None,
            verified: VerifiedTokens::new(verified_tokens),
        }
    }

    /// In the mode `hs256`: access tokens are signed by this secret, and accepted so; those of the
    /// ring are accepted as well. Refresh tokens are the ring's as ever.
    #[must_use]
    pub fn with_compat(mut self, secret: CompatSecret) -> Self {
        self.compat = Some(secret);
        self
    }

    /// Knows how old the ring is: [`JwsTokens::ring_was_read`] says so. Beyond `max_age` an unknown
    /// `kid` may be one that this process has not heard of, and that cannot be told from a forged.
    #[must_use]
    pub fn with_max_age(mut self, clock: Arc<dyn Clock>, max_age: Duration) -> Self {
        self.held.watch(clock, max_age);
        self
    }

    /// The ring in use.
    pub fn ring(&self) -> Arc<KeyRing> {
        self.held.get()
    }

    /// Goes on with another ring: tokens of keys that are not in it are refused from now on.
    pub fn replace_ring(&self, ring: KeyRing) {
        self.held.replace(ring);
    }

    /// The ring in use is what was stored at this time of the monotonic clock.
    pub fn ring_was_read(&self, at: Duration) {
        self.held.was_read(at);
    }

    /// The public keys as a JWK Set (RFC 7517, section 5); none in the mode `hs256`.
    pub fn jwks(&self) -> Value {
        if self.compat.is_some() {
            return serde_json::json!({ "keys": [] });
        }
        self.ring().jwks()
    }

    /// A token of ours, of either type: signed by a key of the ring, with the type of that key, by
    /// this issuer; or by the shared secret. Whom it is for and when is not looked at.
    fn open<'r>(&self, ring: &'r KeyRing, text: &str) -> Result<Opened<'r>, TokenRefused> {
        let token = Compact::parse(text).ok_or(TokenRefused::Invalid)?;
        let Some(kid) = &token.kid else {
            return self.open_compat(text, &token).ok_or(TokenRefused::Invalid);
        };
        let Some(key) = ring.find(kid) else {
            return Err(self.held.unknown_kid(ring));
        };
        let is_ours = token.algorithm == key.algorithm().as_str()
            && token.typ == token_typ(key.usage)
            && key.verifies(token.signed.as_bytes(), &token.signature);
        if !is_ours {
            return Err(TokenRefused::Invalid);
        }
        token
            .claims()
            .filter(|claims| claims::is_ours(claims, key.usage, &self.issuer))
            .map(|claims| Opened::Ring(key, claims))
            .ok_or(TokenRefused::Invalid)
    }

    /// A token of the shared secret; without one there are none.
    fn open_compat(&self, text: &str, token: &Compact<'_>) -> Option<Opened<'static>> {
        let secret = self.compat.as_ref()?;
        if !secret.signed(token) {
            return None;
        }
        let claims = token.claims()?;
        Some(match compat::read(text, &claims)? {
            Signed::Ours if claims::is_ours(&claims, KeyUse::Access, &self.issuer) => {
                Opened::Compat(claims)
            }
            Signed::Seed(read) if compat::fits(&claims, &self.issuer, &self.audiences) => {
                Opened::Seed(read)
            }
            Signed::Ours | Signed::Seed(_) => return None,
            Signed::SeedRefresh => Opened::SeedRefresh,
        })
    }

    /// A token of ours that is whole and meant for us. Its times are not looked at.
    fn read(&self, ring: &KeyRing, token: &str) -> Result<Token, TokenRefused> {
        let access = |kid: Option<String>, claims: &Claims, kind| {
            let claims_read = claims::read_access(claims)?;
            let claims = AccessClaims {
                kind,
                ..claims_read
            };
            Some(Token::Access(Verified { kid, claims }))
        };
        let (issuer, ours) = (slice::from_ref(&self.issuer), &*self.audiences);
        let (claims, audiences, read) = match self.open(ring, token)? {
            Opened::Ring(key, claims) if key.usage == KeyUse::Access => {
                let read = access(Some(key.id.clone()), &claims, AccessKind::Ring);
                (claims, ours, read)
            }
            Opened::Ring(_, claims) => {
                let read = claims::read_refresh(&claims).map(Token::Refresh);
                (claims, issuer, read)
            }
            Opened::Compat(claims) => {
                let read = access(None, &claims, AccessKind::Compat);
                (claims, ours, read)
            }
            Opened::Seed(claims) => return Ok(Token::Access(Verified { kid: None, claims })),
            Opened::SeedRefresh => return Ok(Token::SeedRefresh),
        };
        read.filter(|_| claims::is_for(&claims, audiences))
            .ok_or(TokenRefused::Invalid)
    }

    /// An access token that was verified before, if its key is still good.
    fn remembered(&self, ring: &KeyRing, digest: &Digest) -> Option<Arc<Verified>> {
        let verified = self.verified.get(digest)?;
        let has_left = |kid: &String| ring.find(kid).is_none();
        if verified.kid.as_ref().is_some_and(has_left) {
            self.verified.forget(digest);
            return None;
        }
        Some(verified)
    }

    fn sign(
        &self,
        usage: KeyUse,
        issued_at: OffsetDateTime,
        payload: serde_json::Result<Vec<u8>>,
    ) -> Result<String, SignError> {
        let ring = self.ring();
        let key = ring
            .signing(usage, issued_at)
            .ok_or(SignError("there is no key"))?;
        write(&key.header, payload, |message| key.sign(message))
    }
}

fn write(
    header: &str,
    payload: serde_json::Result<Vec<u8>>,
    sign: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
) -> Result<String, SignError> {
    let payload = payload.map_err(|_| SignError("the claims cannot be written"))?;
    let token = jws::write(header, &payload, sign)
        .ok_or(SignError("the cryptographic library refused to work"))?;
    if token.len() > MAX_BYTES {
        return Err(SignError("the token would be longer than 8 KiB"));
    }
    Ok(token)
}

/// A token whose signature holds.
enum Opened<'r> {
    /// Signed by a key of the ring.
    Ring(&'r Key, Claims),
    /// An access token of ours under the shared secret.
    Compat(Claims),
    /// An access token of the seed.
    Seed(AccessClaims),
    /// A refresh token of the seed.
    SeedRefresh,
}

/// A token that is whole, of either type.
enum Token {
    Access(Verified),
    Refresh(RefreshClaims),
    SeedRefresh,
}

impl Tokens for JwsTokens {
    fn sign_access(&self, claims: &AccessClaims) -> Result<String, SignError> {
        let payload =
            |claims: &AccessClaims| claims::write_access(claims, &self.issuer, &self.audiences);
        let Some(secret) = &self.compat else {
            return self.sign(KeyUse::Access, claims.issued_at, payload(claims));
        };
        let marked = AccessClaims {
            kind: AccessKind::Compat,
            ..claims.clone()
        };
        write(compat::HEADER, payload(&marked), |message| {
            Some(secret.sign(message))
        })
    }

    fn sign_refresh(&self, claims: &RefreshClaims) -> Result<String, SignError> {
        let payload = claims::write_refresh(claims, &self.issuer);
        self.sign(KeyUse::Refresh, claims.issued_at, payload)
    }

    fn verify_access(
        &self,
        token: &str,
        now: OffsetDateTime,
    ) -> Result<AccessClaims, TokenRefused> {
        if token.len() > MAX_BYTES {
            return Err(TokenRefused::Invalid);
        }
        let digest = VerifiedTokens::digest(token);
        let ring = self.ring();
        let verified = if let Some(verified) = self.remembered(&ring, &digest) {
            verified
        } else {
            match self.read(&ring, token)? {
                Token::Refresh(claims) => return Err(wrong_type(claims.issued_at, now)),
                Token::SeedRefresh => return Err(TokenRefused::WrongType),
                Token::Access(verified) => {
                    let verified = Arc::new(verified);
                    self.verified.insert(digest, Arc::clone(&verified));
                    verified
                }
            }
        };
        let claims = &verified.claims;
        in_time(claims.issued_at, claims.expires_at, now)?;
        Ok(claims.clone())
    }

    fn verify_refresh(
        &self,
        token: &str,
        now: OffsetDateTime,
    ) -> Result<RefreshClaims, TokenRefused> {
        match self.read(&self.ring(), token)? {
            Token::Access(Verified { claims, .. }) => Err(wrong_type(claims.issued_at, now)),
            Token::SeedRefresh => Err(TokenRefused::Invalid),
            Token::Refresh(claims) => {
                in_time(claims.issued_at, claims.expires_at, now)?;
                Ok(claims)
            }
        }
    }

    fn subject(&self, token: &str) -> Result<TokenOwner, TokenRefused> {
        match self.open(&self.ring(), token)? {
            Opened::Ring(_, claims) | Opened::Compat(claims) => claims::read_subject(&claims)
                .map(TokenOwner::Session)
                .ok_or(TokenRefused::Invalid),
            Opened::Seed(claims) => Ok(TokenOwner::Seed(claims)),
            Opened::SeedRefresh => Err(TokenRefused::Invalid),
        }
    }

    fn retire(&self, key: KeyTag) {
        self.held.retire(key);
    }
}

/// A token from the future is none, whatever its type.
fn wrong_type(issued_at: OffsetDateTime, now: OffsetDateTime) -> TokenRefused {
    if issued_at > now + CLOCK_LEEWAY {
        TokenRefused::Invalid
    } else {
        TokenRefused::WrongType
    }
}

/// RFC 7519, 4.1.4 and 4.1.6, with leeway for clocks that differ.
fn in_time(
    issued_at: OffsetDateTime,
    expires_at: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<(), TokenRefused> {
    if issued_at > now + CLOCK_LEEWAY {
        return Err(TokenRefused::Invalid);
    }
    // Whoever shares a secret with us may write any time that there is.
    let leeway = time::Duration::try_from(CLOCK_LEEWAY).unwrap_or_default();
    if now >= expires_at.saturating_add(leeway) {
        return Err(TokenRefused::Expired);
    }
    Ok(())
}

/// Without the keys.
impl fmt::Debug for JwsTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwsTokens")
            .field("issuer", &self.issuer)
            .field("audiences", &self.audiences)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
