//! `Authorization: Bearer` (RFC 6750, section 2.1).

use axum::http::{HeaderMap, header::AUTHORIZATION};

/// Why there is no bearer token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BearerError {
    /// No `Authorization` header.
    #[error("the Authorization header is missing")]
    Missing,
    /// Several headers, another scheme, no token or several.
    #[error("the Authorization header must be `Bearer <token>`, once")]
    Malformed,
}

/// The one token of the one `Authorization` header. The scheme is read in any case; the token is
/// visible ASCII and of any length that the listener lets through.
pub fn bearer(headers: &HeaderMap) -> Result<&str, BearerError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let only = values.next().ok_or(BearerError::Missing)?;
    if values.next().is_some() {
        return Err(BearerError::Malformed);
    }
    only.to_str()
        .ok()
        .and_then(parse)
        .ok_or(BearerError::Malformed)
}

fn parse(value: &str) -> Option<&str> {
    let (scheme, rest) = value.split_once(' ')?;
    let token = rest.trim_matches(' ');
    let is_token = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    (scheme.eq_ignore_ascii_case("bearer") && is_token).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_read_in_any_case_and_the_token_is_one() {
        for good in ["Bearer a.b", "bearer a.b", "BEARER  a.b "] {
            assert_eq!(parse(good), Some("a.b"), "{good:?}");
        }
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "a.b",
            "Basic a.b",
            "Bearer a b",
            "Bearer\ta.b",
            "Bearera.b",
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn two_headers_are_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(bearer(&headers), Err(BearerError::Missing));
        headers.append(AUTHORIZATION, "Bearer a".parse().unwrap());
        assert_eq!(bearer(&headers), Ok("a"));
        headers.append(AUTHORIZATION, "Bearer a".parse().unwrap());
        assert_eq!(bearer(&headers), Err(BearerError::Malformed));
    }
}
