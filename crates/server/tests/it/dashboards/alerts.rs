//! Alerts of real faults, by the rules that are shipped.

use anyhow::{Context, Result, ensure};
use sso_testkit::{
    persona::Persona,
    servers::{Prometheus, Proxy},
};

use crate::{
    kafka::{LONG, TOPIC},
    support::{eventually_within, unique},
    whole::Whole,
};

/// Those whose faults are made here.
const LIVE: [&str; 8] = [
    "SsoRefreshTokensReused",
    "SsoEventsParked",
    "SsoTracesLost",
    "SsoReplicaLags",
    "SsoEventsWait",
    "SsoNoPrimary",
    "SsoRevocationsNotTrusted",
    "SsoDown",
];

/// The rules with nothing but the patience of these alerts changed: they fire after a second.
pub(super) fn impatient(rules: &str) -> Result<String> {
    let mut lines = Vec::new();
    let (mut is_live, mut changed) = (false, 0);
    for line in rules.lines() {
        if let Some(name) = line.trim().strip_prefix("- alert: ") {
            is_live = LIVE.contains(&name);
        }
        match line.split_once("for: ") {
            Some((indent, _)) if is_live => {
                lines.push(format!("{indent}for: 1s"));
                changed += 1;
            }
            _ => lines.push(line.to_owned()),
        }
    }
    ensure!(changed == LIVE.len(), "{changed} of {LIVE:?} are there");
    Ok(lines.join("\n"))
}

/// Alerts of times that only a machine of its own would hold.
const OF_TIMES: [&str; 2] = ["SsoLoginsSlow", "SsoValidateSlow"];

/// Nothing fires, and nothing would if it only went on. What a busy machine brings about, such as a
/// scrape that came late, passes: what stays is told.
pub(super) async fn silent(prometheus: &Prometheus) -> Result<()> {
    let active = tokio::sync::Mutex::new(Vec::new());
    let silent = eventually_within(LONG, "no alert fires or waits to", async || {
        let mut alerts = prometheus.alerts().await?;
        alerts.retain(|alert| {
            let name = alert["labels"]["alertname"].as_str().unwrap_or_default();
            !OF_TIMES.contains(&name)
        });
        let silent = alerts.is_empty();
        *active.lock().await = alerts;
        Ok(silent)
    });
    let silent = silent.await;
    let active = active.into_inner();
    silent.with_context(|| format!("{active:#?}"))
}

/// Waits until it fires; until then `meanwhile` goes on.
async fn fires(
    prometheus: &Prometheus,
    alert: &str,
    meanwhile: impl AsyncFn() -> Result<()>,
) -> Result<()> {
    let fires = async || {
        meanwhile().await?;
        let alerts = prometheus.alerts().await?;
        Ok(alerts
            .iter()
            .any(|found| found["labels"]["alertname"] == alert && found["state"] == "firing"))
    };
    eventually_within(2 * LONG, alert, fires).await?;
    Ok(())
}

fn nothing() -> impl AsyncFn() -> Result<()> {
    async || Ok(())
}

/// One fault after the other, the deadly ones last.
pub(super) async fn eight_faults(
    whole: &mut Whole,
    prometheus: &Prometheus,
    traces: &Proxy,
) -> Result<()> {
    for _ in 0..8 {
        reuse_a_refresh_token(whole).await?;
    }
    fires(prometheus, "SsoRefreshTokensReused", nothing()).await?;

    whole
        .kafka
        .produce(TOPIC, b"poison", b"no event", &[])
        .await?;
    fires(prometheus, "SsoEventsParked", nothing()).await?;

    traces.cut();
    fires(prometheus, "SsoTracesLost", async || whole.load().await).await?;

    whole.pair.replicas[0].node.pause_replay().await?;
    fires(prometheus, "SsoReplicaLags", nothing()).await?;
    whole.pair.replicas[0].node.resume_replay().await?;

    whole.kafka.kill_all();
    Persona::register(&whole.server.http, &unique()).await?;
    let age = "update outbox set created_at = created_at - interval '10 minutes'";
    whole.pair.primary.execute_in("whole", age).await?;
    fires(prometheus, "SsoEventsWait", nothing()).await?;

    whole.pair.primary.kill9().await?;
    fires(prometheus, "SsoNoPrimary", nothing()).await?;
    fires(prometheus, "SsoRevocationsNotTrusted", nothing()).await?;

    whole.server.kill()?;
    fires(prometheus, "SsoDown", nothing()).await
}

/// Once more, after the grace is over.
async fn reuse_a_refresh_token(whole: &Whole) -> Result<()> {
    let mut thief = Persona::register(&whole.server.http, &unique()).await?;
    let stolen = thief.refresh.clone();
    thief.refresh().await?;
    thief.refresh().await?;
    eventually_within(LONG, "the session is ended", async || {
        let refused = thief.use_refresh_token(&stolen).await?;
        ensure!(refused.status == 401, "{refused:?}");
        let info = thief.info().await?;
        Ok(info.status == 401)
    })
    .await
    .context("a refresh token that was used twice")
}
