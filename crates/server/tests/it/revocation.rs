//! What the command line takes away beside a running server, and what a restart must not give back.

use std::time::{Duration, Instant};

use anyhow::Result;
use http::StatusCode;
use sso_testkit::persona::Persona;

use crate::support::{site, validate};

#[tokio::test]
async fn what_the_command_line_ends_is_obeyed_when_it_says_so() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let mut grpc = server.grpc().await?;
    let commands: [&[&str]; 3] = [
        &["disable"],
        &["set-admin"],
        &["set-password", "--password-file", "new"],
    ];
    std::fs::write(site.folder().join("new"), "a password of the admin\n")?;
    for (number, command) in commands.iter().enumerate() {
        let alice = Persona::register(&server.http, &format!("alice{number}")).await?;
        assert!(grpc.validate(validate(&alice.access)).await.is_ok());
        let started = Instant::now();
        let mut arguments = vec!["user"];
        arguments.extend(*command);
        arguments.extend([alice.email.as_str()]);
        let said = site.run_ok(&arguments)?;
        assert!(said.contains("everywhere"), "{said}");
        assert!(
            started.elapsed() < Duration::from_secs(1),
            "{:?}",
            started.elapsed()
        );
        let refused = grpc.validate(validate(&alice.access)).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    }
    Ok(())
}

#[tokio::test]
async fn a_disabled_user_is_told_only_with_the_right_password() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let mut alice = Persona::register(&server.http, "alice").await?;
    site.run_ok(&["user", "disable", &alice.email])?;
    assert_eq!(alice.login().await?.code(), "user_disabled");
    assert_eq!(
        alice.try_login("not the secret").await?.code(),
        "invalid_credentials"
    );
    assert_eq!(
        alice.use_refresh_token(&alice.refresh).await?.code(),
        "token_revoked"
    );
    site.run_ok(&["user", "enable", &alice.email])?;
    assert_eq!(
        alice.use_refresh_token(&alice.refresh).await?.code(),
        "token_revoked"
    );
    assert_eq!(alice.login().await?.status, StatusCode::OK);
    assert_eq!(alice.info().await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn a_role_shows_in_the_next_tokens_and_is_gone_with_them() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let mut grpc = server.grpc().await?;
    let mut alice = Persona::register(&server.http, "alice").await?;
    site.run_ok(&["user", "set-admin", &alice.email])?;
    assert_eq!(alice.refresh().await?.status, StatusCode::OK);
    assert!(
        grpc.validate(validate(&alice.access))
            .await?
            .into_inner()
            .is_admin
    );
    assert_eq!(alice.info().await?.json()["is_admin"], true);

    site.run_ok(&["user", "set-admin", &alice.email, "--revoke"])?;
    assert!(grpc.validate(validate(&alice.access)).await.is_err());
    assert_eq!(alice.refresh().await?.status, StatusCode::OK);
    assert!(
        !grpc
            .validate(validate(&alice.access))
            .await?
            .into_inner()
            .is_admin
    );
    Ok(())
}

#[tokio::test]
async fn a_restart_brings_nothing_back() -> Result<()> {
    let site = site()?;
    let mut server = site.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    let mut bob = Persona::register(&server.http, "bob").await?;
    let old_bob = bob.clone();
    let carol = Persona::register(&server.http, "carol").await?;
    assert_eq!(
        alice.logout(&alice.access, false).await?.status,
        StatusCode::OK
    );
    assert_eq!(
        bob.change_password("quite another secret").await?.status,
        StatusCode::OK
    );
    server.kill()?;

    let _server = site.serve().await?;
    assert_eq!(alice.info().await?.code(), "token_revoked");
    assert_eq!(
        alice.use_refresh_token(&alice.refresh).await?.code(),
        "token_revoked"
    );
    assert_eq!(old_bob.info().await?.code(), "token_revoked");
    assert_eq!(bob.info().await?.status, StatusCode::OK);
    assert_eq!(carol.info().await?.status, StatusCode::OK);
    Ok(())
}
