//! Who may call what: each line of the table is called in each role, on one's own things and on
//! another's, and what came back is held against the table.

mod frontends;
mod services;
mod wire;

use std::{collections::BTreeMap, fmt::Write};

use anyhow::{Context, Result};
use sso_core::{
    Scope,
    access::{self, Port, RULES},
};

use crate::support::{site, token_of};

/// What is written of an rpc or a route: who was answered what.
#[derive(Default)]
struct Line(BTreeMap<String, Vec<String>>);

impl Line {
    fn add(&mut self, who: &str, answer: String) {
        self.0.entry(answer).or_default().push(who.to_owned());
    }

    /// Each answer, and who got it.
    fn write(&self, out: &mut String, what: &str) -> std::fmt::Result {
        writeln!(out, "{what}")?;
        for (answer, who) in &self.0 {
            writeln!(out, "  {answer}: {}", who.join(", "))?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn every_route_of_the_documents_has_a_rule() -> Result<()> {
    let server = site()?.serve().await?;
    let http = server.http.get("/swagger/doc.json", None).await?.json();
    let grpc = server.grpc_json().get("/sw/doc.json", None).await?.json();
    let mut without = Vec::new();
    for (port, document) in [(Port::Http, http), (Port::Grpc, grpc)] {
        let paths = document["paths"].as_object().context("no paths")?;
        assert!(!paths.is_empty());
        for (path, operations) in paths {
            // The short JSON paths are other names of `auth.Auth`.
            if port == Port::Grpc && path.starts_with("/sso/") {
                continue;
            }
            for method in operations.as_object().context("no operations")?.keys() {
                let method = method.to_uppercase();
                if access::of_route(port, &method, path).is_none() {
                    without.push(format!("{method} {path}"));
                }
            }
        }
    }
    assert!(without.is_empty(), "write a rule for {without:?}");
    Ok(())
}

#[tokio::test]
async fn the_frontends_port_lets_in_whom_the_table_names() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__HTTP__EXPOSE_METRICS", true)
        .set("SSO__GRPC__CALLERS", crate::support::callers());
    let server = site.serve().await?;
    let mut matrix = String::new();
    for rule in RULES.iter().filter(|rule| rule.port == Port::Http) {
        let line = frontends::call_as_everybody(&server, rule).await?;
        line.write(&mut matrix, &format!("{} {}", rule.method, rule.path))?;
    }
    insta::assert_snapshot!("frontends", matrix);
    Ok(())
}

#[tokio::test]
async fn the_services_port_lets_in_whom_the_table_names_where_callers_are_required() -> Result<()> {
    insta::assert_snapshot!("services_required", services_port(true).await?);
    Ok(())
}

#[tokio::test]
async fn the_services_port_lets_in_whom_the_table_names_where_nobody_need_be_known() -> Result<()> {
    insta::assert_snapshot!("services_open", services_port(false).await?);
    Ok(())
}

async fn services_port(require_caller: bool) -> Result<String> {
    let mut site = site()?;
    site.set("SSO__GRPC__CALLERS", crate::support::callers())
        .set("SSO__GRPC__REQUIRE_CALLER", require_caller);
    let server = site.serve().await?;
    let port = services::ServicesPort::open(&server, require_caller).await?;
    let mut matrix = String::new();
    for rule in RULES.iter().filter(|rule| rule.port == Port::Grpc) {
        let line = port.call_as_everybody(rule).await?;
        line.write(&mut matrix, &format!("{} {}", rule.method, rule.path))?;
    }
    Ok(matrix)
}

#[tokio::test]
async fn the_operators_port_is_open_to_whoever_reaches_it() -> Result<()> {
    let server = site()?.serve().await?;
    for rule in RULES.iter().filter(|rule| rule.port == Port::Admin) {
        assert_eq!(rule.access, access::Access::Anyone);
        let method = rule.method.parse()?;
        let body = r#"{"level":"info"}"#;
        let reply = server.admin.bearer(method, rule.path, None, body).await?;
        assert!(reply.status.is_success(), "{rule:?}: {reply:?}");
    }
    Ok(())
}

/// The header of the service that has this scope.
fn caller_header(scope: Scope) -> (&'static str, String) {
    ("x-caller-token", token_of(scope))
}
