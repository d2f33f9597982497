//! Spans of requests, as a collector receives them.

use anyhow::{Result, ensure};
use http::Method;
use serde_json::json;
use sso_testkit::{
    http::Reply,
    patience::eventually,
    persona::Persona,
    program::Running,
    servers::{
        Postgres, Proxy,
        collector::{Collector, Span, SpanKind, attribute, hex, is_child},
    },
};

use crate::support::{CALLER, Shop, Store, database};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
/// What is written into the ledger, and nowhere else.
const COMMENT: &str = "for the birthday";
const KEY: &str = "birthday-2027";

/// The service with its collector; its database is on a road that can be cut.
struct World {
    running: Running,
    collector: Collector,
    road: Proxy,
    shop: Shop,
}

impl World {
    async fn start() -> Result<Self> {
        let collector = Collector::start().await?;
        let server = Postgres::shared().await?.node.address();
        let road = Proxy::start(server)?;
        let url = database().await?;
        let url = url.replace(&server.to_string(), &road.address().to_string());
        let endpoint = format!("http://{}", collector.grpc);
        let mut shop = Shop::new(Store::Sqlite).await?;
        shop.loyalty
            .set("database.url", url)
            .set("telemetry.otlp_endpoint", endpoint)
            .set("telemetry.trace_ratio", "1");
        Ok(Self {
            running: shop.loyalty.start().await?,
            collector,
            road,
            shop,
        })
    }

    /// Asks as a service would that has a trace, and does not sample it.
    async fn ask(&self, who: &Persona, method: Method, path: &str, body: &str) -> Result<Reply> {
        let trace = format!("00-{TRACE}-{PARENT}-00");
        let bearer = format!("Bearer {}", who.access);
        let headers = [
            ("authorization", bearer.as_str()),
            ("traceparent", trace.as_str()),
            ("idempotency-key", KEY),
        ];
        let http = &self.running.http;
        http.send(method, path, &headers, body.to_owned()).await
    }

    /// Waits for the span of a request and for that of its statement.
    async fn spans(&self, request: &str, statement: &str) -> Result<(Span, Span)> {
        let request = self.collector.span(request).await?;
        let statement = self.collector.span(statement).await?;
        ensure!(is_child(&statement, &request), "{statement:?} {request:?}");
        Ok((request, statement))
    }
}

/// The trace of whoever calls is linked: anybody can call, and what he says is none of ours.
fn is_request(span: &Span, method: &str, route: &str, status: &str) {
    assert_eq!(span.name, format!("{method} {route}"));
    assert_eq!(span.kind(), SpanKind::Server);
    assert!(span.parent_span_id.is_empty(), "{span:?}");
    assert_ne!(hex(&span.trace_id), TRACE);
    let linked: Vec<_> = span
        .links
        .iter()
        .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
        .collect();
    assert_eq!(linked, [(TRACE.to_owned(), PARENT.to_owned())]);
    for (name, expected) in [
        ("http.request.method", method),
        ("http.route", route),
        ("http.response.status_code", status),
    ] {
        assert_eq!(attribute(span, name).as_deref(), Some(expected), "{name}");
    }
}

fn is_statement(span: &Span, operation: &str, table: &str) {
    assert_eq!(span.kind(), SpanKind::Client);
    for (name, expected) in [
        ("db.system.name", "postgresql"),
        ("db.operation.name", operation),
        ("db.collection.name", table),
    ] {
        assert_eq!(attribute(span, name).as_deref(), Some(expected), "{name}");
    }
}

/// OTLP's number for a span that failed.
fn failed(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == 2)
}

#[tokio::test]
async fn a_request_is_a_span_with_its_statement_and_nothing_secret_or_personal() -> Result<()> {
    let world = World::start().await?;
    let (admin, alice) = (world.shop.admin().await?, world.shop.user("alice").await?);

    let order = json!({"operation": "d", "balance": 5, "comment": COMMENT, "uuid": alice.id});
    let order = order.to_string();
    let reply = world.ask(&admin, Method::POST, "/loyalty", &order).await?;
    ensure!(reply.status == 201, "{reply:?}");
    let (request, statement) = world.spans("POST /loyalty", "INSERT transfers").await?;
    is_request(&request, "POST", "/loyalty", "201");
    is_statement(&statement, "INSERT", "transfers");
    ensure!(!failed(&request) && !failed(&statement), "{request:?}");

    let path = format!("/loyalty/{}", alice.id);
    let reply = world.ask(&alice, Method::GET, &path, "").await?;
    ensure!(reply.status == 200, "{reply:?}");
    let (request, statement) = world
        .spans("GET /loyalty/{uuid}", "SELECT accounts")
        .await?;
    is_request(&request, "GET", "/loyalty/{uuid}", "200");
    is_statement(&statement, "SELECT", "accounts");

    world.road.cut();
    let path = format!("{path}/entries");
    let reply = world.ask(&alice, Method::GET, &path, "").await?;
    ensure!(reply.status == 503, "{reply:?}");
    let route = "/loyalty/{uuid}/entries";
    let request = format!("GET {route}");
    let (request, statement) = world.spans(&request, "SELECT entries").await?;
    is_request(&request, "GET", route, "503");
    is_statement(&statement, "SELECT", "entries");
    ensure!(failed(&request) && failed(&statement), "{request:?}");
    for (span, kind) in [(&request, "503"), (&statement, "unavailable")] {
        assert_eq!(attribute(span, "error.type").as_deref(), Some(kind));
    }
    nothing_secret(&world.collector, &[&admin, &alice])
}

/// A token that cannot be verified here is asked about, in the trace of who brought it.
#[tokio::test]
async fn a_question_to_sso_is_part_of_the_request() -> Result<()> {
    let collector = Collector::start().await?;
    let endpoint = format!("http://{}", collector.grpc);
    let mut shop = Shop::new(Store::Sqlite).await?;
    shop.site
        .set("SSO__TELEMETRY__OTLP_ENDPOINT", &endpoint)
        .set("SSO__TELEMETRY__TRACE_RATIO", "0");
    // Revocations are not heard.
    shop.restrict("'auth'").await?;
    shop.loyalty
        .set("telemetry.otlp_endpoint", endpoint)
        .set("telemetry.trace_ratio", "1");
    let alice = shop.user("alice").await?;
    let running = shop.loyalty.start().await?;
    let path = format!("/loyalty/{}", alice.id);
    eventually("she is known, and has no account", async || {
        let reply = running.http.get(&path, Some(&alice.access)).await?;
        Ok(reply.status == 404)
    })
    .await?;
    let question = collector.span("auth.Auth/Validate").await?;
    eventually("its parent", async || {
        let spans = collector.spans();
        let mut requests = spans
            .iter()
            .filter(|span| span.name == "GET /loyalty/{uuid}");
        Ok(requests.any(|request| is_child(&question, request)))
    })
    .await?;
    nothing_secret(&collector, &[&alice])
}

/// In no span: names, attributes, events, states.
fn nothing_secret(collector: &Collector, people: &[&Persona]) -> Result<()> {
    let spans = collector.spans();
    let everything = format!("{spans:?}");
    let mut secrets = vec![COMMENT, KEY, CALLER, "Bearer", "example.com"];
    for person in people {
        secrets.extend([&*person.access, &*person.email, &*person.id]);
    }
    for secret in secrets {
        ensure!(!everything.contains(secret), "{secret} in {everything}");
    }
    ensure!(
        spans.iter().all(|span| span.events.is_empty()),
        "{everything}"
    );
    Ok(())
}
