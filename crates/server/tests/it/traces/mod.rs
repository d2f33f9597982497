//! Traces of the real binary, as a collector receives them.

mod away;
mod tree;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use sso_testkit::{
    persona::{Persona, auth::LogoutRequest},
    process::Site,
    servers::{
        collector::{Collector, SpanKind, attribute, hex, is_child},
        kafka::Kafka,
        registry::Registry,
    },
};
use tonic::Request;

use crate::{
    kafka::{TOPIC, all_delivered, site_on},
    support::{eventually, site, validate},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

fn traced(mut site: Site, collector: &Collector, ratio: &str) -> Site {
    site.set(
        "SSO__TELEMETRY__OTLP_ENDPOINT",
        format!("http://{}", collector.grpc),
    )
    .set("SSO__TELEMETRY__TRACE_RATIO", ratio);
    site
}

/// One registration: the request, its hash, its statements, and the record that carries it on.
#[tokio::test]
async fn a_registration_is_one_tree_from_the_request_to_the_record() -> Result<()> {
    let collector = Collector::start().await?;
    let kafka = Kafka::start().await?;
    kafka.create_topic(TOPIC, 1).await?;
    let registry = Registry::start(&kafka).await?;
    let site = site_on(&kafka.brokers(), &registry.url())?;
    let site = traced(site, &collector, "1");
    let mut server = site.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    all_delivered(&site, 1).await?;

    let root = collector.span("POST /auth/registration").await?;
    let sent = collector.span("send registration").await?;
    server.terminate()?;
    ensure!(server.wait(Duration::from_secs(20)).await?.success());
    assert_eq!(root.kind(), SpanKind::Server);
    assert!(root.parent_span_id.is_empty(), "{root:?}");
    assert_eq!(
        attribute(&root, "http.response.status_code").as_deref(),
        Some("201")
    );
    assert_eq!(sent.kind(), SpanKind::Producer);
    assert!(is_child(&sent, &root), "{sent:?} is no child of {root:?}");
    assert_eq!(
        attribute(&sent, "messaging.destination.name").as_deref(),
        Some(TOPIC)
    );
    for name in ["hash", "INSERT users", "INSERT outbox", "INSERT sessions"] {
        let span = collector.span(name).await?;
        assert!(is_child(&span, &root), "{span:?} is no child of {root:?}");
    }
    let statement = collector.span("INSERT users").await?;
    assert_eq!(
        attribute(&statement, "db.system.name").as_deref(),
        Some("sqlite")
    );

    let records = kafka.consume_all(TOPIC).await?;
    let carried = records[0]
        .header("traceparent")
        .context("the record has no traceparent")?;
    let expected = format!("00-{}-{}-01", hex(&sent.trace_id), hex(&sent.span_id));
    assert_eq!(carried, expected);
    for secret in [&alice.email, &alice.password, &alice.access, &alice.refresh] {
        let everything = format!("{:?}", collector.spans());
        assert!(!everything.contains(secret.as_str()), "{everything}");
    }
    Ok(())
}

#[tokio::test]
async fn a_stranger_is_linked_and_a_trusted_proxy_and_a_service_are_parents() -> Result<()> {
    let collector = Collector::start().await?;
    let mut site = traced(site()?, &collector, "1");
    site.set("SSO__HTTP__TRUSTED_PROXIES", "127.0.0.2");
    let server = site.serve().await?;
    let header = traceparent("01");
    let brought = [("traceparent", header.as_str())];
    let stranger = &server.http;
    stranger
        .send(Method::GET, "/auth/info", &brought, "")
        .await?;
    let linked = collector.span("GET /auth/info").await?;
    assert_ne!(hex(&linked.trace_id), TRACE);
    assert_eq!(hex(&linked.links[0].trace_id), TRACE);
    assert_eq!(hex(&linked.links[0].span_id), PARENT);

    let proxy = server.http.from_address([127, 0, 0, 2].into());
    proxy
        .send(Method::GET, "/auth/sessions", &brought, "")
        .await?;
    let child = collector.span("GET /auth/sessions").await?;
    assert_eq!(hex(&child.trace_id), TRACE);
    assert_eq!(hex(&child.parent_span_id), PARENT);

    let mut call = Request::new(validate("no token"));
    call.metadata_mut().insert("traceparent", header.parse()?);
    let refused = server.grpc().await?.validate(call).await;
    ensure!(refused.is_err());
    let call = collector.span("auth.Auth/Validate").await?;
    assert_eq!(hex(&call.trace_id), TRACE);
    assert_eq!(hex(&call.parent_span_id), PARENT);
    assert_eq!(call.kind(), SpanKind::Server);
    assert_eq!(
        attribute(&call, "rpc.response.status_code").as_deref(),
        Some("UNAUTHENTICATED")
    );
    let json = server.grpc_json();
    let old = [("x-trace-id", TRACE), ("content-type", "application/json")];
    json.send(Method::POST, "/sso/logout", &old, "{}").await?;
    let call = collector.span("auth.Auth/Logout").await?;
    assert_eq!(hex(&call.trace_id), TRACE);
    Ok(())
}

/// By the caller of the gRPC port, or by the ratio; a stranger cannot have himself sampled.
#[tokio::test]
async fn what_is_sampled_is_said_by_the_parent_or_else_by_the_ratio() -> Result<()> {
    for (ratio, flags, expected) in [("0", "01", true), ("1", "00", false)] {
        let collector = Collector::start().await?;
        let site = traced(site()?, &collector, ratio);
        let mut server = site.serve().await?;
        let header = traceparent(flags);
        let brought = [("traceparent", header.as_str())];
        let info = server.http.send(Method::GET, "/auth/info", &brought, "");
        info.await?;
        let mut call = Request::new(validate("no token"));
        call.metadata_mut().insert("traceparent", header.parse()?);
        ensure!(server.grpc().await?.validate(call).await.is_err());
        server.terminate()?;
        ensure!(server.wait(Duration::from_secs(20)).await?.success());
        let has = |name| collector.spans().iter().any(|span| span.name == name);
        assert_eq!(has("auth.Auth/Validate"), expected, "{ratio} {flags}");
        assert_eq!(has("GET /auth/info"), ratio == "1", "{ratio} {flags}");
    }
    Ok(())
}

#[tokio::test]
async fn otlp_over_http_is_sent_too_and_what_is_left_is_flushed_at_the_end() -> Result<()> {
    let collector = Collector::start().await?;
    let mut site = traced(site()?, &collector, "1");
    site.set(
        "SSO__TELEMETRY__OTLP_ENDPOINT",
        format!("http://{}", collector.http),
    )
    .set("SSO__TELEMETRY__OTLP_PROTOCOL", "http-protobuf");
    let mut server = site.serve().await?;
    server.http.get("/auth/info", None).await?;
    server.terminate()?;
    ensure!(server.wait(Duration::from_secs(20)).await?.success());
    let spans = collector.spans();
    let found = spans.iter().any(|span| span.name == "GET /auth/info");
    assert!(found, "{spans:?}");
    Ok(())
}

#[tokio::test]
async fn every_line_of_a_request_has_the_id_of_its_trace() -> Result<()> {
    let collector = Collector::start().await?;
    let site = traced(site()?, &collector, "0");
    let server = site.serve().await?;
    server.http.get("/auth/info", None).await?;
    eventually("the request is logged", async || {
        Ok(site.log()?.contains("\"/auth/info\""))
    })
    .await?;
    let log = site.log()?;
    let line = log
        .lines()
        .find(|line| line.contains("\"/auth/info\""))
        .context("no line")?;
    let line: Value = serde_json::from_str(line)?;
    let span = &line["spans"][0];
    let id = span["trace_id"].as_str().context("no trace_id")?;
    assert!(id.len() == 32 && id != TRACE, "{line}");
    assert!(span.get("otel.kind").is_none(), "{line}");
    Ok(())
}

/// `error.type` is a code, and the message of no error is part of a span.
#[tokio::test]
async fn a_failure_of_ours_is_told_by_its_code() -> Result<()> {
    let collector = Collector::start().await?;
    let site = traced(site()?, &collector, "1");
    let server = site.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    let again = json!({ "email": alice.email, "password": alice.password });
    let refused = server.http.post("/auth/registration", &again).await?;
    ensure!(refused.status == 409, "{refused:?}");
    let held = rusqlite::Connection::open(site.data_dir().join("sso.db"))?;
    held.execute_batch("BEGIN IMMEDIATE")?;
    let failed = alice.try_login(&alice.password).await?;
    ensure!(failed.status == 503, "{failed:?}");
    let token = alice.access.clone();
    let logout = server.grpc().await?.logout(LogoutRequest { token }).await;
    ensure!(logout.is_err(), "{logout:?}");

    for (name, code) in [
        ("INSERT users", "SQLITE_CONSTRAINT"),
        ("POST /auth/login", "503"),
        ("auth.Auth/Logout", "UNAVAILABLE"),
    ] {
        let failed = || {
            let mut spans = collector.spans().into_iter();
            spans.find(|span| span.name == name && attribute(span, "error.type").is_some())
        };
        eventually(name, async || Ok(failed().is_some())).await?;
        let span = failed().context("it was there")?;
        assert_eq!(attribute(&span, "error.type").as_deref(), Some(code));
        assert_eq!(span.status.map(|status| status.code), Some(2), "{name}");
    }
    let everything = format!("{:?}", collector.spans());
    assert!(!everything.contains(&alice.email), "{everything}");
    Ok(())
}
