//! Tokens: JWS compact (RFC 7515), claims of RFC 7519 and RFC 9068.

use std::{fmt, time::Duration};

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    failure::{Failure, Kind},
    values::{KeyTag, SessionId, UserId, Version},
};

/// What an access token says. Times have whole seconds.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessClaims {
    /// `sub` and `uid`: the identity.
    pub user: UserId,
    /// `sid`; of a token that has none ([`AccessKind::Seed`]) an id that follows from its bytes and
    /// is no session's.
    pub session: SessionId,
    /// `ver`: the version of the user's row that the token was made from.
    pub version: Version,
    /// Who can have signed it.
    pub kind: AccessKind,
    /// `email`: a label, as typed.
    pub email: String,
    /// `email_verified`.
    pub email_verified: bool,
    /// `adm`: present only when true.
    pub is_admin: bool,
    /// `jti`.
    pub id: Uuid,
    /// `iat`.
    pub issued_at: OffsetDateTime,
    /// `exp`.
    pub expires_at: OffsetDateTime,
}

/// Who can have signed an access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccessKind {
    /// This service alone: a key of the ring.
    #[default]
    Ring,
    /// Everybody who has the shared secret of the mode `hs256`. Never an administrator's, and
    /// nothing to administer with.
    Compat,
    /// As [`Compat`](Self::Compat), and of the system before this one: it names no session, and
    /// lives until its `exp` or until its very bytes are revoked.
    Seed,
}

impl AccessClaims {
    /// Whether others than this service could have made the token: `sso.v1` takes none of them.
    pub fn is_compat(&self) -> bool {
        self.kind != AccessKind::Ring
    }
}

/// Without the e-mail address.
impl fmt::Debug for AccessClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessClaims")
            .field("user", &self.user)
            .field("session", &self.session)
            .field("version", &self.version)
            .field("is_admin", &self.is_admin)
            .finish_non_exhaustive()
    }
}

/// What a refresh token says: which session, which generation. Two tokens of the same claims are
/// the same bytes, so that who lost an answer gets it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshClaims {
    /// `sub` and `uid`.
    pub user: UserId,
    /// `sid`.
    pub session: SessionId,
    /// `gen`.
    pub generation: u64,
    /// `iat`: when the session reached this generation.
    pub issued_at: OffsetDateTime,
    /// `exp`: the session's end.
    pub expires_at: OffsetDateTime,
}

/// Whose token it is, of either type, expired or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenSubject {
    /// `sub`.
    pub user: UserId,
    /// `sid`.
    pub session: SessionId,
}

/// Whose token it is and what ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenOwner {
    /// The end of its session.
    Session(TokenSubject),
    /// It is of no session: only it can be ended, or all that its user has.
    Seed(AccessClaims),
}

/// Signs and verifies the tokens of this service. Nothing of a token is believed before its
/// signature holds.
pub trait Tokens: Send + Sync {
    /// Signs an access token.
    fn sign_access(&self, claims: &AccessClaims) -> Result<String, SignError>;

    /// Signs a refresh token: the same bytes for the same claims.
    fn sign_refresh(&self, claims: &RefreshClaims) -> Result<String, SignError>;

    /// Verifies an access token at `now`; whether it is revoked is another question.
    fn verify_access(&self, token: &str, now: OffsetDateTime)
    -> Result<AccessClaims, TokenRefused>;

    /// Verifies a refresh token at `now`; whether its session lives is another question.
    fn verify_refresh(
        &self,
        token: &str,
        now: OffsetDateTime,
    ) -> Result<RefreshClaims, TokenRefused>;

    /// Says whose token of ours this is, of either type, expired or not.
    fn subject(&self, token: &str) -> Result<TokenOwner, TokenRefused>;

    /// Stops to believe a key, for good.
    fn retire(&self, key: KeyTag);
}

/// Why a token is refused; found in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// Malformed, forged, of another issuer or for another audience.
    #[error("invalid token")]
    Invalid,
    /// A refresh token where an access token belongs, or the other way round.
    #[error("wrong type of token")]
    WrongType,
    /// Past its `exp`.
    #[error("token is expired")]
    Expired,
    /// Its session is over, or it is older than what ended the user's sessions.
    #[error("token is revoked")]
    Revoked,
    /// Whether it is good cannot be told now.
    #[error("tokens cannot be validated now")]
    Unknowable,
}

impl From<TokenRefused> for Failure {
    fn from(refused: TokenRefused) -> Self {
        let unauthenticated = |code| Self::new(Kind::Unauthenticated, code, refused.to_string());
        match refused {
            TokenRefused::Invalid => unauthenticated("invalid_token"),
            TokenRefused::WrongType => unauthenticated("wrong_token_type"),
            TokenRefused::Expired => unauthenticated("token_expired"),
            TokenRefused::Revoked => unauthenticated("token_revoked"),
            TokenRefused::Unknowable => Self::unavailable(
                "unavailable",
                "tokens cannot be validated now, try again",
                Duration::from_secs(1),
            ),
        }
    }
}

/// A token could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("no token could be signed: {0}")]
pub struct SignError(pub &'static str);

impl From<SignError> for Failure {
    fn from(error: SignError) -> Self {
        Self::internal(error)
    }
}
