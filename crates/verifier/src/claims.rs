use std::{fmt, sync::Arc};

use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::Refused;

/// For clocks that differ.
const LEEWAY: Duration = Duration::seconds(10);

/// What an access token says that was found good. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claims {
    /// `sub`: who it is. The identity, for good.
    pub user_id: Uuid,
    /// `sid`: in which session.
    pub session_id: Uuid,
    /// `ver`: the version of the user that the token was made from; it rises with each change.
    pub version: u64,
    /// `email`, as typed. A label: it may change, and another user may have it later.
    pub email: Arc<str>,
    /// `email_verified`.
    pub email_verified: bool,
    /// `adm`: an administrator.
    pub is_admin: bool,
    /// `jti`: this token.
    pub token_id: Uuid,
    /// `iat`.
    pub issued_at: OffsetDateTime,
    /// `exp`.
    pub expires_at: OffsetDateTime,
}

/// Without the e-mail address.
impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims")
            .field("user_id", &self.user_id)
            .field("session_id", &self.session_id)
            .field("version", &self.version)
            .field("is_admin", &self.is_admin)
            .finish_non_exhaustive()
    }
}

impl Claims {
    /// Reads the claims of a token whose signature holds: an access token of this issuer, for one
    /// of these audiences. Times are looked at by [`in_time`](Self::in_time).
    pub(crate) fn read(
        claims: &Map<String, Value>,
        issuer: &str,
        audiences: &[String],
    ) -> Option<Self> {
        let is_ours = text(claims, "token_type")? == "access" && text(claims, "iss")? == issuer;
        if !is_ours || !is_for(claims, audiences) {
            return None;
        }
        let subject = text(claims, "sub")?;
        if text(claims, "uid")? != subject {
            return None;
        }
        Some(Self {
            user_id: id(subject)?,
            session_id: id(text(claims, "sid")?)?,
            version: claims.get("ver")?.as_u64()?,
            email: text(claims, "email")?.into(),
            email_verified: claims.get("email_verified")?.as_bool()?,
            is_admin: match claims.get("adm") {
                None => false,
                Some(adm) => adm.as_bool()?,
            },
            token_id: id(text(claims, "jti")?)?,
            issued_at: time(claims, "iat")?,
            expires_at: time(claims, "exp")?,
        })
    }

    /// RFC 7519, 4.1.4 and 4.1.6, with leeway.
    pub(crate) fn in_time(&self, now: OffsetDateTime) -> Result<(), Refused> {
        if self.issued_at > now.saturating_add(LEEWAY) {
            return Err(Refused::Invalid);
        }
        if now >= self.expires_at.saturating_add(LEEWAY) {
            return Err(Refused::Expired);
        }
        Ok(())
    }
}

/// RFC 7519, 4.1.3: one audience may be a plain string.
fn is_for(claims: &Map<String, Value>, audiences: &[String]) -> bool {
    let is_known = |aud: &Value| {
        aud.as_str()
            .is_some_and(|aud| audiences.iter().any(|known| known == aud))
    };
    match claims.get("aud") {
        Some(Value::Array(several)) => {
            several.iter().all(Value::is_string) && several.iter().any(is_known)
        }
        Some(one) => is_known(one),
        None => false,
    }
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name)?.as_str()
}

/// A UUID in its hyphenated form, and no other.
pub(crate) fn id(text: &str) -> Option<Uuid> {
    const HYPHENATED: usize = 36;
    (text.len() == HYPHENATED)
        .then(|| Uuid::try_parse(text).ok())
        .flatten()
}

/// A NumericDate that is an integer: of a fraction two verifiers may make two times.
fn time(claims: &Map<String, Value>, name: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(claims.get(name)?.as_i64()?).ok()
}
