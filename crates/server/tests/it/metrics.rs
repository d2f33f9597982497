//! `/metrics` by the contract's names.

use anyhow::Result;

use crate::support::site;

#[tokio::test]
async fn series_with_bounded_labels_exist_from_the_start_at_0() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let text = server.admin.get("/metrics", None).await?;
    assert!(text.header("content-type").starts_with("text/plain"));
    let text = String::from_utf8(text.bytes.to_vec())?;
    for series in [
        r#"sso_logins_total{outcome="success"} 0"#,
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
