//! What requests wait for of Redis, as a collector receives it.

use sso_testkit::servers::collector::{Collector, SpanKind, attribute};

use super::*;

#[tokio::test]
async fn what_a_request_asks_of_redis_is_part_of_its_trace() -> Result<()> {
    let collector = Collector::start().await?;
    let redis = RedisSentinel::start().await?;
    let database = Postgres::shared().await?.database("redis_traces").await?;
    let mut site = on(&database, Some(&redis))?;
    site.set("SSO__REDIS__THROTTLE_TIMEOUT", "1s")
        .set(
            "SSO__TELEMETRY__OTLP_ENDPOINT",
            format!("http://{}", collector.grpc),
        )
        .set("SSO__TELEMETRY__TRACE_RATIO", "1");
    let server = site.serve().await?;
    eventually_within(LONG, "Redis up", async || {
        let found = crate::kafka::dependency(&server, "redis").await?;
        Ok(found["state"] == "up")
    })
    .await?;
    let somebody = Persona::register(&server.http, &unique()).await?;
    let login = somebody.try_login(&somebody.password).await?;
    ensure!(login.status == StatusCode::OK, "{login:?}");

    for (script, request) in [
        ("registrations", "POST /auth/registration"),
        ("throttle", "POST /auth/login"),
    ] {
        let span = collector.span(&format!("EVALSHA {script}")).await?;
        let request = collector.span(request).await?;
        assert_eq!(span.kind(), SpanKind::Client);
        assert_eq!(span.trace_id, request.trace_id, "{span:?}");
        assert_eq!(span.parent_span_id, request.span_id, "{span:?}");
        for (name, expected) in [
            ("db.system.name", "redis"),
            ("db.operation.name", "EVALSHA"),
            ("db.stored_procedure.name", script),
        ] {
            assert_eq!(attribute(&span, name).as_deref(), Some(expected));
        }
    }
    Ok(())
}
