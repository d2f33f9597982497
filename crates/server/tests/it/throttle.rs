//! Limits over the wire: 429 with Retry-After, at once, and never for who is not meant.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http::{Method, StatusCode};
use serde_json::json;
use sso_testkit::{
    http::{Http, Reply},
    persona::{Persona, auth},
    process::Site,
};
use tonic_types::StatusExt;

use crate::support::{rounds, site};

/// A client of its own network.
pub(crate) fn from(http: &Http, network: u8) -> Http {
    http.from_address([127, 0, network, 1].into())
}

fn is_throttled(reply: &Reply) -> bool {
    reply.status == StatusCode::TOO_MANY_REQUESTS
        && reply.code() == "rate_limited"
        && reply
            .header("retry-after")
            .parse()
            .is_ok_and(|seconds: u64| seconds >= 1)
}

#[tokio::test]
async fn a_hundred_wrong_passwords_delay_the_stranger_and_not_the_owner() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let owner = Persona::register(&from(&server.http, 1), "alice").await?;
    let stranger = owner.at(&from(&server.http, 2));
    let mut judged = 0;
    for number in 0..100 {
        let reply = stranger.try_login("not the secret").await?;
        match reply.status {
            StatusCode::UNAUTHORIZED => judged += 1,
            _ => assert!(is_throttled(&reply), "{number}: {reply:?}"),
        }
    }
    assert!((5..9).contains(&judged), "{judged} were judged");
    // Even with the right password.
    assert!(is_throttled(&stranger.try_login(&owner.password).await?));
    let reply = owner.try_login(&owner.password).await?;
    assert_eq!(reply.status, StatusCode::OK);

    let mut nobody = stranger.clone();
    nobody.email = "nobody@example.com".to_owned();
    for _ in 0..5 {
        let reply = nobody.try_login("not the secret").await?;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    }
    assert!(is_throttled(&nobody.try_login("not the secret").await?));
    Ok(())
}

/// From 25 networks, each with its free attempts.
#[tokio::test]
async fn a_hundred_failures_of_many_networks_cap_an_account_where_it_is_not_known() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let owner = Persona::register(&from(&server.http, 1), "alice").await?;
    let networks = (0..100).map(|number| 100 + number % 25).chain([199]);
    for network in networks {
        let stranger = owner.at(&from(&server.http, network));
        let reply = stranger.try_login("not the secret").await?;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{network}");
    }
    let stranger = owner.at(&from(&server.http, 200));
    assert!(is_throttled(&stranger.try_login("not the secret").await?));
    assert!(is_throttled(&stranger.try_login(&owner.password).await?));
    let reply = owner.try_login(&owner.password).await?;
    assert_eq!(reply.status, StatusCode::OK);
    let reply = stranger.try_login(&owner.password).await?;
    assert_eq!(reply.status, StatusCode::OK, "the row has ended");
    Ok(())
}

/// The statuses of wrong guesses, each with this value of `X-Forwarded-For`.
async fn guess_as(http: &Http, email: &str, forwarded: &[String]) -> Result<Vec<u16>> {
    let body = json!({ "email": email, "password": "not the secret" }).to_string();
    let mut answers = Vec::new();
    for value in forwarded {
        let headers = [
            ("content-type", "application/json"),
            ("x-forwarded-for", value),
        ];
        let reply = http.send(Method::POST, "/auth/login", &headers, body.clone());
        answers.push(reply.await?.status.as_u16());
    }
    Ok(answers)
}

#[tokio::test]
async fn x_forwarded_for_frees_nobody_whom_no_trusted_proxy_speaks_for() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__HTTP__TRUSTED_PROXIES", "10.0.0.0/8");
    let server = site.serve().await?;
    let alice = Persona::register(&from(&server.http, 1), "alice").await?;
    // Each as if from a network of its own.
    let forwarded: Vec<_> = (1..=9).map(|n| format!("198.51.{n}.7")).collect();
    let answers = guess_as(&from(&server.http, 2), &alice.email, &forwarded).await?;
    assert_eq!(answers[..5], [401; 5]);
    assert_eq!(answers[5..], [429; 4]);
    // Nor does it make anybody suffer: the owner is where he was.
    assert_eq!(alice.try_login(&alice.password).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_trusted_proxy_speaks_for_each_client_by_the_rightmost_address() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__HTTP__TRUSTED_PROXIES", "127.0.0.0/8");
    let server = site.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    // What the client wrote himself stands to the left.
    let one: Vec<_> = (1..=9)
        .map(|n| format!("203.0.{n}.1, 198.51.100.7"))
        .collect();
    let answers = guess_as(&server.http, &alice.email, &one).await?;
    assert_eq!(answers[..5], [401; 5]);
    assert_eq!(answers[5..], [429; 4]);
    let others: Vec<_> = (1..=9).map(|n| format!("198.51.{n}.7")).collect();
    let answers = guess_as(&server.http, &alice.email, &others).await?;
    assert_eq!(answers, [401; 9], "each is a network of his own");
    Ok(())
}

#[tokio::test]
async fn known_networks_outlive_the_process_and_counters_do_not() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__THROTTLE__ACCOUNT_FAILURES", 3);
    let mut server = site.serve().await?;
    let owner = Persona::register(&from(&server.http, 1), "alice").await?;
    server.kill()?;
    let server = site.serve().await?;
    for network in [100, 101, 102, 103] {
        let stranger = owner.at(&from(&server.http, network));
        let reply = stranger.try_login("not the secret").await?;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{network}");
    }
    let stranger = owner.at(&from(&server.http, 104));
    assert!(is_throttled(&stranger.try_login(&owner.password).await?));
    let owner = owner.at(&from(&server.http, 1));
    let reply = owner.try_login(&owner.password).await?;
    assert_eq!(reply.status, StatusCode::OK);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_wrong_passwords_at_once_are_five_attempts_and_fifty_right_ones_pass() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    let right = alice.clone();
    rounds(50, 50, |_| {
        let alice = right.clone();
        async move {
            let reply = alice.try_login(&alice.password).await?;
            anyhow::ensure!(reply.status == StatusCode::OK, "{reply:?}");
            Ok(())
        }
    })
    .await?;
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let alice = alice.clone();
        running.spawn(async move { alice.try_login("not the secret").await });
    }
    let (mut judged, mut refused) = (0, 0);
    while let Some(reply) = running.join_next().await {
        let reply = reply??;
        judged += u32::from(reply.status == StatusCode::UNAUTHORIZED);
        refused += u32::from(is_throttled(&reply));
    }
    assert_eq!((judged, refused), (5, 45));
    Ok(())
}

#[tokio::test]
async fn grpc_says_when_to_try_again_and_json_and_http_know_the_same_attempts() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    let mut grpc = server.grpc().await?;
    let mut guess = async || {
        let request = auth::LoginRequest {
            email: alice.email.clone(),
            password: "not the secret".to_owned(),
        };
        grpc.login(request).await.err().context("signed in")
    };
    for _ in 0..5 {
        assert_eq!(guess().await?.code(), tonic::Code::Unauthenticated);
    }
    let refused = guess().await?;
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    let details = refused.get_error_details();
    let reason = details.error_info().map(|info| info.reason.as_str());
    assert_eq!(reason, Some("rate_limited"));
    let delay = details.retry_info().and_then(|info| info.retry_delay);
    assert!(delay.is_some_and(|delay| !delay.is_zero() && delay <= Duration::from_secs(1)));

    let body = json!({ "email": alice.email, "password": "not the secret" });
    let reply = server.grpc_json().post("/sso/login", &body).await?;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reply.header("retry-after"), "1");
    assert!(is_throttled(&alice.try_login("not the secret").await?));
    Ok(())
}

#[tokio::test]
async fn guesses_of_the_current_password_are_throttled() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    let change = async || {
        let body = json!({ "current_password": "wrong", "new_password": "a new secret" });
        let token = Some(alice.access.as_str());
        let path = "/auth/password";
        server
            .http
            .bearer(Method::POST, path, token, &body.to_string())
            .await
    };
    for _ in 0..5 {
        assert_eq!(change().await?.code(), "invalid_credentials");
    }
    assert!(is_throttled(&change().await?));
    Ok(())
}

/// Asks until it is refused.
async fn asked_too_often(http: &Http, path: &str) -> Result<Reply> {
    for _ in 0..1000 {
        let reply = http.get(path, None).await?;
        if reply.status == StatusCode::TOO_MANY_REQUESTS {
            return Ok(reply);
        }
    }
    anyhow::bail!("never refused")
}

#[tokio::test]
async fn an_address_that_asks_a_route_too_often_is_refused_there_and_nowhere_else() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__THROTTLE__REQUESTS_PER_SECOND", 20)
        .set("SSO__THROTTLE__GRPC_REQUESTS_PER_SECOND", 20);
    let server = site.serve().await?;
    let (one, other) = (from(&server.http, 1), from(&server.http, 2));
    let refused = asked_too_often(&one, "/auth/healthz").await?;
    assert!(is_throttled(&refused), "{refused:?}");
    let body = refused.json();
    assert_eq!(body["status"], "Error");
    assert_eq!(body["request_id"], refused.header("x-request-id"));
    let info = one.get("/auth/info", None).await?;
    assert_eq!(info.status, StatusCode::UNAUTHORIZED);
    let healthy = other.get("/auth/healthz", None).await?;
    assert_eq!(healthy.status, StatusCode::OK);
    // What no route takes is one route.
    for number in 0..20 {
        one.get(&format!("/nothing/{number}"), None).await?;
    }
    assert!(is_throttled(&asked_too_often(&one, "/nothing/else").await?));

    let grpc = server.grpc_json().from_address([127, 0, 3, 1].into());
    let refused = asked_too_often(&grpc, "/sw/doc.json").await?;
    assert!(!refused.header("retry-after").is_empty());
    let mut grpc = server.grpc().await?;
    let ask = auth::ValidateRequest {
        token: "x".to_owned(),
    };
    let mut codes = Vec::new();
    for _ in 0..40 {
        codes.extend(grpc.validate(ask.clone()).await.err().map(|s| s.code()));
    }
    assert_eq!(codes.first(), Some(&tonic::Code::Unauthenticated));
    assert!(codes.contains(&tonic::Code::ResourceExhausted), "{codes:?}");
    assert!(
        server
            .admin
            .metric::<f64>(r#"sso_throttled_total{reason="address"}"#)
            .await?
            > 0.0
    );
    let counted = r#"sso_grpc_requests_total{service="auth.Auth",method="Validate",code="RESOURCE_EXHAUSTED"}"#;
    assert!(server.admin.metric::<f64>(counted).await? > 0.0);
    Ok(())
}

#[tokio::test]
async fn what_is_throttled_is_counted_by_its_rule() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__THROTTLE__REGISTRATION_CONFLICTS", 2);
    let server = site.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    for reason in [
        "account_network",
        "account",
        "network",
        "registration",
        "address",
    ] {
        let series = format!(r#"sso_throttled_total{{reason="{reason}"}}"#);
        assert!(
            server.admin.metric::<f64>(&series).await?.abs() < f64::EPSILON,
            "{reason}"
        );
    }
    for _ in 0..7 {
        alice.try_login("not the secret").await?;
    }
    let body = json!({ "email": alice.email, "password": alice.password });
    for expected in [409, 409, 429] {
        let reply = server.http.post("/auth/registration", &body).await?;
        assert_eq!(reply.status.as_u16(), expected);
    }
    for (series, expected) in [
        (r#"sso_throttled_total{reason="account_network"}"#, 2.0),
        (r#"sso_throttled_total{reason="registration"}"#, 1.0),
        (r#"sso_logins_total{outcome="rate_limited"}"#, 2.0),
        (r#"sso_logins_total{outcome="invalid_credentials"}"#, 5.0),
        (r#"sso_registrations_total{outcome="rate_limited"}"#, 1.0),
    ] {
        let found = server.admin.metric::<f64>(series).await?;
        assert!((found - expected).abs() < f64::EPSILON, "{series} {found}");
    }
    Ok(())
}

#[tokio::test]
async fn a_refusal_costs_no_hash_and_no_floor() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__LOGIN__FAILURE_FLOOR", "2s")
        .set("SSO__THROTTLE__LOGIN_FREE_ATTEMPTS", 1)
        .set("SSO__THROTTLE__LOGIN_LONGEST_DELAY", "10m");
    let server = site.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    assert_eq!(
        alice.try_login("not the secret").await?.status,
        StatusCode::UNAUTHORIZED
    );
    let hashes = r#"sso_hash_duration_seconds_count{algorithm="argon2id"}"#;
    let before = server.admin.metric::<f64>(hashes).await?;
    let asked = Instant::now();
    assert!(is_throttled(&alice.try_login("not the secret").await?));
    assert!(asked.elapsed() < Duration::from_millis(500));
    assert!((server.admin.metric::<f64>(hashes).await? - before).abs() < f64::EPSILON);
    Ok(())
}

#[tokio::test]
async fn without_limits_nobody_is_refused() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__THROTTLE__ENABLED", false)
        .set("SSO__THROTTLE__REQUESTS_PER_SECOND", 1)
        .set("SSO__THROTTLE__GRPC_REQUESTS_PER_SECOND", 1);
    let server = site.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    for _ in 0..200 {
        let reply = alice.try_login("not the secret").await?;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    }
    Ok(())
}

/// What every test and every migration of users may do from one address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_registrations_from_one_address_are_no_flood() -> Result<()> {
    let site: Site = site()?;
    let server = site.serve().await?;
    let http = server.http.clone();
    rounds(1000, 32, |number| {
        let http = http.clone();
        async move {
            Persona::register(&http, &format!("user{number}")).await?;
            Ok(())
        }
    })
    .await
}
