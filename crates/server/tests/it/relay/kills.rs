//! kill -9 at every step of an event's way, while clients register.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sso_events::failpoint::Step;

use super::{Load, World, deliver, within};

/// With `SSO_FULL_SIZE=1` the full size.
fn size() -> (usize, usize) {
    let full = std::env::var_os("SSO_FULL_SIZE").is_some();
    if full { (200, 32) } else { (20, 8) }
}

/// How often the step is passed before the kill: registrations are many, batches few.
fn count(step: Step, round: usize) -> usize {
    match step {
        Step::BeforeCommit | Step::AfterCommit => 1 + (round * 7) % 40,
        _ => 1 + (round * 3) % 8,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_step_no_acknowledged_event_is_lost_or_out_of_order() -> Result<()> {
    let world = World::start("relay_kills").await?;
    let (rounds, clients) = size();
    let mut site = world.site()?;
    let mut acknowledged = Vec::new();
    for round in 0..rounds {
        let step = Step::RELAY[round % Step::RELAY.len()];
        let point = format!("{}@{}", step.name(), count(step, round));
        site.set("SSO_FAILPOINT", &point);
        let mut server = site.serve().await.with_context(|| point.clone())?;
        let load = Load::start(&[&server.http], clients);
        let dying = within(Duration::from_mins(1), &point, async {
            loop {
                for user in load.told().iter().rev().take(3) {
                    world.more_of(*user).await?;
                }
                if let Ok(status) = server.wait(Duration::from_millis(20)).await {
                    return Ok(status);
                }
            }
        });
        let status = dying.await?;
        ensure!(
            !status.success() && status.code().is_none(),
            "{point}: {status}"
        );
        acknowledged.extend(load.end().await);
        world.no_status_lies().await.context(point)?;
    }
    site.unset("SSO_FAILPOINT");
    let server = site.serve().await?;
    deliver(&[(&server, 8.0)]).await?;
    let duplicates = world.check(&acknowledged).await?;
    ensure!(duplicates > 0, "no kill hit between sending and the report");
    println!(
        "{} acknowledged after {rounds} kills, {duplicates} duplicates",
        acknowledged.len()
    );
    Ok(())
}

/// One instance stays, the other dies at every step: its shards go over to the first and come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_that_dies_at_any_step_costs_nothing_of_any_user() -> Result<()> {
    let world = World::start("relay_kills_two").await?;
    let (rounds, clients) = size();
    let rounds = rounds / 4;
    let (stays, mut dies) = (world.site()?, world.site()?);
    let staying = stays.serve().await?;
    deliver(&[(&staying, 8.0)]).await?;
    let mut acknowledged = Vec::new();
    for round in 0..rounds {
        let step = Step::RELAY[round % Step::RELAY.len()];
        let point = format!("{}@{}", step.name(), count(step, round));
        world.drained().await?;
        dies.set("SSO_FAILPOINT", &point);
        let mut dying = dies.serve().await.with_context(|| point.clone())?;
        let load = Load::start(&[&staying.http, &dying.http], clients / 2);
        let status = within(Duration::from_mins(2), &point, async {
            loop {
                for user in load.told().iter().rev().take(3) {
                    world.more_of(*user).await?;
                }
                if let Ok(status) = dying.wait(Duration::from_millis(20)).await {
                    return Ok(status);
                }
            }
        });
        ensure!(status.await?.code().is_none(), "{point}");
        deliver(&[(&staying, 8.0)]).await?;
        acknowledged.extend(load.end().await);
        world.no_status_lies().await.context(point)?;
    }
    let duplicates = world.check(&acknowledged).await?;
    println!(
        "{} acknowledged beside {rounds} kills of one of two, {duplicates} duplicates",
        acknowledged.len()
    );
    Ok(())
}
