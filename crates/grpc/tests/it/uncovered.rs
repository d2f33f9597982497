//! What answers to a stranger. A new route shows up here, for somebody to think about.

use std::fmt::Write;

use anyhow::Result;
use axum::http::Method;
use serde_json::json;

use crate::harness::Port;

#[tokio::test]
async fn a_stranger_gets_these_answers() -> Result<()> {
    let port = Port::start().await?;
    port.health.set_serving(true);
    let document = sso_grpc::openapi();
    let mut answers = String::new();
    for path in document["paths"]
        .as_object()
        .into_iter()
        .flat_map(|paths| paths.keys())
    {
        let reply = port.http.post(path, &json!({})).await?;
        writeln!(answers, "POST {path} {}", reply.status.as_u16())?;
        if path.contains('.') {
            let raw = port.raw(path, &[], 0, &[]).await?;
            writeln!(answers, "gRPC {path} {:?}", raw.status()?.code())?;
        }
    }
    for path in [
        "/",
        "/metrics",
        "/sw",
        "/sw/",
        "/sw/doc.json",
        "/swagger/doc.json",
    ] {
        let reply = port.http.send(Method::GET, path, &[], "").await?;
        writeln!(answers, "GET {path} {}", reply.status.as_u16())?;
    }
    insta::assert_snapshot!(answers, @r"
    POST /auth.Auth/IsAdmin 400
    gRPC /auth.Auth/IsAdmin InvalidArgument
    POST /auth.Auth/Login 400
    gRPC /auth.Auth/Login InvalidArgument
    POST /auth.Auth/Logout 400
    gRPC /auth.Auth/Logout InvalidArgument
    POST /auth.Auth/Refresh 400
    gRPC /auth.Auth/Refresh InvalidArgument
    POST /auth.Auth/Register 400
    gRPC /auth.Auth/Register InvalidArgument
    POST /auth.Auth/Validate 400
    gRPC /auth.Auth/Validate InvalidArgument
    POST /grpc.health.v1.Health/Check 200
    gRPC /grpc.health.v1.Health/Check Ok
    POST /sso.v1.Audit/List 401
    gRPC /sso.v1.Audit/List Unauthenticated
    POST /sso.v1.Events/List 401
    gRPC /sso.v1.Events/List Unauthenticated
    POST /sso.v1.Events/Resend 401
    gRPC /sso.v1.Events/Resend Unauthenticated
    POST /sso.v1.Events/Skip 401
    gRPC /sso.v1.Events/Skip Unauthenticated
    POST /sso.v1.Keys/List 401
    gRPC /sso.v1.Keys/List Unauthenticated
    POST /sso.v1.Keys/Retire 401
    gRPC /sso.v1.Keys/Retire Unauthenticated
    POST /sso.v1.Keys/Rotate 401
    gRPC /sso.v1.Keys/Rotate Unauthenticated
    POST /sso.v1.Users/Create 401
    gRPC /sso.v1.Users/Create Unauthenticated
    POST /sso.v1.Users/Delete 401
    gRPC /sso.v1.Users/Delete Unauthenticated
    POST /sso.v1.Users/Disable 401
    gRPC /sso.v1.Users/Disable Unauthenticated
    POST /sso.v1.Users/Enable 401
    gRPC /sso.v1.Users/Enable Unauthenticated
    POST /sso.v1.Users/EndSessions 401
    gRPC /sso.v1.Users/EndSessions Unauthenticated
    POST /sso.v1.Users/Get 401
    gRPC /sso.v1.Users/Get Unauthenticated
    POST /sso.v1.Users/List 401
    gRPC /sso.v1.Users/List Unauthenticated
    POST /sso.v1.Users/ListSessions 401
    gRPC /sso.v1.Users/ListSessions Unauthenticated
    POST /sso.v1.Users/SetAdmin 401
    gRPC /sso.v1.Users/SetAdmin Unauthenticated
    POST /sso.v1.Users/SetPassword 401
    gRPC /sso.v1.Users/SetPassword Unauthenticated
    POST /sso/is-admin 400
    POST /sso/login 400
    POST /sso/logout 400
    POST /sso/refresh 400
    POST /sso/register 400
    POST /sso/validate 400
    GET / 404
    GET /metrics 404
    GET /sw 303
    GET /sw/ 200
    GET /sw/doc.json 200
    GET /swagger/doc.json 404
    ");
    Ok(())
}
