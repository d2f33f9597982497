//! Who calls: the user of an access token of `sso`, verified in this process.

use axum::{
    extract::{FromRequestParts, Path, rejection::PathRejection},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION, request::Parts},
};
use sso_service::web::{Problem, refuse_declared_length};
use sso_verifier::{Claims, Refused};
use uuid::Uuid;

use super::Shared;

/// A user whose access token is good now.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) id: Uuid,
    pub(crate) is_admin: bool,
}

impl Caller {
    /// Whose account he may read: his own, an administrator any. One that cannot be is unknown, as is what
    /// is not even text.
    pub(crate) fn may_read(
        &self,
        uuid: Result<Path<String>, PathRejection>,
    ) -> Result<Uuid, Problem> {
        let user = uuid.ok().and_then(|Path(uuid)| parse(&uuid));
        let user = user.ok_or_else(Problem::not_found)?;
        if self.is_admin || self.id == user {
            Ok(user)
        } else {
            Err(Problem::forbidden(
                "this account is another user's: only an administrator may read it",
            ))
        }
    }
}

/// An id in its hyphenated form, and no other.
pub(crate) fn parse(text: &str) -> Option<Uuid> {
    const HYPHENATED: usize = 36;
    let hyphenated = text.len() == HYPHENATED;
    hyphenated.then(|| Uuid::try_parse(text).ok()).flatten()
}

impl From<Claims> for Caller {
    fn from(claims: Claims) -> Self {
        Self {
            id: claims.user_id,
            is_admin: claims.is_admin,
        }
    }
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Problem> {
        refuse_declared_length(&parts.headers)?;
        let token = token(&parts.headers)?;
        match state.verifier.verify(token).await {
            Ok(claims) => Ok(claims.into()),
            Err(refused) => Err(refusal(refused)),
        }
    }
}

/// `Bearer <token>`, or the bare token as the first clients send it.
fn token(headers: &HeaderMap) -> Result<&str, Problem> {
    let refuse =
        |error: &'static str| Problem::new(StatusCode::UNAUTHORIZED, "invalid_token", error);
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(only) = values.next() else {
        return Err(refuse("the Authorization header is missing"));
    };
    let malformed = || refuse("the Authorization header must be `Bearer <token>`, once");
    if values.next().is_some() {
        return Err(malformed());
    }
    let value = only.to_str().map_err(|_| malformed())?.trim_matches(' ');
    let token = match value.split_once(' ') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => rest.trim_matches(' '),
        Some(_) => return Err(malformed()),
        None => value,
    };
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    is_token.then_some(token).ok_or_else(malformed)
}

fn refusal(refused: Refused) -> Problem {
    match refused {
        Refused::Unknowable => Problem::unavailable(refused.to_string()),
        _ => Problem::new(refused.http_status(), refused.code(), refused.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        token(&headers).ok().map(str::to_owned)
    }

    #[test]
    fn a_token_is_read_with_its_scheme_and_bare_and_nothing_else_is() {
        for good in ["Bearer a.b.c", "bearer  a.b.c", "a.b.c"] {
            assert_eq!(read(&[good]).as_deref(), Some("a.b.c"), "{good}");
        }
        for bad in [
            &[][..],
            &[""],
            &["Basic a.b.c"],
            &["Bearer a b"],
            &["a", "a"],
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
