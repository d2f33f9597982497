//! What is counted, with which labels.

use std::{convert::Infallible, time::Duration};

use axum::body::Body;
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::harness::{App, request};

/// The metrics after `requests`.
fn metrics_of(requests: impl AsyncFnOnce(&App)) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    metrics::with_local_recorder(&recorder, || {
        sso_http::register_metrics();
        runtime.block_on(async { requests(&App::new().await).await });
    });
    recorder.handle().render()
}

fn has(metrics: &str, line: &str) {
    assert!(
        metrics.lines().any(|found| found == line),
        "no {line} in\n{metrics}"
    );
}

#[test]
fn every_route_has_a_series_from_the_start() {
    let metrics = metrics_of(async |_| {});
    for line in [
        r#"sso_http_requests_total{route="/auth/registration",method="POST",code="201"} 0"#,
        r#"sso_http_requests_total{route="/auth/sessions/{id}",method="DELETE",code="200"} 0"#,
    ] {
        has(&metrics, line);
    }
}

#[test]
fn requests_are_counted_by_the_routes_template_and_labels_are_bounded() {
    let metrics = metrics_of(async |app| {
        let ada = app.user("ada").await;
        ada.delete("/auth/sessions/some-id").await;
        app.get("/nope/1").await;
        app.get("/nope/2").await;
        app.send(request("BREW", "/nope/3").body(Body::empty()).unwrap())
            .await;
        app.get("/auth/login").await;
    });
    for line in [
        r#"sso_http_requests_total{route="/auth/registration",method="POST",code="201"} 1"#,
        r#"sso_http_requests_total{route="/auth/sessions/{id}",method="DELETE",code="404"} 1"#,
        r#"sso_http_requests_total{route="unmatched",method="GET",code="404"} 2"#,
        r#"sso_http_requests_total{route="unmatched",method="OTHER",code="404"} 1"#,
        r#"sso_http_requests_total{route="/auth/login",method="GET",code="405"} 1"#,
        r#"sso_http_request_duration_seconds_count{route="unmatched",method="GET"} 2"#,
    ] {
        has(&metrics, line);
    }
    assert!(
        !metrics.contains("nope") && !metrics.contains("some-id"),
        "{metrics}"
    );
}

#[test]
fn a_request_that_its_client_abandons_is_counted_too() {
    let metrics = metrics_of(async |app| {
        // A body that does not come, of a client who does not wait.
        let never = Body::from_stream(futures_util::stream::pending::<Result<&[u8], Infallible>>());
        let login = request("POST", "/auth/login")
            .header("content-type", "application/json")
            .body(never)
            .unwrap();
        let patience = Duration::from_millis(50);
        let left = tokio::time::timeout(patience, app.send(login)).await;
        assert!(left.is_err(), "it was answered");
    });
    for line in [
        r#"sso_http_requests_total{route="/auth/login",method="POST",code="499"} 1"#,
        r#"sso_http_request_duration_seconds_count{route="/auth/login",method="POST"} 1"#,
    ] {
        has(&metrics, line);
    }
}
