//! `sso.v1`, as a service with the scope calls it, over gRPC and as JSON.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sso_core::{
    Scope,
    ports::store::{Delivered, Liveness},
    values::{EventId, UserId},
};
use sso_testkit::persona::{
    self,
    v1::{self, events_client::EventsClient, users_client::UsersClient},
};
use tonic::{
    Code, Request, Response,
    metadata::{Ascii, MetadataValue},
    service::interceptor::InterceptedService,
    transport::Channel,
};

use crate::harness::{EMAIL, PASSWORD, Port, Refused, token_of};

type Known = InterceptedService<Channel, Caller>;

#[derive(Clone)]
struct Caller(MetadataValue<Ascii>);

impl tonic::service::Interceptor for Caller {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, tonic::Status> {
        let token = self.0.clone();
        request.metadata_mut().insert("x-caller-token", token);
        Ok(request)
    }
}

async fn users(port: &Port) -> Result<UsersClient<Known>> {
    let caller = Caller(token_of(Scope::UsersAdmin).parse()?);
    let channel = persona::channel(port.address).await?;
    Ok(UsersClient::with_interceptor(channel, caller))
}

async fn events(port: &Port) -> Result<EventsClient<Known>> {
    let caller = Caller(token_of(Scope::EventsAdmin).parse()?);
    let channel = persona::channel(port.address).await?;
    Ok(EventsClient::with_interceptor(channel, caller))
}

/// A JSON call by a service with this scope.
async fn json_call(port: &Port, scope: Scope, path: &str, body: Value) -> Result<(u16, Value)> {
    let headers = [("x-caller-token", &*token_of(scope))];
    let reply = port.post_with(path, &headers, body.to_string()).await?;
    Ok((reply.status.as_u16(), reply.json()))
}

fn trailer<T>(answer: &Response<T>) -> &str {
    let reach = answer.metadata().get("sso-revocation");
    reach
        .and_then(|reach| reach.to_str().ok())
        .unwrap_or_default()
}

#[tokio::test]
async fn a_user_is_created_shown_and_listed() -> Result<()> {
    let port = Port::start().await?;
    let mut users = users(&port).await?;
    let request = v1::CreateUserRequest {
        email: "Ada@example.org".to_owned(),
        password: PASSWORD.to_owned(),
        name: "Ada".to_owned(),
        birthday: "1990-12-10".to_owned(),
        is_admin: true,
    };
    let created = users.create(request.clone()).await?.into_inner().user;
    let created = created.context("no user")?;
    assert_eq!(
        (&*created.email, &*created.name, &*created.birthday),
        ("Ada@example.org", "Ada", "1990-12-10")
    );
    assert!(created.is_admin && !created.disabled && created.created_at.is_some());
    let again = users.create(request).await.unwrap_err();
    assert_eq!(
        (again.code(), &*Refused::of(&again).reason),
        (Code::AlreadyExists, "user_exists")
    );
    for (user_id, email) in [(&*created.user_id, ""), ("", "ada@EXAMPLE.org")] {
        let request = v1::GetUserRequest {
            user_id: user_id.to_owned(),
            email: email.to_owned(),
        };
        let shown = users.get(request).await?.into_inner().user;
        assert_eq!(shown.as_ref(), Some(&created));
    }
    let listed = users.list(v1::ListUsersRequest::default()).await?;
    let listed = listed.into_inner();
    assert_eq!(listed.users, std::slice::from_ref(&created));
    assert_eq!(listed.next_cursor, "");

    let body = json!({ "userId": created.user_id });
    let (status, shown) = json_call(&port, Scope::UsersAdmin, "/sso.v1.Users/Get", body).await?;
    assert_eq!(
        (status, &shown["user"]["email"]),
        (200, &json!("Ada@example.org"))
    );
    assert_eq!(shown["user"]["version"], json!("1"));
    assert!(!shown.to_string().contains("argon2"), "{shown}");
    Ok(())
}

#[tokio::test]
async fn bad_fields_are_all_named() -> Result<()> {
    let port = Port::start().await?;
    let call = async |path: &str, body: Value| {
        let (status, body) = json_call(&port, Scope::UsersAdmin, path, body).await?;
        assert_eq!(status, 400, "{path} {body}");
        Ok::<_, anyhow::Error>(Refused::of_json(&body).fields)
    };
    let named = |fields: &[(&str, &str)]| -> Vec<_> {
        let owned = fields
            .iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
        owned.collect()
    };
    for (path, body, expected) in [
        ("Get", json!({}), &[("user_id", "required")][..]),
        ("Get", json!({"userId": "x"}), &[("user_id", "invalid_id")]),
        ("Get", json!({"email": "x"}), &[("email", "invalid_email")]),
        (
            "Get",
            json!({"email": "x", "userId": "y"}),
            &[("email", "invalid_email"), ("user_id", "invalid_request")],
        ),
        (
            "List",
            json!({"limit": 1001, "cursor": "x"}),
            &[("limit", "out_of_range"), ("cursor", "invalid_cursor")],
        ),
        ("List", json!({"limit": -1}), &[("limit", "invalid_type")]),
        (
            "Create",
            json!({"name": "\u{7}", "birthday": "yesterday"}),
            &[
                ("email", "required"),
                ("password", "required"),
                ("name", "invalid_name"),
                ("birthday", "invalid_birthday"),
            ],
        ),
        (
            "SetAdmin",
            json!({"isAdmin": true}),
            &[("user_id", "required")],
        ),
        (
            "SetPassword",
            json!({"userId": 1}),
            &[("user_id", "invalid_type"), ("password", "required")],
        ),
        (
            "Disable",
            json!({"user_id": ""}),
            &[("user_id", "required")],
        ),
        (
            "EndSessions",
            json!({"user_id": []}),
            &[("user_id", "invalid_type")],
        ),
        ("ListSessions", json!({}), &[("user_id", "required")]),
        ("Enable", json!({}), &[("user_id", "required")]),
        ("Delete", json!({}), &[("user_id", "required")]),
        (
            "Delete",
            json!({"userId": "x"}),
            &[("user_id", "invalid_id")],
        ),
    ] {
        let path = format!("/sso.v1.Users/{path}");
        assert_eq!(
            call(&path, body.clone()).await?,
            named(expected),
            "{path} {body}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_takes_access_away_does_and_says_how_far_it_has_reached() -> Result<()> {
    let port = Port::start().await?;
    let user_id = port.register().await?;
    let mut users = users(&port).await?;
    let id = || user_id.clone();

    let token = port.login().await?.access_token;
    let ended = users
        .end_sessions(v1::EndSessionsRequest { user_id: id() })
        .await?;
    assert_eq!(trailer(&ended), "everywhere");
    assert!(port.validate(&token).await.is_err());

    let token = port.login().await?.access_token;
    let request = v1::SetAdminRequest {
        user_id: id(),
        is_admin: true,
    };
    let granted = users.set_admin(request).await?;
    assert_eq!(trailer(&granted), "everywhere");
    assert!(granted.into_inner().user.context("no user")?.is_admin);
    assert!(port.validate(&token).await.is_err());
    let request = v1::SetAdminRequest {
        user_id: id(),
        is_admin: false,
    };
    let after = users.set_admin(request).await?.into_inner().user;
    assert!(!after.context("no user")?.is_admin);

    let request = v1::SetPasswordRequest {
        user_id: "x".to_owned(),
        password: "s".to_owned(),
    };
    let refused = users.set_password(request).await.err().context("taken")?;
    let bad = tonic_types::StatusExt::get_details_bad_request(&refused).context("no details")?;
    let bad = bad.field_violations.iter();
    let named: Vec<_> = bad.map(|bad| bad.field.as_str()).collect();
    assert_eq!(named, ["user_id", "password"]);
    let request = v1::SetPasswordRequest {
        user_id: id(),
        password: "a new secret of alice".to_owned(),
    };
    assert_eq!(trailer(&users.set_password(request).await?), "everywhere");
    assert!(port.login().await.is_err());

    let disabled = users
        .disable(v1::DisableUserRequest { user_id: id() })
        .await?;
    assert_eq!(trailer(&disabled), "everywhere");
    assert!(disabled.into_inner().user.context("no user")?.disabled);
    let enabled = users
        .enable(v1::EnableUserRequest { user_id: id() })
        .await?;
    assert_eq!(trailer(&enabled), "everywhere");
    assert!(!enabled.into_inner().user.context("no user")?.disabled);

    let headers = [("x-caller-token", &*token_of(Scope::UsersAdmin))];
    let body = json!({ "userId": user_id }).to_string();
    let reply = port
        .post_with("/sso.v1.Users/EndSessions", &headers, body)
        .await?;
    assert_eq!(
        (reply.status.as_u16(), reply.header("x-revocation")),
        (200, "everywhere")
    );
    Ok(())
}

#[tokio::test]
async fn the_live_sessions_of_a_user_are_listed() -> Result<()> {
    let port = Port::start().await?;
    let user_id = port.register().await?;
    port.login().await?;
    port.app.advance(std::time::Duration::from_secs(1)).await?;
    let token = port.login().await?.access_token;
    let newest = port.validate(&token).await?.session_id;
    let mut users = users(&port).await?;
    let request = v1::ListSessionsRequest { user_id };
    let sessions = users.list_sessions(request).await?.into_inner().sessions;
    assert_eq!(sessions.len(), 2);
    assert_eq!(sessions[0].session_id, newest);
    assert_eq!(sessions[0].address, "127.0.0.1");
    assert!(sessions[0].agent.starts_with("tonic/"));
    assert!(sessions[0].expires_at.is_some() && sessions[0].last_used_at.is_some());
    Ok(())
}

#[tokio::test]
async fn nobody_is_not_found_by_any_method() -> Result<()> {
    let port = Port::start().await?;
    let body = json!({
        "userId": "01932c07-9d2f-7cc4-8f7e-31b5d1a2a001",
        "password": PASSWORD,
    });
    for method in [
        "Get",
        "SetAdmin",
        "Disable",
        "Enable",
        "SetPassword",
        "EndSessions",
        "ListSessions",
        "Delete",
    ] {
        let path = format!("/sso.v1.Users/{method}");
        let (status, answer) = json_call(&port, Scope::UsersAdmin, &path, body.clone()).await?;
        assert_eq!(
            (status, &*Refused::of_json(&answer).reason),
            (404, "not_found"),
            "{path}"
        );
    }
    let event = json!({ "eventId": "01932c07-9d2f-7cc4-8f7e-31b5d1a2a001" });
    for method in ["Resend", "Skip"] {
        let path = format!("/sso.v1.Events/{method}");
        let (status, answer) = json_call(&port, Scope::EventsAdmin, &path, event.clone()).await?;
        assert_eq!(
            (status, &*Refused::of_json(&answer).reason),
            (404, "not_found"),
            "{path}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn pages_go_on_by_cursor_and_a_forged_one_is_refused() -> Result<()> {
    let port = Port::start().await?;
    for name in ["a", "b", "c"] {
        port.app
            .register(name)
            .await
            .map_err(|f| anyhow::anyhow!(f.message))?;
    }
    let mut users = users(&port).await?;
    let mut list = async |cursor: &str| {
        let cursor = cursor.to_owned();
        let request = v1::ListUsersRequest { limit: 2, cursor };
        users.list(request).await.map(Response::into_inner)
    };
    let first = list("").await?;
    assert_eq!(first.users.len(), 2);
    let rest = list(&first.next_cursor).await?;
    assert_eq!((rest.users.len(), &*rest.next_cursor), (1, ""));
    let forged = list("bm90IG9uZSBvZiBvdXJz").await.unwrap_err();
    assert_eq!(
        (forged.code(), &*Refused::of(&forged).reason),
        (Code::InvalidArgument, "invalid_cursor")
    );

    // Nor is one of another list.
    let mut events = events(&port).await?;
    let request = v1::ListEventsRequest {
        cursor: first.next_cursor,
        ..Default::default()
    };
    let other = events.list(request).await.unwrap_err();
    assert_eq!(Refused::of(&other).reason, "invalid_cursor");
    Ok(())
}

#[tokio::test]
async fn a_failed_event_is_listed_resent_and_skipped() -> Result<()> {
    let port = Port::start().await?;
    let user_id = port.register().await?;
    let mut events = events(&port).await?;
    let mut list = async |status: &str| {
        let request = v1::ListEventsRequest {
            status: status.to_owned(),
            ..Default::default()
        };
        let answer = events.list(request).await;
        answer.map(|answer| answer.into_inner().events)
    };
    let all = list("").await?;
    assert_eq!(all, list("inProgress").await?);
    assert_eq!(all.len(), 1);
    let event = all.into_iter().next().context("no event")?;
    assert_eq!(
        (
            &event.user_id,
            &*event.r#type,
            &*event.status,
            event.attempts
        ),
        (&user_id, "registration", "inProgress", 0)
    );
    let id = EventId::parse(&event.event_id)?;
    let now = port.app.sso.clock.now();
    let fail = async || {
        let failed = [(id, Delivered::Failed)];
        port.app.sso.store.settle_events(&failed, now).await
    };
    fail().await?;
    assert_eq!(list("Failed").await?.len(), 1);
    let unknown = list("failed").await.unwrap_err();
    assert_eq!(Refused::of(&unknown).reason, "invalid_status");

    let mut events = self::events(&port).await?;
    let event_id = || event.event_id.clone();
    let ask = |event_id| v1::ResendEventRequest { event_id };
    let resent = events.resend(ask(event_id())).await?.into_inner().event;
    assert_eq!(resent.context("no event")?, event);
    let again = events.resend(ask(event_id())).await.unwrap_err();
    assert_eq!(
        (again.code(), &*Refused::of(&again).reason),
        (Code::FailedPrecondition, "event_not_failed")
    );
    fail().await?;
    let skip = v1::SkipEventRequest {
        event_id: event_id(),
    };
    let skipped = events.skip(skip).await?.into_inner().event;
    let skipped = skipped.context("no event")?;
    assert_eq!((&*skipped.status, skipped.skipped), ("Failed", true));
    Ok(())
}

#[tokio::test]
async fn a_service_that_is_known_leaves_no_trace_of_its_token_in_the_session() -> Result<()> {
    let port = Port::start().await?;
    let user_id = port.register().await?;
    let headers = [("x-caller-token", &*token_of(Scope::Auth))];
    let body = json!({ "email": EMAIL, "password": PASSWORD }).to_string();
    let reply = port.post_with("/sso/login", &headers, body).await?;
    assert_eq!(reply.status, 200);
    let user = UserId::parse(&user_id)?;
    let alive = Liveness::at(port.app.sso.clock.now());
    let sessions = port.app.sso.store.live_sessions(user, alive).await?;
    assert!(!format!("{sessions:?}").contains("the token of"));
    Ok(())
}
