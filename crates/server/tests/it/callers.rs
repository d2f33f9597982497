//! Callers of the services' port, as an operator writes them down.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use http::Method;
use serde_json::{Value, json};
use sso_core::Scope;
use sso_testkit::{http::Reply, persona::Persona, process::Server};
use tonic::{Code, Request};

use crate::support::{
    admin_call, callers, digest_of, eventually, site, token_of, unique, validate,
};

async fn post(server: &Server, path: &str, headers: &[(&str, &str)]) -> Result<Reply> {
    let headers = [&[("content-type", "application/json")], headers].concat();
    let json = server.grpc_json();
    json.send(Method::POST, path, &headers, "{}").await
}

fn reason(reply: &Reply) -> String {
    let body = reply.json();
    let details = body["details"].as_array().into_iter().flatten();
    let reason = details
        .into_iter()
        .find_map(|detail| detail["reason"].as_str());
    reason.unwrap_or_default().to_owned()
}

#[tokio::test]
async fn callers_of_the_file_are_known_by_their_tokens_in_both_forms() -> Result<()> {
    let mut site = site()?;
    let digest = digest_of("a random token");
    let file = site.folder().join("sso.toml");
    let text = format!(
        "[grpc]\nrequire_caller = true\n\n\
         [[grpc.callers]]\nname = 'shop'\ntoken_sha256 = '{digest}'\nscopes = ['auth']\n"
    );
    fs::write(&file, text)?;
    site.set("SSO_CONFIG", file.display());
    let server = site.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    let mut grpc = server.grpc().await?;

    let refused = grpc.validate(validate(&alice.access)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    for (token, code) in [
        ("another token", Code::Unauthenticated),
        ("a random token", Code::Ok),
    ] {
        let mut request = Request::new(validate(&alice.access));
        request
            .metadata_mut()
            .insert("x-caller-token", token.parse()?);
        let answer = grpc.validate(request).await;
        assert_eq!(
            answer.map_or_else(|s| s.code(), |_| Code::Ok),
            code,
            "{token}"
        );
    }

    let path = "/auth.Auth/Validate";
    let missing = post(&server, path, &[]).await?;
    assert_eq!(
        (missing.status.as_u16(), &*reason(&missing)),
        (401, "caller_required")
    );
    let known = [("x-caller-token", "a random token")];
    let users = post(&server, "/sso.v1.Users/List", &known).await?;
    assert_eq!(
        (users.status.as_u16(), &*reason(&users)),
        (403, "forbidden")
    );
    let short = post(&server, "/sso/validate", &known).await?;
    assert_eq!((short.status.as_u16(), &*reason(&short)), (400, "required"));
    // The frontends' port knows nothing of callers.
    assert_eq!(alice.info().await?.status, 200);
    let log = site.log()?;
    for secret in ["a random token", "another token", &digest] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    let shown = site.run_ok(&["config", "show"])?;
    assert!(
        shown.contains("shop") && !shown.contains(&digest),
        "{shown}"
    );
    Ok(())
}

#[tokio::test]
async fn off_loopback_strangers_are_refused_and_the_log_says_why() -> Result<()> {
    let mut site = site()?;
    let port = sso_testkit::process::free_port()?;
    site.set("SSO__GRPC__LISTEN", format!("0.0.0.0:{port}"));
    let server = site.serve().await?;
    let local = sso_testkit::http::Http::new(([127, 0, 0, 1], port).into());
    let reply = local.post("/sso/login", &json!({})).await?;
    assert_eq!(
        (reply.status.as_u16(), &*reason(&reply)),
        (401, "caller_required")
    );
    let health = local
        .post("/grpc.health.v1.Health/Check", &json!({}))
        .await?;
    assert_eq!(health.json(), json!({ "status": "SERVING" }));
    assert!(site.log()?.contains("grpc.callers is empty"));
    drop(server);

    site.set("SSO__GRPC__REQUIRE_CALLER", false);
    let _server = site.serve().await?;
    let reply = local.post("/sso/login", &json!({})).await?;
    assert_eq!(
        (reply.status.as_u16(), &*reason(&reply)),
        (400, "invalid_request")
    );
    Ok(())
}

#[tokio::test]
async fn an_administrators_token_opens_sso_v1_until_the_command_line_takes_his_role() -> Result<()>
{
    let site = site()?;
    let server = site.serve().await?;
    let list = async |who: &Persona| {
        let bearer = format!("Bearer {}", who.access);
        let headers = [("authorization", bearer.as_str())];
        let reply = post(&server, "/sso.v1.Users/List", &headers).await?;
        Ok::<_, anyhow::Error>((reply.status.as_u16(), reason(&reply)))
    };
    let mut root = Persona::register(&server.http, "root").await?;
    assert_eq!(list(&root).await?, (403, "forbidden".to_owned()));
    site.run_ok(&["user", "set-admin", "root@example.com"])?;
    root.login().await?;
    assert_eq!(list(&root).await?.0, 200);
    site.run_ok(&["user", "set-admin", "root@example.com", "--revoke"])?;
    assert_eq!(list(&root).await?, (401, "token_revoked".to_owned()));
    root.refresh().await?;
    assert_eq!(list(&root).await?, (403, "forbidden".to_owned()));

    site.run_ok(&["user", "set-admin", "root@example.com"])?;
    root.login().await?;
    assert_eq!(list(&root).await?.0, 200);
    let ended = site.run_ok(&["user", "end-sessions", "root@example.com"])?;
    assert!(ended.contains("obeyed everywhere"), "{ended}");
    assert_eq!(list(&root).await?, (401, "token_revoked".to_owned()));
    assert_eq!(root.refresh().await?.code(), "token_revoked");
    Ok(())
}

#[tokio::test]
async fn a_cursor_outlives_a_restart_and_no_change() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__GRPC__CALLERS", callers());
    let server = site.serve().await?;
    for _ in 0..3 {
        Persona::register(&server.http, &unique()).await?;
    }
    let list = "/sso.v1.Users/List";
    let ask = json!({ "limit": 2 });
    let first = admin_call(&server, Scope::UsersAdmin, list, &ask).await?;
    let cursor = first["nextCursor"]
        .as_str()
        .context("no cursor")?
        .to_owned();
    drop(server);
    let server = site.serve().await?;
    let ask = json!({ "limit": 2, "cursor": cursor });
    let rest = admin_call(&server, Scope::UsersAdmin, list, &ask).await?;
    assert_eq!(rest["users"].as_array().map(Vec::len), Some(1));
    assert_eq!(rest["nextCursor"], "");

    let token = token_of(Scope::UsersAdmin);
    let headers = [
        ("content-type", "application/json"),
        ("x-caller-token", &token),
    ];
    for forged in [&cursor[1..], &format!("{cursor}A"), "AAAA"] {
        let body = json!({ "cursor": forged }).to_string();
        let json = server.grpc_json();
        let reply = json.send(Method::POST, list, &headers, body).await?;
        assert_eq!(
            (reply.status.as_u16(), &*reason(&reply)),
            (400, "invalid_cursor")
        );
    }
    Ok(())
}

/// Events are listed, and moved, by the command line and by `sso.v1.Events` alike.
#[tokio::test]
async fn a_failed_event_is_skipped_or_resent_beside_the_server() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__GRPC__CALLERS", callers());
    fs::write(site.folder().join("password"), "correct horse battery")?;
    for name in ["alice", "bob"] {
        let email = format!("{name}@example.com");
        site.run_ok(&["user", "add", &email, "--password-file", "password"])?;
    }
    let list = |arguments: &[&str]| {
        let all = [&["events", "list", "--output", "json"], arguments].concat();
        Ok::<Value, anyhow::Error>(serde_json::from_str(&site.run_ok(&all)?)?)
    };
    let events = list(&[])?;
    let events = events.as_array().context("no array")?.clone();
    assert_eq!(events.len(), 2);
    let members: Vec<_> = events[0].as_object().context("no object")?.keys().collect();
    assert_eq!(
        members,
        ["attempts", "created_at", "event_id", "status", "user_id"]
    );
    assert_eq!(events[0]["status"], "inProgress");
    let ids: Vec<_> = events
        .iter()
        .filter_map(|event| event["event_id"].as_str())
        .collect();
    fail(&site, &ids).await?;
    assert_eq!(
        list(&["--status", "Failed"])?.as_array().map(Vec::len),
        Some(2)
    );
    assert_eq!(list(&["--limit", "1"])?[0]["event_id"], ids[0]);
    assert_eq!(list(&["--status", "Success"])?, json!([]));

    let skipped = site.run_ok(&["events", "skip", ids[0]])?;
    assert!(skipped.contains("skipped"), "{skipped}");
    let again = site.run(&["events", "resend", ids[0]])?;
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("was skipped, which is final"));
    assert_eq!(site.run(&["events", "skip", "x"])?.status.code(), Some(64));
    assert_eq!(
        site.run(&["events", "list", "--status", "failed"])?
            .status
            .code(),
        Some(64)
    );

    let server = site.serve().await?;
    let resend = json!({ "eventId": ids[1] });
    let path = "/sso.v1.Events/Resend";
    let answer = admin_call(&server, Scope::EventsAdmin, path, &resend).await?;
    assert_eq!(answer["event"]["status"], "inProgress");
    eventually("the resent event is delivered", async || {
        Ok(list(&["--status", "Success"])?[0]["event_id"] == ids[1])
    })
    .await?;
    let failed = list(&["--status", "Failed"])?;
    assert_eq!(failed[0]["event_id"], ids[0]);
    assert_eq!(failed[0]["skipped"], true);

    let log = site.run_ok(&["audit", "--output", "json"])?;
    let log: Vec<Value> = serde_json::from_str(&log)?;
    for (action, actor, id) in [
        ("event_skip", "operator", ids[0]),
        ("event_resend", "service", ids[1]),
    ] {
        let told = log.iter().find(|record| record["action"] == action);
        let told = told.with_context(|| format!("no {action}"))?;
        assert_eq!(told["actor"], actor);
        assert_eq!(told["detail"], format!("event {id}"));
        assert!(told["user_id"].is_string(), "{told}");
    }
    Ok(())
}

/// Has these events fail, as a sink that refuses them would.
async fn fail(site: &sso_testkit::process::Site, ids: &[&str]) -> Result<()> {
    use sso_core::{
        ports::store::{Delivered, OutboxStore},
        values::EventId,
    };
    use sso_store_sqlite::{Limits, Role, Settings, SqliteStore};
    let store = SqliteStore::open(&Settings {
        folder: site.data_dir(),
        role: Role::Command,
        migrate: true,
        limits: Limits {
            patience: Duration::from_secs(10),
            ..Limits::default()
        },
    })?;
    for id in ids {
        let failed = [(EventId::parse(id)?, Delivered::Failed)];
        store
            .settle_events(&failed, sso_testkit::clock::START)
            .await?;
    }
    Ok(())
}

#[test]
fn an_impossible_caller_is_a_configuration_problem_that_names_no_value() -> Result<()> {
    let mut site = site()?;
    site.set(
        "SSO__GRPC__CALLERS",
        "[{ name = 'shop', token_sha256 = 'hunter2', scopes = ['auth'] }]",
    );
    let output = site.run(&["serve"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("grpc.callers (SSO__GRPC__CALLERS): caller 1: token_sha256"));
    assert!(!said.contains("hunter2"), "{said}");
    Ok(())
}
