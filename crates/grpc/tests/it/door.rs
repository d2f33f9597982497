//! Who is let in, in both forms of the port.

use std::sync::Arc;

use anyhow::Result;
use serde_json::{Value, json};
use sso_core::{Scope, usecases::administer::Change, values::UserId};
use sso_testkit::persona::{self, v1};
use sso_web::{ClientCertificate, listener};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request};

use crate::harness::{Port, Refused, doorkeeper, string, token_of};

const USERS: &str = "/sso.v1.Users/List";
const VALIDATE: &str = "/auth.Auth/Validate";

async fn demanding() -> Result<Port> {
    Port::with(|options| options.doorkeeper = doorkeeper(true)).await
}

/// What a call is answered in both forms: the same.
async fn answer(port: &Port, path: &str, headers: &[(&'static str, &str)]) -> Result<String> {
    let status = port.raw(path, headers, 0, &[]).await?.status()?;
    let grpc = match status.code() {
        Code::Ok => "OK".to_owned(),
        _ => Refused::of(&status).reason,
    };
    let reply = port.post_with(path, headers, "{}").await?;
    let json = if reply.status == 200 {
        "OK".to_owned()
    } else {
        Refused::of_json(&reply.json()).reason
    };
    assert_eq!(grpc, json, "{path} {headers:?}");
    Ok(grpc)
}

#[tokio::test]
async fn a_caller_is_told_apart_before_anything_of_his_message_is_read() -> Result<()> {
    let port = demanding().await?;
    let (auth, users) = (token_of(Scope::Auth), token_of(Scope::UsersAdmin));
    for (path, headers, expected) in [
        (VALIDATE, &[][..], "caller_required"),
        (
            VALIDATE,
            &[("x-caller-token", "nobody's")],
            "caller_required",
        ),
        (VALIDATE, &[("x-caller-token", "")], "caller_required"),
        (VALIDATE, &[("x-caller-token", &users)], "forbidden"),
        (VALIDATE, &[("x-caller-token", &auth)], "required"),
        (USERS, &[], "caller_required"),
        (USERS, &[("x-caller-token", &auth)], "forbidden"),
        (USERS, &[("x-caller-token", &users)], "OK"),
        (USERS, &[("authorization", "Basic eDp5")], "invalid_token"),
        (USERS, &[("authorization", "Bearer x")], "invalid_token"),
    ] {
        assert_eq!(answer(&port, path, headers).await?, expected, "{path}");
    }
    let twice = [("x-caller-token", &*users), ("x-caller-token", &*users)];
    assert_eq!(answer(&port, USERS, &twice).await?, "caller_required");
    // 401 and 403 come before 415 and 400, and after 404, 405 and 413.
    let send = async |path: &str, body: &str, kind: &str| {
        let headers = [("content-type", kind)];
        let method = axum::http::Method::POST;
        let reply = port
            .http
            .send(method, path, &headers, body.to_owned())
            .await?;
        Ok::<_, anyhow::Error>((
            reply.status.as_u16(),
            Refused::of_json(&reply.json()).reason,
        ))
    };
    assert_eq!(send(USERS, "{", "text/plain").await?.1, "caller_required");
    assert_eq!(send("/sso/login", "", "a/b").await?.1, "caller_required");
    let long = ".".repeat(100_000);
    assert_eq!(send(USERS, &long, "application/json").await?.0, 413);
    assert_eq!(send("/sso.v1.Users/Nothing", "{}", "a/b").await?.0, 404);
    let reply = port.http.get(USERS, None).await?;
    assert_eq!(reply.status, 405);
    Ok(())
}

#[tokio::test]
async fn the_status_and_its_http_code_are_those_of_the_contract() -> Result<()> {
    let port = demanding().await?;
    let status = port.raw(USERS, &[], 0, &[]).await?.status()?;
    assert_eq!(status.code(), Code::Unauthenticated);
    let reply = port.post_with(USERS, &[], "{}").await?;
    assert_eq!(reply.status, 401);
    let auth = token_of(Scope::Auth);
    let headers = [("x-caller-token", &*auth)];
    let status = port.raw(USERS, &headers, 0, &[]).await?.status()?;
    assert_eq!(status.code(), Code::PermissionDenied);
    let reply = port.post_with(USERS, &headers, "{}").await?;
    assert_eq!(reply.status, 403);
    Ok(())
}

#[tokio::test]
async fn health_is_open_and_reflection_wants_to_know_who_asks() -> Result<()> {
    let port = demanding().await?;
    let health = "/grpc.health.v1.Health/Check";
    assert_eq!(answer(&port, health, &[]).await?, "OK");
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let refused = port.raw(reflection, &[], 0, &[]).await?.status()?;
    assert_eq!(Refused::of(&refused).reason, "caller_required");
    for scope in Scope::ALL {
        let headers = [("x-caller-token", &*token_of(scope))];
        // `list_services`.
        let list = string(7, b"*");
        let status = port.raw(reflection, &headers, 0, &list).await?.status()?;
        assert_eq!(status.code(), Code::Ok, "{scope}");
    }
    let page = port.http.get("/sw/doc.json", None).await?;
    assert_eq!(page.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_method_that_there_is_not_is_unimplemented_for_strangers_too() -> Result<()> {
    let port = demanding().await?;
    for path in ["/sso.v1.Users/Nothing", "/sso.v1.Nothing/List"] {
        let status = port.raw(path, &[], 0, &[]).await?.status()?;
        assert_eq!(status.code(), Code::Unimplemented, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_verified_client_certificate_is_a_caller() -> Result<()> {
    // As the listener over mutual TLS does: an extension of the request.
    let port = demanding().await?;
    let mut options = sso_grpc::GrpcOptions::new(port.app.sso.clone(), Arc::new(|| "id".into()));
    options.doorkeeper = doorkeeper(true);
    let names = vec!["x".to_owned(), "users:admin.internal".to_owned()];
    let certificate = axum::Extension(ClientCertificate::named(names));
    let router = sso_grpc::router(options).layer(certificate);
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = socket.local_addr()?;
    let shutdown = listener::Shutdown {
        stop: CancellationToken::new(),
        drain: std::time::Duration::ZERO,
    };
    tokio::spawn(listener::serve(
        socket,
        router,
        listener::Limits::default(),
        shutdown,
    ));
    let http = sso_testkit::http::Http::new(address);
    assert_eq!(http.post(USERS, &json!({})).await?.status, 200);
    assert_eq!(http.post(VALIDATE, &json!({})).await?.status, 403);
    Ok(())
}

#[tokio::test]
async fn an_administrator_comes_in_by_his_access_token_until_he_is_one_no_more() -> Result<()> {
    let port = demanding().await?;
    let alice = port.app.register("alice").await.map_err(told)?;
    let user: UserId = alice.user;
    let as_user = format!("Bearer {}", alice.access_token);
    let of_user = [("authorization", &*as_user)];
    assert_eq!(answer(&port, USERS, &of_user).await?, "forbidden");

    let change = async |to| port.app.change(user, to).await.map_err(told);
    change(Change::GrantAdmin).await?;
    let password = sso_testkit::app::password_of("alice");
    let admin = port.app.login("alice", &password).await.map_err(told)?;
    let as_admin = format!("Bearer {}", admin.access_token);
    let of_admin = [("authorization", &*as_admin)];
    assert_eq!(answer(&port, USERS, &of_admin).await?, "OK");

    let mut client = v1::users_client::UsersClient::new(persona::channel(port.address).await?);
    let mut request = Request::new(v1::GetUserRequest {
        user_id: user.to_string(),
        ..Default::default()
    });
    let metadata = request.metadata_mut();
    metadata.insert("authorization", as_admin.parse()?);
    let found = client.get(request).await?.into_inner().user;
    assert!(found.is_some_and(|user| user.is_admin));

    change(Change::TakeAdmin).await?;
    assert_eq!(answer(&port, USERS, &of_admin).await?, "token_revoked");
    Ok(())
}

#[tokio::test]
async fn the_document_says_what_credentials_a_call_takes() -> Result<()> {
    let document = sso_grpc::openapi();
    let operation = |path: &str| document["paths"][path]["post"].clone();
    let schemes = &document["components"]["securitySchemes"];
    assert_eq!(schemes["callerToken"]["name"], "x-caller-token");
    let users = operation(USERS);
    let both = json!([{ "callerToken": [] }, { "bearerAuth": [] }]);
    assert_eq!(users["security"], both);
    let examples = |operation: &Value, code: &str| {
        operation["responses"][code]["content"]["application/json"]["examples"].clone()
    };
    for reason in ["caller_required", "token_revoked"] {
        assert!(examples(&users, "401")[reason].is_object(), "{reason}");
    }
    assert!(examples(&users, "403")["forbidden"].is_object());
    let login = operation("/sso/login");
    assert_eq!(login["security"], json!([{ "callerToken": [] }, {}]));
    assert!(examples(&login, "401")["caller_required"].is_object());
    let health = operation("/grpc.health.v1.Health/Check");
    assert_eq!(health["security"], json!([]));
    Ok(())
}

fn told(failure: sso_core::Failure) -> anyhow::Error {
    anyhow::anyhow!(failure.message)
}
