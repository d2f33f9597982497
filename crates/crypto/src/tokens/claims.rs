//! Claims (RFC 7519, section 4), written and read by the contract's names.

use serde::Serialize;
use serde_json::{Map, Value};
use sso_core::{
    ports::{AccessClaims, AccessKind, RefreshClaims, TokenSubject, store::KeyUse},
    values::{SessionId, UserId, Version},
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::random::uuid_of;

/// Claims as they were signed.
pub(super) type Claims = Map<String, Value>;

/// `token_type` of the tokens that a key of this use signs.
const fn token_type(usage: KeyUse) -> &'static str {
    match usage {
        KeyUse::Access => "access",
        KeyUse::Refresh => "refresh",
    }
}

#[derive(Serialize)]
struct AccessPayload<'a> {
    token_type: &'static str,
    uid: &'a str,
    email: &'a str,
    exp: i64,
    iss: &'a str,
    sub: &'a str,
    aud: Audience<'a>,
    iat: i64,
    jti: String,
    sid: String,
    ver: u64,
    email_verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    adm: Option<bool>,
}

#[derive(Serialize)]
struct RefreshPayload<'a> {
    token_type: &'static str,
    uid: &'a str,
    sub: &'a str,
    iss: &'a str,
    aud: &'a str,
    sid: String,
    r#gen: u64,
    jti: String,
    iat: i64,
    exp: i64,
}

/// RFC 7519, 4.1.3: one audience may be a plain string.
#[derive(Serialize)]
#[serde(untagged)]
enum Audience<'a> {
    One(&'a str),
    Several(&'a [String]),
}

/// The payload of an access token.
pub(super) fn write_access(
    claims: &AccessClaims,
    issuer: &str,
    audiences: &[String],
) -> serde_json::Result<Vec<u8>> {
    let user = claims.user.to_string();
    serde_json::to_vec(&AccessPayload {
        token_type: token_type(KeyUse::Access),
        uid: &user,
        email: &claims.email,
        exp: claims.expires_at.unix_timestamp(),
        iss: issuer,
        sub: &user,
        aud: match audiences {
            [one] => Audience::One(one),
            several => Audience::Several(several),
        },
        iat: claims.issued_at.unix_timestamp(),
        jti: claims.id.to_string(),
        sid: claims.session.to_string(),
        ver: claims.version.get(),
        email_verified: claims.email_verified,
        // Whoever has the shared secret could write it, so nobody does.
        adm: (claims.is_admin && !claims.is_compat()).then_some(true),
    })
}

/// The payload of a refresh token: the same bytes for the same claims.
pub(super) fn write_refresh(claims: &RefreshClaims, issuer: &str) -> serde_json::Result<Vec<u8>> {
    let user = claims.user.to_string();
    serde_json::to_vec(&RefreshPayload {
        token_type: token_type(KeyUse::Refresh),
        uid: &user,
        sub: &user,
        iss: issuer,
        aud: issuer,
        sid: claims.session.to_string(),
        r#gen: claims.generation,
        jti: refresh_id(claims).to_string(),
        iat: claims.issued_at.unix_timestamp(),
        exp: claims.expires_at.unix_timestamp(),
    })
}

/// A refresh token is named by its session and generation, so its `jti` follows from them: a UUID
/// of version 8 (RFC 9562, 5.8).
fn refresh_id(claims: &RefreshClaims) -> Uuid {
    let mut named = claims.session.as_uuid().as_bytes().to_vec();
    named.extend_from_slice(&claims.generation.to_be_bytes());
    uuid_of(&named)
}

/// Whether the claims are of the type that the key signs, and of this issuer.
pub(super) fn is_ours(claims: &Claims, usage: KeyUse, issuer: &str) -> bool {
    text(claims, "token_type") == Some(token_type(usage)) && text(claims, "iss") == Some(issuer)
}

/// Whether the token is meant for one of these.
pub(super) fn is_for(claims: &Claims, audiences: &[String]) -> bool {
    let is_known = |aud: &Value| {
        aud.as_str()
            .is_some_and(|aud| audiences.iter().any(|a| a == aud))
    };
    match claims.get("aud") {
        Some(Value::Array(several)) => {
            several.iter().all(Value::is_string) && several.iter().any(is_known)
        }
        Some(one) => is_known(one),
        None => false,
    }
}

/// Whose token it is: `sub` and `uid` must agree.
pub(super) fn read_subject(claims: &Claims) -> Option<TokenSubject> {
    let subject = text(claims, "sub")?;
    if text(claims, "uid")? != subject {
        return None;
    }
    Some(TokenSubject {
        user: UserId::parse(subject).ok()?,
        session: SessionId::parse(text(claims, "sid")?).ok()?,
    })
}

/// The claims of an access token.
pub(super) fn read_access(claims: &Claims) -> Option<AccessClaims> {
    let TokenSubject { user, session } = read_subject(claims)?;
    Some(AccessClaims {
        user,
        session,
        version: Version::new(claims.get("ver")?.as_u64()?),
        kind: AccessKind::Ring,
        email: text(claims, "email")?.to_owned(),
        email_verified: claims.get("email_verified")?.as_bool()?,
        is_admin: match claims.get("adm") {
            None => false,
            Some(adm) => adm.as_bool()?,
        },
        id: text(claims, "jti")?.parse().ok()?,
        issued_at: time(claims, "iat")?,
        expires_at: time(claims, "exp")?,
    })
}

/// The claims of a refresh token.
pub(super) fn read_refresh(claims: &Claims) -> Option<RefreshClaims> {
    let TokenSubject { user, session } = read_subject(claims)?;
    Some(RefreshClaims {
        user,
        session,
        generation: claims.get("gen")?.as_u64()?,
        issued_at: time(claims, "iat")?,
        expires_at: time(claims, "exp")?,
    })
}

pub(super) fn text<'a>(claims: &'a Claims, name: &str) -> Option<&'a str> {
    claims.get(name)?.as_str()
}

/// A NumericDate that is an integer: of a fraction two verifiers may make two times.
pub(super) fn time(claims: &Claims, name: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(claims.get(name)?.as_i64()?).ok()
}
