//! `/metrics` by the contract's names.

use anyhow::{Context, Result, ensure};
use http::Method;
use sso_testkit::{
    metrics::unlisted,
    persona::Persona,
    process::Server,
    servers::{
        Prometheus,
        collector::{Collector, hex},
    },
};

use crate::{
    kafka::LONG,
    support::{eventually_within, site, validate},
    whole::life,
};

#[tokio::test]
async fn series_with_bounded_labels_exist_from_the_start_at_0() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let text = server.admin.get("/metrics", None).await?;
    assert!(text.header("content-type").starts_with("text/plain"));
    let text = String::from_utf8(text.bytes.to_vec())?;
    for series in [
        r#"sso_logins_total{outcome="success"} 0"#,
        r#"sso_http_requests_total{route="/auth/login",method="POST",code="503"} 0"#,
        r#"sso_grpc_requests_total{service="auth.Auth",method="Validate",code="UNAVAILABLE"} 0"#,
        r#"sso_registrations_total{outcome="user_exists"} 0"#,
        "sso_refresh_reuse_total 0",
        r#"sso_hash_queue_depth{queue="login"} 0"#,
        r#"sso_hash_refused_total{queue="registration"} 0"#,
        r#"sso_store_reads_total{role="replica"} 0"#,
        r#"sso_outbox_backlog{status="inProgress"} 0"#,
        "sso_outbox_oldest_seconds 0",
        "sso_revocation_trusted 1",
        "sso_revocation_entries 0",
        r#"sso_connections_dropped_total{listener="http",reason="made_room"} 0"#,
        r#"sso_tls_reloads_total{listener="grpc",outcome="refused"} 0"#,
    ] {
        assert!(text.contains(series), "{series} is not in:\n{text}");
    }
    for name in [
        "sso_http_requests_total{",
        "sso_http_request_duration_seconds",
        "sso_grpc_requests_total{",
        "sso_grpc_request_duration_seconds",
        "sso_hash_duration_seconds",
        "sso_revocation_lease_seconds",
        "process_resident_memory_bytes",
    ] {
        assert!(text.contains(name), "{name} is not in:\n{text}");
    }
    Ok(())
}

#[tokio::test]
async fn everything_on_the_page_is_in_the_list() -> Result<()> {
    let site = site()?;
    let list = site.run_ok(&["metrics"])?;
    let server = site.serve().await?;
    life(&server).await?;
    let page = server.admin.get("/metrics", None).await?;
    let unlisted = unlisted(&list, &String::from_utf8(page.bytes.to_vec())?);
    assert!(unlisted.is_empty(), "{unlisted:#?}");
    Ok(())
}

/// What Prometheus accepts first.
const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";

async fn page(server: &Server) -> Result<String> {
    let asked = [("accept", OPENMETRICS)];
    let page = server.admin.send(Method::GET, "/metrics", &asked, "");
    let page = page.await?;
    let kind = page.header("content-type").to_owned();
    ensure!(
        kind == "application/openmetrics-text; version=1.0.0; charset=utf-8",
        "{kind}"
    );
    Ok(String::from_utf8(page.bytes.to_vec())?)
}

/// Prometheus takes a page only if it parses to its end.
#[tokio::test]
async fn prometheus_keeps_the_trace_of_a_request_and_of_a_call_beside_their_times() -> Result<()> {
    let collector = Collector::start().await?;
    let mut site = site()?;
    site.set(
        "SSO__TELEMETRY__OTLP_ENDPOINT",
        format!("http://{}", collector.grpc),
    )
    .set("SSO__TELEMETRY__TRACE_RATIO", "1");
    let server = site.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    server
        .grpc()
        .await?
        .validate(validate(&alice.access))
        .await?;
    let prometheus = Prometheus::start(&[server.admin_address]).await?;
    prometheus.scraped().await?;
    for (histogram, label, value, span) in [
        (
            "sso_http_request_duration_seconds",
            "route",
            "/auth/registration",
            "POST /auth/registration",
        ),
        (
            "sso_grpc_request_duration_seconds",
            "method",
            "Validate",
            "auth.Auth/Validate",
        ),
    ] {
        let query = format!("{histogram}_bucket{{{label}=\"{value}\"}}");
        let kept = async || Ok(!prometheus.exemplars(&query).await?.is_empty());
        let kept = eventually_within(LONG, "an exemplar", kept).await;
        kept.with_context(|| format!("of {query}"))?;
        let found = prometheus.exemplars(&query).await?;
        let trace = &found[0]["exemplars"][0]["labels"]["trace_id"];
        let span = collector.span(span).await?;
        assert_eq!(*trace, *hex(&span.trace_id), "{found:?}");
    }
    let page = page(&server).await?;
    assert!(page.ends_with("# EOF\n"), "{page}");
    assert!(page.contains("# TYPE sso_logins counter"), "{page}");
    Ok(())
}

#[tokio::test]
async fn without_traces_there_are_no_exemplars_and_the_page_is_whole() -> Result<()> {
    let server = site()?.serve().await?;
    Persona::register(&server.http, "alice").await?;
    let page = page(&server).await?;
    assert!(
        page.ends_with("# EOF\n") && !page.contains(" # {"),
        "{page}"
    );
    let prometheus = Prometheus::start(&[server.admin_address]).await?;
    prometheus.scraped().await
}
