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
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let only = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, rest) = only.split_once(' ')?;
    let token = rest.trim_matches(' ');
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    (scheme.eq_ignore_ascii_case("bearer") && is_token).then_some(token)
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
}
