//! `sso` without any setting.

use anyhow::Result;
use http::{Method, StatusCode};
use serde_json::Value;
use sso_testkit::{http::Http, process::Site};

use crate::support::SSO;

/// The first clients' lines, as they stand in their README (all with the password `test`).
#[tokio::test]
async fn the_first_clients_lines_work_as_they_are_written() -> Result<()> {
    let site = Site::development(SSO)?;
    let server = site.serve_with(&[]).await?;
    let json = [("content-type", "application/json")];
    let post =
        async |path: &str, body: String| server.http.send(Method::POST, path, &json, body).await;
    let who = r#"{"email":"test@test.com","password":"test"}"#.to_owned();

    let early = post("/auth/login", who.clone()).await?;
    assert_eq!(
        (early.status, early.code().as_str()),
        (StatusCode::UNAUTHORIZED, "invalid_credentials")
    );

    let registered = post("/auth/registration", who.clone()).await?;
    assert_eq!(registered.status, StatusCode::CREATED);
    let again = post("/auth/registration", who.clone()).await?;
    assert_eq!(
        (again.status, again.text("error").as_str()),
        (StatusCode::CONFLICT, "user already exists")
    );

    let login = post("/auth/login", who).await?;
    assert_eq!(login.status, StatusCode::OK);
    assert_eq!(login.text("status"), "Success");
    assert_eq!(login.text("user_id"), registered.text("user_id"));

    let token = login.text("access_token");
    let logout = post("/auth/logout", format!(r#"{{"token":"{token}"}}"#)).await?;
    assert_eq!(logout.status, StatusCode::OK);
    assert_eq!(logout.json(), serde_json::json!({ "status": "Success" }));
    assert_eq!(logout.header("x-revocation"), "everywhere");
    assert_eq!(
        server.http.get("/auth/info", Some(&token)).await?.code(),
        "token_revoked"
    );
    what_the_admin_listener_has_is_here(&server.http).await
}

/// The contract has it on port 8000 in this mode.
async fn what_the_admin_listener_has_is_here(http: &Http) -> Result<()> {
    assert_eq!(http.get("/metrics", None).await?.status, StatusCode::OK);
    let level = http.get("/log-level", None).await?;
    assert_eq!(
        (level.status, &*level.text("status")),
        (StatusCode::OK, "Success")
    );
    let profile = http.get("/profile?seconds=1", None).await?;
    assert_eq!(profile.json()["seconds"], 1);
    let unknown = http.get("/log-levels", None).await?;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    Ok(())
}

#[tokio::test]
async fn it_says_where_it_listens_and_what_is_relaxed() -> Result<()> {
    let mut site = Site::new(SSO)?;
    site.set("SSO__HTTP__EXPOSE_METRICS", true);
    let _server = site.serve_with(&["serve", "--dev"]).await?;
    let log = site.log()?;
    for part in [
        "development mode",
        "/swagger/index.html",
        "/sw/",
        "passwords",
    ] {
        assert!(
            log.to_lowercase().contains(part),
            "{part} is not in:\n{log}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn another_host_is_misdirected() -> Result<()> {
    let site = Site::new(SSO)?;
    let server = site.serve_with(&["serve", "--dev"]).await?;
    for port in [&server.http, &server.grpc_json()] {
        let reply = port
            .send(
                Method::GET,
                "/auth/healthz",
                &[("host", "evil.example")],
                "",
            )
            .await?;
        assert_eq!(reply.status, StatusCode::MISDIRECTED_REQUEST);
        let reply = port
            .send(Method::GET, "/", &[("host", "localhost:1")], "")
            .await?;
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
    }
    let reply = server
        .http
        .send(Method::GET, "/auth/info", &[("host", "evil.example")], "")
        .await?;
    assert_eq!(reply.code(), "misdirected_request");
    Ok(())
}

#[tokio::test]
async fn a_setting_ends_development_mode() -> Result<()> {
    let site = Site::new(SSO)?;
    let server = site.serve().await?;
    let body = serde_json::json!({ "email": "a@example.com", "password": "test" });
    let weak = server.http.post("/auth/registration", &body).await?;
    assert_eq!(
        (weak.status, weak.code().as_str()),
        (StatusCode::BAD_REQUEST, "weak_password")
    );
    let metrics = server.http.get("/metrics", None).await?;
    assert_eq!(metrics.status, StatusCode::NOT_FOUND);
    assert_ne!(metrics.json(), Value::Null);
    assert_eq!(
        server.admin.get("/metrics", None).await?.status,
        StatusCode::OK
    );
    Ok(())
}
