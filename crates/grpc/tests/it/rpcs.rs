//! Every rpc of `auth.Auth`, as a compiled client sees it.

use std::time::Duration;

use anyhow::Result;
use sso_core::{
    Caller,
    ports::store::{Freshness, Liveness},
    usecases::administer::{self, Change},
    values::{Email, SessionId, ShardSet, UserId, Version},
};
use sso_testkit::{
    clock::START,
    persona::auth::{IsAdminRequest, LoginRequest, LogoutRequest, RefreshRequest, RegisterRequest},
};
use tonic::{Code, Request};

use crate::harness::{EMAIL, PASSWORD, Port, Refused, string};

#[tokio::test]
async fn a_user_registers_signs_in_goes_on_and_is_validated_and_logs_out() -> Result<()> {
    let port = Port::start().await?;
    let mut grpc = port.grpc.clone();
    let user = port.register().await?;
    let tokens = port.login().await?;
    assert_eq!(port.validate(&tokens.access_token).await?.user_id, user);

    let refresh_token = tokens.refresh_token.clone();
    let next = grpc
        .refresh(RefreshRequest { refresh_token })
        .await?
        .into_inner();
    assert_ne!(next.refresh_token, tokens.refresh_token);
    assert_eq!(port.validate(&next.access_token).await?.user_id, user);

    let token = next.refresh_token;
    let answer = grpc.logout(LogoutRequest { token }).await?;
    assert!(answer.get_ref().success);
    assert_eq!(
        answer.metadata().get("sso-revocation").unwrap(),
        "everywhere"
    );
    for token in [&tokens.access_token, &next.access_token] {
        let refused = Refused::of(&port.validate(token).await.unwrap_err());
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::Unauthenticated, "token_revoked")
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_reach_of_a_revocation_is_a_trailer() -> Result<()> {
    let port = Port::start().await?;
    port.register().await?;
    let token = port.login().await?.access_token;
    let answer = port
        .raw("/auth.Auth/Logout", &[], 0, &string(1, token.as_bytes()))
        .await?;
    assert_eq!(answer.trailers["sso-revocation"], "everywhere");
    assert_eq!(answer.trailers["grpc-status"], "0");
    assert!(!answer.headers.contains_key("sso-revocation"));
    Ok(())
}

#[tokio::test]
async fn validate_tells_everything_that_a_good_token_says() -> Result<()> {
    let port = Port::start().await?;
    let user = UserId::parse(&port.register().await?)?;
    let tokens = port.login().await?;
    let answer = port.validate(&tokens.access_token).await?;
    assert!(answer.success && !answer.is_admin);
    assert_eq!(answer.user_id, user.to_string());
    let expires_at = START + Duration::from_mins(15);
    assert_eq!(
        answer.expires_at.unwrap().seconds,
        expires_at.unix_timestamp()
    );
    let row = port.app.user(user).await?;
    assert_eq!(Version::new(answer.version), row.version);
    let session = SessionId::parse(&answer.session_id)?;
    assert_eq!(
        port.app.sso.store.session(session).await?.unwrap().user,
        user
    );

    let admin =
        administer::change(&port.app.sso, &Caller::operator(), user, Change::GrantAdmin).await;
    assert!(admin.is_ok());
    let token = port.login().await?.access_token;
    assert!(port.validate(&token).await?.is_admin);
    Ok(())
}

#[tokio::test]
async fn a_duplicate_is_already_exists_in_any_case() -> Result<()> {
    let port = Port::start().await?;
    port.register().await?;
    let request = RegisterRequest {
        email: EMAIL.to_uppercase(),
        password: PASSWORD.to_owned(),
    };
    let status = port.grpc.clone().register(request).await.unwrap_err();
    let refused = Refused::of(&status);
    assert_eq!(refused.code, Code::AlreadyExists);
    assert_eq!(refused.message, "user already exists");
    assert_eq!(refused.reason, "user_exists");
    Ok(())
}

#[tokio::test]
async fn a_wrong_address_and_a_wrong_password_have_one_answer() -> Result<()> {
    let port = Port::start().await?;
    port.register().await?;
    let login = async |email: &str, password: &str| {
        let request = LoginRequest {
            email: email.to_owned(),
            password: password.to_owned(),
        };
        let status = port.grpc.clone().login(request).await.unwrap_err();
        (Refused::of(&status), status.details().to_vec())
    };
    let wrong = login(EMAIL, "another secret").await;
    let unknown = login("bob@example.com", PASSWORD).await;
    assert_eq!(wrong, unknown);
    assert_eq!(wrong.0.code, Code::Unauthenticated);
    assert_eq!(wrong.0.reason, "invalid_credentials");
    Ok(())
}

#[tokio::test]
async fn a_refused_token_is_unauthenticated_with_its_reason_and_never_no_success() -> Result<()> {
    let port = Port::start().await?;
    port.register().await?;
    let tokens = port.login().await?;
    let forged = format!("{}x", tokens.access_token);
    for (token, reason) in [
        ("x", "invalid_token"),
        (forged.as_str(), "invalid_token"),
        (&tokens.refresh_token, "wrong_token_type"),
    ] {
        let refused = Refused::of(&port.validate(token).await.unwrap_err());
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::Unauthenticated, reason)
        );
    }
    let mut grpc = port.grpc.clone();
    let refresh_token = tokens.access_token.clone();
    let status = grpc
        .refresh(RefreshRequest { refresh_token })
        .await
        .unwrap_err();
    assert_eq!(Refused::of(&status).reason, "wrong_token_type");
    let token = forged;
    let status = grpc.logout(LogoutRequest { token }).await.unwrap_err();
    assert_eq!(Refused::of(&status).reason, "invalid_token");

    port.app.clock.advance(Duration::from_mins(16));
    port.app.sso.revocations.beat().await?;
    let status = port.validate(&tokens.access_token).await.unwrap_err();
    assert_eq!(Refused::of(&status).reason, "token_expired");
    Ok(())
}

#[tokio::test]
async fn without_a_lease_nothing_is_validated_and_the_client_is_told_when_to_ask_again()
-> Result<()> {
    let port = Port::start().await?;
    port.register().await?;
    let token = port.login().await?.access_token;
    port.app.clock.advance(Duration::from_secs(11));
    let status = port.validate(&token).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let details = tonic_types::StatusExt::get_error_details(&status);
    assert_eq!(
        details.retry_info().unwrap().retry_delay,
        Some(Duration::from_secs(1))
    );
    Ok(())
}

#[tokio::test]
async fn is_admin_is_about_the_right_and_whether_it_may_be_used() -> Result<()> {
    let port = Port::start().await?;
    let user_id = port.register().await?;
    let ask = async |user_id: &str| {
        let user_id = user_id.to_owned();
        port.grpc.clone().is_admin(IsAdminRequest { user_id }).await
    };
    let change = async |change| {
        let user = UserId::parse(&user_id)?;
        let changed = administer::change(&port.app.sso, &Caller::operator(), user, change).await;
        anyhow::ensure!(changed.is_ok(), "not changed");
        Ok(())
    };
    assert!(!ask(&user_id).await?.into_inner().is_admin);
    change(Change::GrantAdmin).await?;
    assert!(ask(&user_id).await?.into_inner().is_admin);
    change(Change::Disable).await?;
    assert!(!ask(&user_id).await?.into_inner().is_admin);

    let unknown = ask("01932c07-9d2f-7cc4-8f7e-31b5d1a2a001")
        .await
        .unwrap_err();
    assert_eq!(Refused::of(&unknown).reason, "not_found");
    assert_eq!(unknown.code(), Code::NotFound);
    Ok(())
}

#[tokio::test]
async fn the_origin_of_a_call_is_kept_with_the_session_and_the_event() -> Result<()> {
    let port = Port::start().await?;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut register = Request::new(RegisterRequest {
        email: EMAIL.to_owned(),
        password: PASSWORD.to_owned(),
    });
    register
        .metadata_mut()
        .insert("traceparent", trace.parse()?);
    port.grpc.clone().register(register).await?;
    let events = port.app.sso.store.pending_events(ShardSet::ALL, 10).await?;
    assert_eq!(events[0].traceparent.as_deref(), Some(trace));

    let token = port.login().await?.access_token;
    let session = SessionId::parse(&port.validate(&token).await?.session_id)?;
    let session = port.app.sso.store.session(session).await?.unwrap();
    assert_eq!(session.address, Some([127, 0, 0, 1].into()));
    assert!(session.agent.unwrap().as_str().starts_with("tonic/"));
    Ok(())
}

#[tokio::test]
async fn registering_opens_no_session() -> Result<()> {
    let port = Port::start().await?;
    let user = UserId::parse(&port.register().await?)?;
    let email = Email::parse(EMAIL).unwrap();
    let row = port
        .app
        .sso
        .store
        .user_by_email(&email, Freshness::Primary)
        .await?;
    assert_eq!(row.unwrap().id, user);
    let live = port
        .app
        .sso
        .store
        .live_sessions(user, Liveness::at(START))
        .await?;
    assert!(live.is_empty());
    Ok(())
}
