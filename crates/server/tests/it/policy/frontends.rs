//! Every route for frontends, in every role.

use anyhow::{Context, Result};
use http::Method;
use serde_json::{Value, json};
use sso_core::{
    Scope,
    access::{Access, Rule},
};
use sso_testkit::{http::Reply, persona::Persona, process::Server};

use super::Line;
use crate::support::{admin_call, unique};

/// Who asks. Each is somebody new for each call.
const ROLES: [&str; 6] = [
    "stranger",
    "user",
    "user of another's",
    "admin",
    "admin of another's",
    "ended session",
];

pub(super) async fn call_as_everybody(server: &Server, rule: &Rule) -> Result<Line> {
    let mut line = Line::default();
    for who in ROLES {
        let about_another = who.ends_with("another's");
        if about_another && !rule.path.contains("{id}") {
            continue;
        }
        let (reply, let_in) = call(server, rule, who, about_another).await?;
        let expected = match rule.access {
            Access::Anyone => true,
            // An administrator's rights are those of `sso.v1`.
            Access::Own => who == "user" || who == "admin",
            other => anyhow::bail!("{other:?} is no rule of this port"),
        };
        assert_eq!(let_in, expected, "{who} {rule:?} {reply:?}");
        line.add(who, format!("{} {}", reply.status.as_u16(), reply.code()));
    }
    Ok(line)
}

async fn call(
    server: &Server,
    rule: &Rule,
    who: &str,
    about_another: bool,
) -> Result<(Reply, bool)> {
    let mut subject = Persona::register(&server.http, &unique()).await?;
    let other = Persona::register(&server.http, &unique()).await?;
    if who.starts_with("admin") {
        let body = json!({ "userId": subject.id, "isAdmin": true });
        let path = "/sso.v1.Users/SetAdmin";
        admin_call(server, Scope::UsersAdmin, path, &body).await?;
        subject.login().await?;
    }
    // A second session, to be ended by the first.
    let (access, refresh) = (subject.access.clone(), subject.refresh.clone());
    subject.login().await?;
    let target = if about_another { &other } else { &subject };
    let path = match rule.path {
        "/auth/sessions/{id}" => format!("/auth/sessions/{}", newest_session(target).await?),
        "/swagger/{file}" => "/swagger/index.html".to_owned(),
        path => path.to_owned(),
    };
    let body = body(rule.path, &subject);
    if who == "ended session" {
        other.logout(&refresh, false).await?;
    }
    let token = (who != "stranger").then_some(access.as_str());
    let method: Method = rule.method.parse()?;
    let reply = server
        .http
        .bearer(method, &path, token, &body.to_string())
        .await?;
    let let_in = reply.status.is_success() || reply.status.is_redirection();
    Ok((reply, let_in))
}

async fn newest_session(of: &Persona) -> Result<String> {
    let list = of.sessions().await?.json();
    let id = list["sessions"][0]["id"].as_str();
    Ok(id.context("no session")?.to_owned())
}

/// What makes the route succeed for whom it lets in.
fn body(path: &str, subject: &Persona) -> Value {
    match path {
        "/auth/registration" => json!({
            "email": format!("{}@example.com", unique()),
            "password": "correct horse battery",
        }),
        "/auth/login" => json!({ "email": subject.email, "password": subject.password }),
        "/auth/refresh" | "/auth/logout" => json!({ "token": subject.refresh }),
        "/auth/password" => json!({
            "current_password": subject.password,
            "new_password": "another staple entirely",
        }),
        _ => json!({}),
    }
}
