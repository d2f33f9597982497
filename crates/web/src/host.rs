//! Development mode: only requests that were meant for this machine.
//!
//! A page of any web site can make a browser send requests to 127.0.0.1, and by DNS rebinding even
//! read the answers; but then the name in `Host` is the site's.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::{
    Router,
    extract::{Request, State},
    http::{header::HOST, uri::Authority},
    middleware::{Next, from_fn_with_state},
    response::Response,
};

use crate::{Answer, RequestId};

/// Answers with `misdirected` unless the request names `localhost`, an address of 127.0.0.0/8 or
/// `[::1]`, with any port, wherever it names its host (`Host`, `:authority`, an absolute target).
/// A request that names none is refused as well.
pub fn require_loopback(router: Router, misdirected: Answer) -> Router {
    router.layer(from_fn_with_state(misdirected, check))
}

async fn check(State(misdirected): State<Answer>, request: Request, next: Next) -> Response {
    if is_meant_for_loopback(&request) {
        next.run(request).await
    } else {
        misdirected(&RequestId::of(&request))
    }
}

fn is_meant_for_loopback(request: &Request) -> bool {
    let target = request.uri().authority().map(Authority::as_str);
    let mut hosts = request.headers().get_all(HOST).iter();
    let header = hosts.next().map(|host| host.to_str().unwrap_or_default());
    hosts.next().is_none()
        && (target.is_some() || header.is_some())
        && target.into_iter().chain(header).all(is_loopback)
}

fn is_loopback(authority: &str) -> bool {
    if authority.contains('@') {
        return false;
    }
    let Ok(authority) = authority.parse::<Authority>() else {
        return false;
    };
    let host = authority.host();
    host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(|v4: Ipv4Addr| v4.is_loopback())
        || host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .and_then(|host| host.parse().ok())
            .is_some_and(|v6: Ipv6Addr| v6.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for good in [
            "localhost",
            "LocalHost:8000",
            "127.0.0.1",
            "127.1.2.3:80",
            "[::1]",
            "[::1]:8000",
        ] {
            assert!(is_loopback(good), "{good}");
        }
        for bad in [
            "",
            "example.com",
            "localhost.example.com",
            "example.com:8000",
            "0.0.0.0",
            "128.0.0.1",
            "127.1",
            "[::2]",
            "::1",
            "localhost@example.com",
            "x@localhost",
            "127.0.0.1.nip.io",
        ] {
            assert!(!is_loopback(bad), "{bad}");
        }
    }

    #[test]
    fn every_name_that_a_request_gives_must_be_of_this_machine_and_one_must_be_there() {
        let request = |target: &str, hosts: &[&str]| {
            let mut builder = Request::builder().uri(target);
            for host in hosts {
                builder = builder.header(HOST, *host);
            }
            builder.body(axum::body::Body::empty()).unwrap()
        };
        assert!(is_meant_for_loopback(&request("/", &["localhost"])));
        assert!(is_meant_for_loopback(&request("http://localhost/", &[])));
        assert!(!is_meant_for_loopback(&request("/", &[])));
        assert!(!is_meant_for_loopback(&request(
            "/",
            &["localhost", "localhost"]
        )));
        assert!(!is_meant_for_loopback(&request(
            "http://a.example/",
            &["localhost"]
        )));
        assert!(!is_meant_for_loopback(&request(
            "http://localhost/",
            &["a.example"]
        )));
    }
}
