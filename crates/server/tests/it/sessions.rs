//! Refresh tokens and sessions, by many users at once.

use std::collections::HashSet;

use anyhow::{Result, ensure};
use futures_util::future::join_all;
use http::{Method, StatusCode};
use sso_testkit::persona::Persona;

use crate::support::{rounds, site, validate};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_parallel_refreshes_one_rotates_and_all_get_the_same_token() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let mut alice = Persona::register(&server.http, "alice").await?;
    let first = alice.refresh.clone();

    let replies = join_all((0..50).map(|_| alice.use_refresh_token(&first))).await;
    let mut tokens = HashSet::new();
    for reply in replies {
        let reply = reply?;
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
        tokens.insert(reply.text("refresh_token"));
    }
    assert_eq!(tokens.len(), 1, "one rotation, one token");

    alice.refresh = tokens.into_iter().next().unwrap_or_default();
    assert_eq!(alice.refresh().await?.status, StatusCode::OK);
    // Two generations old, within the grace: refused without harm.
    assert_eq!(
        alice.use_refresh_token(&first).await?.code(),
        "token_revoked"
    );
    assert_eq!(alice.refresh().await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn a_reused_refresh_token_ends_the_session_after_the_grace() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__SESSIONS__REFRESH_GRACE", "1ms");
    let server = site.serve().await?;
    let mut alice = Persona::register(&server.http, "alice").await?;
    let stolen = alice.refresh.clone();
    assert_eq!(alice.refresh().await?.status, StatusCode::OK);
    assert_eq!(alice.refresh().await?.status, StatusCode::OK);
    assert_eq!(alice.info().await?.status, StatusCode::OK);

    assert_eq!(
        alice.use_refresh_token(&stolen).await?.code(),
        "token_revoked"
    );
    assert_eq!(alice.refresh().await?.code(), "token_revoked");
    assert_eq!(alice.info().await?.code(), "token_revoked");
    let metrics = server.admin.get("/metrics", None).await?;
    assert!(String::from_utf8_lossy(&metrics.bytes).contains("sso_refresh_reuse_total 1"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refresh_against_logout_leaves_no_survivor_in_1000_rounds() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let grpc = server.grpc().await?;
    rounds(1000, 32, |number| {
        let (http, mut grpc) = (server.http.clone(), grpc.clone());
        async move {
            let alice = Persona::register(&http, &format!("alice{number}")).await?;
            let (refreshed, ended) = tokio::join!(
                alice.use_refresh_token(&alice.refresh),
                alice.logout(&alice.access, false)
            );
            let (refreshed, ended) = (refreshed?, ended?);
            ensure!(ended.status == StatusCode::OK, "{ended:?}");
            for refresh in [alice.refresh.clone(), refreshed.text("refresh_token")] {
                let reply = alice.use_refresh_token(&refresh).await?;
                ensure!(
                    reply.status != StatusCode::OK,
                    "a refresh token survived its logout"
                );
            }
            for access in [alice.access.clone(), refreshed.text("access_token")] {
                let valid = grpc.validate(validate(&access)).await;
                ensure!(valid.is_err(), "an access token survived its logout");
            }
            Ok(())
        }
    })
    .await
}

#[tokio::test]
async fn logout_by_either_token_ends_both() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    for by_refresh_token in [false, true] {
        let name = format!("alice-{by_refresh_token}");
        let alice = Persona::register(&server.http, &name).await?;
        let token = if by_refresh_token {
            &alice.refresh
        } else {
            &alice.access
        };
        for _ in 0..2 {
            let reply = alice.logout(token, false).await?;
            assert_eq!(
                (reply.status, reply.header("x-revocation")),
                (StatusCode::OK, "everywhere")
            );
        }
        assert_eq!(alice.info().await?.code(), "token_revoked");
        assert_eq!(
            alice.use_refresh_token(&alice.refresh).await?.code(),
            "token_revoked"
        );
    }
    Ok(())
}

#[tokio::test]
async fn everywhere_and_a_new_password_end_all_sessions() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let mut alice = Persona::register(&server.http, "alice").await?;
    let first = alice.clone();
    alice.login().await?;
    assert_eq!(
        alice.logout(&alice.access, true).await?.status,
        StatusCode::OK
    );
    assert_eq!(first.info().await?.code(), "token_revoked");
    assert_eq!(
        first.use_refresh_token(&first.refresh).await?.code(),
        "token_revoked"
    );

    alice.login().await?;
    let other = alice.clone();
    let old = alice.password.clone();
    let changed = alice.change_password("quite another secret").await?;
    assert_eq!(
        (changed.status, changed.header("x-revocation")),
        (StatusCode::OK, "everywhere")
    );
    assert_eq!(other.info().await?.code(), "token_revoked");
    assert_eq!(
        other.use_refresh_token(&other.refresh).await?.code(),
        "token_revoked"
    );
    assert_eq!(alice.info().await?.status, StatusCode::OK);
    assert_eq!(alice.try_login(&old).await?.code(), "invalid_credentials");
    Ok(())
}

#[tokio::test]
async fn a_user_sees_his_sessions_and_ends_one() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let mut alice = Persona::register(&server.http, "alice").await?;
    let first = alice.clone();
    alice.login().await?;
    let bob = Persona::register(&server.http, "bob").await?;

    let list = server
        .http
        .get("/auth/sessions", Some(&alice.access))
        .await?
        .json();
    let sessions = list["sessions"].as_array().cloned().unwrap_or_default();
    assert_eq!(sessions.len(), 2);
    assert_eq!(
        (&sessions[0]["current"], &sessions[1]["current"]),
        (&true.into(), &false.into())
    );
    assert_eq!(sessions[0]["address"], "127.0.0.1");

    let path = format!(
        "/auth/sessions/{}",
        sessions[1]["id"].as_str().unwrap_or_default()
    );
    let delete = async |who: &Persona, path: &str| {
        server
            .http
            .bearer(Method::DELETE, path, Some(&who.access), "")
            .await
    };
    assert_eq!(delete(&bob, &path).await?.status, StatusCode::NOT_FOUND);
    assert_eq!(
        delete(&bob, "/auth/sessions/nonsense").await?.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(first.info().await?.status, StatusCode::OK);
    assert_eq!(delete(&alice, &path).await?.status, StatusCode::OK);
    assert_eq!(first.info().await?.code(), "token_revoked");
    assert_eq!(alice.info().await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn at_most_max_per_user_sessions_live() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__SESSIONS__MAX_PER_USER", 2);
    let server = site.serve().await?;
    let mut alice = Persona::register(&server.http, "alice").await?;
    let first = alice.clone();
    alice.login().await?;
    assert_eq!(first.info().await?.status, StatusCode::OK);
    alice.login().await?;
    assert_eq!(first.info().await?.code(), "token_revoked");
    assert_eq!(
        first.use_refresh_token(&first.refresh).await?.code(),
        "token_revoked"
    );
    Ok(())
}
