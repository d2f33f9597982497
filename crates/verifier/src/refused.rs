use http::StatusCode;
use tonic::Code;

/// Why a token is not accepted. What it says is safe to tell the caller, and nothing of the token
/// is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// It is none: not signed by a key of this issuer, not for this audience, malformed.
    #[error("the access token is invalid")]
    Invalid,
    /// It is a refresh token.
    #[error("this is no access token")]
    WrongType,
    /// It was good.
    #[error("the access token has expired")]
    Expired,
    /// Its session was ended, its user was disabled, has another password or another role, or the
    /// key that signed it was retired.
    #[error("the access token was revoked")]
    Revoked,
    /// Nothing is wrong with it, but whether it is revoked cannot be known now. It may be good: try
    /// again.
    #[error("the access token cannot be validated at the moment")]
    Unknowable,
}

impl Refused {
    /// `snake_case`, stable: what programs switch on. The same words as the service's own.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Invalid => "invalid_token",
            Self::WrongType => "wrong_token_type",
            Self::Expired => "token_expired",
            Self::Revoked => "token_revoked",
            Self::Unknowable => "unavailable",
        }
    }

    /// 401, or 503 where the token may be good. A 503 wants a `Retry-After`.
    pub const fn http_status(self) -> StatusCode {
        match self {
            Self::Unknowable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Invalid | Self::WrongType | Self::Expired | Self::Revoked => {
                StatusCode::UNAUTHORIZED
            }
        }
    }

    /// UNAUTHENTICATED, or UNAVAILABLE where the token may be good.
    pub const fn grpc_code(self) -> Code {
        match self {
            Self::Unknowable => Code::Unavailable,
            Self::Invalid | Self::WrongType | Self::Expired | Self::Revoked => {
                Code::Unauthenticated
            }
        }
    }

    /// What the service's own word means, if it is one about a token.
    pub(crate) fn of_code(code: &str) -> Option<Self> {
        [Self::Invalid, Self::WrongType, Self::Expired, Self::Revoked]
            .into_iter()
            .find(|refused| refused.code() == code)
    }
}
