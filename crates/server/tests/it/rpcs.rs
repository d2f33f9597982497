//! `sso.v1.Keys`, `Audit` and `Users.Delete` of the real binary, as an administrator and as services.

use anyhow::{Context, Result};
use http::Method;
use serde_json::{Value, json};
use sso_core::Scope;
use sso_testkit::{
    http::Reply,
    persona::{
        self, Persona,
        v1::{self, audit_client::AuditClient, keys_client::KeysClient},
    },
    process::{Server, Site},
};
use tonic::{Code, Request};

use crate::{
    keys::{header, published},
    support::{callers, eventually, site, token_of, unique, validate},
};

/// A server whose callers have one scope each, and an administrator.
async fn served() -> Result<(Site, Server, Persona)> {
    let mut site = site()?;
    site.set("SSO__GRPC__CALLERS", callers());
    let server = site.serve().await?;
    let mut root = Persona::register(&server.http, "root").await?;
    site.run_ok(&["user", "set-admin", &root.email])?;
    root.login().await?;
    Ok((site, server, root))
}

async fn post(server: &Server, who: (&str, &str), path: &str, body: Value) -> Result<Reply> {
    let headers = [("content-type", "application/json"), who];
    let json = server.grpc_json();
    json.send(Method::POST, path, &headers, body.to_string())
        .await
}

/// As the administrator.
async fn as_root(server: &Server, root: &Persona, path: &str, body: Value) -> Result<Reply> {
    let bearer = format!("Bearer {}", root.access);
    post(server, ("authorization", &bearer), path, body).await
}

/// As the service that has this scope.
async fn as_service(server: &Server, scope: Scope, path: &str, body: Value) -> Result<Reply> {
    post(server, ("x-caller-token", &token_of(scope)), path, body).await
}

/// The status, the reason, and the bad fields.
fn refusal(reply: &Reply) -> (u16, String, Vec<String>) {
    let body = reply.json();
    let details = body["details"].as_array().cloned().unwrap_or_default();
    let reason = details.iter().find_map(|detail| detail["reason"].as_str());
    let violations = details
        .iter()
        .filter_map(|detail| detail["fieldViolations"].as_array())
        .flatten();
    let fields = violations.map(|bad| {
        let member = |name: &str| bad[name].as_str().unwrap_or_default().to_owned();
        format!("{} {}", member("field"), member("reason"))
    });
    (
        reply.status.as_u16(),
        reason.unwrap_or_default().to_owned(),
        fields.collect(),
    )
}

fn list<'v>(answer: &'v Value, name: &str) -> Result<&'v Vec<Value>> {
    answer[name]
        .as_array()
        .with_context(|| format!("no {name} in {answer}"))
}

fn strings(items: &[Value], name: &str) -> Vec<String> {
    let text = |item: &Value| item[name].as_str().unwrap_or_default().to_owned();
    items.iter().map(text).collect()
}

const KEYS: &str = "/sso.v1.Keys";

#[tokio::test]
async fn an_administrator_rotates_and_retires_keys_and_their_tokens_end() -> Result<()> {
    let (site, server, mut root) = served().await?;
    let call = async |root: &Persona, method: &str, body: Value| {
        as_root(&server, root, &format!("{KEYS}/{method}"), body).await
    };
    let first = call(&root, "List", json!({})).await?.json();
    let first = list(&first, "keys")?.clone();
    assert_eq!(strings(&first, "use"), ["access", "refresh"]);
    assert_eq!(strings(&first, "state"), ["signing", "signing"]);
    let old = header(&root.access, "kid")?;
    assert_eq!(first[0]["keyId"], json!(old));
    assert_eq!(first[0]["retiredAt"], Value::Null);

    let last = call(&root, "Retire", json!({ "keyId": old })).await?;
    assert_eq!(refusal(&last).0, 400);
    assert_eq!(refusal(&last).1, "last_key");

    let made = call(&root, "Rotate", json!({ "use": "access", "now": true })).await?;
    assert_eq!(made.status, 200, "{made:?}");
    let made = made.json();
    let made = list(&made, "keys")?;
    assert_eq!(
        (strings(made, "use"), strings(made, "state")),
        (vec!["access".to_owned()], vec!["next".to_owned()])
    );
    let new = strings(made, "keyId").remove(0);
    eventually("the new key is published", async || {
        Ok(published(&server).await?.contains(&new))
    })
    .await?;
    let before = root.access.clone();
    while header(&root.access, "kid")? != new {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        assert_eq!(root.refresh().await?.status, 200);
    }
    assert_eq!(root.at(&server.http).info().await?.status, 200);

    let ended = call(&root, "Retire", json!({ "keyId": old })).await?;
    assert_eq!(
        (ended.status.as_u16(), ended.header("x-revocation")),
        (200, "everywhere")
    );
    assert_eq!(ended.json()["key"]["state"], "retired");
    assert!(ended.json()["key"]["retiredAt"].is_string());
    let over = server.http.get("/auth/info", Some(&before)).await?;
    assert_eq!(over.status, 401, "{over:?}");
    assert!(!published(&server).await?.contains(&old));

    let log = site.run_ok(&["audit", "--output", "json", "--actor", &root.email])?;
    let log: Vec<Value> = serde_json::from_str(&log)?;
    let told = strings(&log, "action");
    assert_eq!(told[..2], ["key_retire", "key_rotate"], "{told:?}");
    assert_eq!(log[0]["detail"], format!("access key {old}, EdDSA"));
    assert_eq!(log[1]["detail"], format!("access key {new}, EdDSA"));
    Ok(())
}

#[tokio::test]
async fn keys_are_not_for_services_and_bad_input_is_named() -> Result<()> {
    let (_site, server, root) = served().await?;
    for scope in Scope::ALL {
        for (method, body) in [
            ("List", json!({})),
            ("Rotate", json!({})),
            ("Retire", json!({ "keyId": "x" })),
        ] {
            let path = format!("{KEYS}/{method}");
            let reply = as_service(&server, scope, &path, body).await?;
            assert_eq!(refusal(&reply), (403, "forbidden".to_owned(), vec![]));
        }
    }
    for (method, body, expected) in [
        ("Rotate", json!({ "use": "both" }), (400, "invalid_use")),
        ("Rotate", json!({ "now": "yes" }), (400, "invalid_type")),
        ("Rotate", json!({ "use": 7 }), (400, "invalid_type")),
        ("Retire", json!({}), (400, "required")),
        ("Retire", json!({ "keyId": ["x"] }), (400, "invalid_type")),
        (
            "Retire",
            json!({ "keyId": "x".repeat(9_000) }),
            (404, "not_found"),
        ),
        (
            "Retire",
            json!({ "keyId": "' OR 1=1 --" }),
            (404, "not_found"),
        ),
    ] {
        let reply = as_root(&server, &root, &format!("{KEYS}/{method}"), body.clone()).await?;
        let (status, reason, _) = refusal(&reply);
        assert_eq!((status, &*reason), expected, "{method} {body}");
    }
    let mut keys = KeysClient::new(persona::channel(server.grpc_address).await?);
    let mut request = Request::new(v1::RetireKeyRequest::default());
    let bearer = format!("Bearer {}", root.access).parse()?;
    request.metadata_mut().insert("authorization", bearer);
    let refused = keys.retire(request).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::InvalidArgument, "key_id is required")
    );
    let stranger = keys.list(v1::ListKeysRequest {}).await.unwrap_err();
    assert_eq!(stranger.code(), Code::Unauthenticated);
    assert!(stranger.message().contains("administrator's access token"));
    Ok(())
}

const AUDIT: &str = "/sso.v1.Audit/List";

#[tokio::test]
async fn the_audit_log_is_read_in_pages_by_whom_by_what_and_by_when() -> Result<()> {
    let (site, server, root) = served().await?;
    let ask = async |body: Value| as_service(&server, Scope::AuditRead, AUDIT, body).await;
    let alice = Persona::register(&server.http, "alice").await?;
    for command in ["disable", "enable", "end-sessions"] {
        site.run_ok(&["user", command, &alice.email])?;
    }
    let actions = async |body: Value| {
        let reply = ask(body).await?;
        assert_eq!(reply.status, 200, "{reply:?}");
        anyhow::Ok(strings(list(&reply.json(), "records")?, "action"))
    };
    let of_alice = ["sessions_end", "user_enable", "user_disable", "register"];
    assert_eq!(actions(json!({ "userId": alice.id })).await?, of_alice);
    assert_eq!(actions(json!({ "email": alice.email })).await?, of_alice);
    let both = json!({ "userId": alice.id, "actor": "operator", "action": "user_disable" });
    assert_eq!(actions(both).await?, ["user_disable"]);
    let own = json!({ "actor": alice.id, "result": "success" });
    assert_eq!(actions(own).await?, ["register"]);
    assert_eq!(
        actions(json!({ "actor": alice.email })).await?,
        ["register"]
    );
    for nothing in [
        json!({ "userId": alice.id, "result": "refused" }),
        json!({ "userId": alice.id, "actor": "service:shop" }),
        json!({ "until": "2020-01-01T00:00:00Z" }),
        json!({ "since": "2999-01-01T00:00:00Z" }),
    ] {
        assert_eq!(actions(nothing).await?, [""; 0]);
    }

    // The same pages for an administrator, one record each.
    let (mut cursor, mut told) = (String::new(), Vec::new());
    loop {
        let body = json!({ "userId": alice.id, "limit": 1, "cursor": cursor });
        let page = as_root(&server, &root, AUDIT, body).await?.json();
        let records = list(&page, "records")?;
        assert_eq!(records.len(), 1);
        assert_eq!(records[0]["userId"], json!(alice.id));
        told.extend(strings(records, "action"));
        page["nextCursor"]
            .as_str()
            .context("no cursor")?
            .clone_into(&mut cursor);
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(told, of_alice);
    let page = ask(json!({ "userId": alice.id, "limit": 1 })).await?.json();
    let record = &page["records"][0];
    assert_eq!(record["actor"], "operator");
    assert!(
        record["agent"]
            .as_str()
            .context("no agent")?
            .contains("uid")
    );
    assert!(!page.to_string().contains(&alice.email), "{page}");
    Ok(())
}

#[tokio::test]
async fn a_filter_of_the_audit_log_that_is_none_is_named_and_a_foreign_cursor_refused() -> Result<()>
{
    let (_site, server, _root) = served().await?;
    Persona::register(&server.http, &unique()).await?;
    let ask = async |body: Value| as_service(&server, Scope::AuditRead, AUDIT, body).await;
    let every = json!({
        "userId": "x", "actor": "nobody", "action": "y", "result": "z", "limit": 1001,
        "cursor": "AAAA", "since": "yesterday",
    });
    let (status, reason, mut fields) = refusal(&ask(every).await?);
    fields.sort();
    assert_eq!((status, &*reason), (400, "invalid_request"));
    assert_eq!(
        fields,
        [
            "action invalid_action",
            "actor invalid_actor",
            "cursor invalid_cursor",
            "limit out_of_range",
            "result invalid_result",
            "since invalid_type",
            "user_id invalid_id",
        ]
    );
    let two = json!({ "userId": "01932c07-9d2f-7cc4-8f7e-31b5d1a2a001", "email": "a@b.example" });
    assert_eq!(refusal(&ask(two).await?).2, ["user_id invalid_request"]);
    let nobody = refusal(&ask(json!({ "email": "nobody@example.com" })).await?);
    assert_eq!((nobody.0, &*nobody.1), (404, "not_found"));
    let nobody = refusal(&ask(json!({ "actor": "nobody@example.com" })).await?);
    assert_eq!((nobody.0, &*nobody.1), (404, "not_found"));
    let mut audit = AuditClient::new(persona::channel(server.grpc_address).await?);
    let mut request = Request::new(v1::ListAuditRequest {
        since: Some(prost_types::Timestamp {
            seconds: i64::MAX,
            nanos: -1,
        }),
        ..v1::ListAuditRequest::default()
    });
    let token = token_of(Scope::AuditRead).parse()?;
    request.metadata_mut().insert("x-caller-token", token);
    let refused = audit.list(request).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (
            Code::InvalidArgument,
            "since must be a time of the years 1 to 9999"
        )
    );

    // A cursor is good for its own list only, and nobody can make one.
    let cursor_of = async |body: Value| {
        let page = ask(body).await?.json();
        let cursor = page["nextCursor"].as_str().context("no cursor")?;
        anyhow::ensure!(!cursor.is_empty(), "{page}");
        Ok(cursor.to_owned())
    };
    let of_all = cursor_of(json!({ "limit": 1 })).await?;
    let next = ask(json!({ "limit": 1, "cursor": of_all })).await?;
    assert_eq!(next.status, 200, "{next:?}");
    let of_users = {
        let body = json!({ "limit": 1 });
        let page = as_service(&server, Scope::UsersAdmin, "/sso.v1.Users/List", body).await?;
        page.json()["nextCursor"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    for foreign in [
        json!({ "cursor": of_all, "result": "success" }),
        json!({ "cursor": of_all, "actor": "operator" }),
        json!({ "cursor": of_all, "since": "2020-01-01T00:00:00Z" }),
        json!({ "cursor": of_users }),
        json!({ "cursor": format!("{of_all}A") }),
    ] {
        let (status, reason, _) = refusal(&ask(foreign.clone()).await?);
        assert_eq!((status, &*reason), (400, "invalid_cursor"), "{foreign}");
    }
    Ok(())
}

#[tokio::test]
async fn a_user_is_deleted_over_the_wire_and_his_tokens_are_over() -> Result<()> {
    let (site, server, root) = served().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    let delete = async |body: Value| {
        as_service(&server, Scope::UsersAdmin, "/sso.v1.Users/Delete", body).await
    };
    let gone = delete(json!({ "userId": alice.id })).await?;
    assert_eq!(
        (gone.status.as_u16(), gone.header("x-revocation")),
        (200, "everywhere")
    );
    assert_eq!(gone.json(), json!({ "userId": alice.id }));
    assert_eq!(alice.info().await?.code(), "token_revoked");
    assert_eq!(alice.use_refresh_token(&alice.refresh).await?.status, 401);
    let mut grpc = server.grpc().await?;
    let mut request = Request::new(validate(&alice.access));
    let token = token_of(Scope::Auth).parse()?;
    request.metadata_mut().insert("x-caller-token", token);
    let over = grpc.validate(request).await.unwrap_err();
    assert_eq!(over.code(), Code::Unauthenticated);
    let again = refusal(&delete(json!({ "userId": alice.id })).await?);
    assert_eq!((again.0, &*again.1), (404, "not_found"));

    // The address is free, the id is not; an administrator can delete himself.
    let new = Persona::register(&server.http, "alice").await?;
    assert_ne!(new.id, alice.id);
    let body = json!({ "userId": root.id });
    let reply = as_root(&server, &root, "/sso.v1.Users/Delete", body).await?;
    assert_eq!(reply.status, 200, "{reply:?}");
    let path = "/sso.v1.Users/List";
    let reply = as_root(&server, &root, path, json!({})).await?;
    assert_eq!(refusal(&reply).1, "token_revoked");
    let log = site.run_ok(&["audit", "--action", "user_delete", "--output", "json"])?;
    let log: Vec<Value> = serde_json::from_str(&log)?;
    assert_eq!(strings(&log, "user_id"), [root.id, alice.id]);
    assert_eq!(log[1]["actor_name"], "users-admin");
    Ok(())
}
