//! Layers: a request goes on with [`Claims`](crate::Claims) among its extensions, or is answered.

mod grpc;
mod http;

use ::http::{HeaderMap, header::AUTHORIZATION};

pub use self::{
    grpc::{GrpcGuard, GrpcLayer},
    http::{HttpGuard, HttpLayer},
};

/// The one token of the one `Authorization: Bearer` header (RFC 6750, section 2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, rest) = only(headers)?.split_once(' ')?;
    let token = rest.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && is_token(token)).then_some(token)
}

/// As [`bearer`], or the header's value where it is nothing but a token.
fn bearer_or_bare(headers: &HeaderMap) -> Option<&str> {
    bearer(headers).or_else(|| only(headers).filter(|value| is_token(value)))
}

fn only(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let only = values.next()?;
    values.next().is_none().then(|| only.to_str().ok())?
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let values = values.iter().map(|value| value.parse().unwrap());
        values.map(|value| (AUTHORIZATION, value)).fold(
            HeaderMap::new(),
            |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            },
        )
    }

    #[test]
    fn the_scheme_is_read_in_any_case_and_the_token_is_one() {
        for good in ["Bearer a.b", "bearer a.b", "BEARER  a.b "] {
            assert_eq!(bearer(&headers(&[good])), Some("a.b"), "{good:?}");
        }
        for bad in ["", "Bearer", "Bearer ", "a.b", "Basic a.b", "Bearer a b"] {
            assert_eq!(bearer(&headers(&[bad])), None, "{bad:?}");
        }
        assert_eq!(bearer(&headers(&["Bearer a", "Bearer a"])), None);
        assert_eq!(bearer(&headers(&[])), None);
    }

    #[test]
    fn a_bare_token_is_one_where_that_is_said() {
        assert_eq!(bearer_or_bare(&headers(&["a.b.c"])), Some("a.b.c"));
        assert_eq!(bearer_or_bare(&headers(&["Bearer a.b.c"])), Some("a.b.c"));
        for bad in ["Basic a.b", "a b", "a.b.c a"] {
            assert_eq!(bearer_or_bare(&headers(&[bad])), None, "{bad}");
        }
        assert_eq!(bearer_or_bare(&headers(&["a.b.c", "a.b.c"])), None);
    }
}
