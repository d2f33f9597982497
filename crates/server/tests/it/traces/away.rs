//! Collectors that do not take what they are sent: that costs spans and nothing else.

use std::time::Instant;

use sso_testkit::{process::Server, servers::Proxy};

use super::*;
use crate::support::rounds;

/// More spans than wait for a collector, by far.
const REQUESTS: usize = 4_000;
/// By how many clients.
const CLIENTS: usize = 8;
/// A request that waited for the collector would take its patience of seconds.
const SOON: Duration = Duration::from_secs(2);

async fn lost(server: &Server, outcome: &str) -> Result<bool> {
    let series = format!(r#"sso_trace_spans_total{{outcome="{outcome}"}}"#);
    Ok(server.admin.metric::<u64>(&series).await? > 0)
}

#[tokio::test]
async fn a_collector_that_is_away_costs_only_spans_and_they_are_counted() -> Result<()> {
    let collector = Collector::start().await?;
    let site = traced(site()?, &collector, "1");
    // Nobody listens there any more.
    drop(collector);
    let mut server = site.serve().await?;
    Persona::register(&server.http, "alice").await?;
    eventually("a span is counted as failed", async || {
        lost(&server, "failed").await
    })
    .await?;
    server.terminate()?;
    ensure!(server.wait(Duration::from_secs(20)).await?.success());
    Ok(())
}

#[tokio::test]
async fn a_collector_that_hangs_holds_up_nobody_and_what_has_no_room_is_counted() -> Result<()> {
    let collector = Collector::start().await?;
    let road = Proxy::start(collector.grpc)?;
    let mut site = site()?;
    site.set(
        "SSO__TELEMETRY__OTLP_ENDPOINT",
        format!("http://{}", road.address()),
    )
    .set("SSO__TELEMETRY__TRACE_RATIO", "1");
    let mut server = site.serve().await?;
    road.freeze();
    let memory = server.resident_bytes()?;
    let http = server.http.clone();
    let ask = move |_| {
        let http = http.clone();
        async move {
            let asked = Instant::now();
            http.get("/auth/info", None).await?;
            ensure!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
            Ok(())
        }
    };
    rounds(REQUESTS, CLIENTS, ask).await?;
    ensure!(lost(&server, "dropped").await?, "all had room");
    eventually("a batch was not answered", async || {
        lost(&server, "failed").await
    })
    .await?;
    let more = server.resident_bytes()?.saturating_sub(memory);
    ensure!(more < 48 << 20, "{more} bytes more");

    // What waits is given up at the end, soon.
    let told = Instant::now();
    server.terminate()?;
    ensure!(server.wait(Duration::from_secs(20)).await?.success());
    ensure!(
        told.elapsed() < Duration::from_secs(10),
        "{:?}",
        told.elapsed()
    );
    Ok(())
}
