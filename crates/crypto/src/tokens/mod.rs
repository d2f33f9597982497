//! Tokens: JWS compact (RFC 7515) with the claims of RFC 7519 and RFC 9068, signed by the ring.
//!
//! A verifier believes nothing of a token but the id of a key of ours until that key's signature
//! holds; the algorithm is the key's, whatever the token says (RFC 8725, 3.1). Access and refresh
//! tokens have different keys, `typ`, `token_type` and `aud`, so neither passes for the other.

mod cache;
mod claims;
mod jws;

use std::{
    fmt, slice,
    sync::{Arc, PoisonError, RwLock},
};

use sso_core::{
    CLOCK_LEEWAY,
    ports::{
        AccessClaims, RefreshClaims, SignError, TokenRefused, TokenSubject, Tokens, store::KeyUse,
    },
};
use time::OffsetDateTime;

use self::{
    cache::{Digest, Verified, VerifiedTokens},
    claims::Claims,
    jws::{Compact, MAX_BYTES},
};
use crate::keyring::{Key, KeyRing, token_typ};

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
    ring: RwLock<Arc<KeyRing>>,
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
            ring: RwLock::new(Arc::new(ring)),
            verified: VerifiedTokens::new(verified_tokens),
        }
    }

    /// The ring in use.
    pub fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Goes on with another ring: tokens of keys that are not in it are refused from now on.
    pub fn replace_ring(&self, ring: KeyRing) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
    }

    /// A token of ours, of either type: signed by a key of the ring, with the type of that key, by
    /// this issuer. Whom it is for and when is not looked at.
    fn open<'r>(&self, ring: &'r KeyRing, token: &str) -> Option<(&'r Key, Claims)> {
        let token = Compact::parse(token)?;
        let key = ring.find(&token.kid)?;
        let is_ours = token.algorithm == key.algorithm().as_str()
            && token.typ == token_typ(key.usage)
            && key.verifies(token.signed.as_bytes(), &token.signature);
        if !is_ours {
            return None;
        }
        let claims = token.claims()?;
        claims::is_ours(&claims, key.usage, &self.issuer).then_some((key, claims))
    }

    /// A token of ours that is whole and meant for us. Its times are not looked at.
    fn read(&self, ring: &KeyRing, token: &str) -> Result<Token, TokenRefused> {
        let (key, claims) = self.open(ring, token).ok_or(TokenRefused::Invalid)?;
        let (audiences, read) = match key.usage {
            KeyUse::Access => {
                let read = claims::read_access(&claims).map(|claims| {
                    let kid = key.id.clone();
                    Token::Access(Verified { kid, claims })
                });
                (&*self.audiences, read)
            }
            KeyUse::Refresh => (
                slice::from_ref(&self.issuer),
                claims::read_refresh(&claims).map(Token::Refresh),
            ),
        };
        read.filter(|_| claims::is_for(&claims, audiences))
            .ok_or(TokenRefused::Invalid)
    }

    /// An access token that was verified before, if its key is still good.
    fn remembered(&self, ring: &KeyRing, digest: &Digest) -> Option<Arc<Verified>> {
        let verified = self.verified.get(digest)?;
        if ring.find(&verified.kid).is_none() {
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
        let payload = payload.map_err(|_| SignError("the claims cannot be written"))?;
        let ring = self.ring();
        let key = ring
            .signing(usage, issued_at)
            .ok_or(SignError("there is no key"))?;
        let token = jws::write(&key.header, &payload, |message| key.sign(message))
            .ok_or(SignError("the cryptographic library refused to work"))?;
        if token.len() > MAX_BYTES {
            return Err(SignError("the token would be longer than 8 KiB"));
        }
        Ok(token)
    }
}

/// A token that is whole, of either type.
enum Token {
    Access(Verified),
    Refresh(RefreshClaims),
}

impl Tokens for JwsTokens {
    fn sign_access(&self, claims: &AccessClaims) -> Result<String, SignError> {
        let payload = claims::write_access(claims, &self.issuer, &self.audiences);
        self.sign(KeyUse::Access, claims.issued_at, payload)
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
            Token::Refresh(claims) => {
                in_time(claims.issued_at, claims.expires_at, now)?;
                Ok(claims)
            }
        }
    }

    fn subject(&self, token: &str) -> Result<TokenSubject, TokenRefused> {
        self.open(&self.ring(), token)
            .and_then(|(_, claims)| claims::read_subject(&claims))
            .ok_or(TokenRefused::Invalid)
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
    if now >= expires_at + CLOCK_LEEWAY {
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
