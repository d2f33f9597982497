//! How long registrations take while Kafka or the registry is away: as long as ever.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sso_testkit::{http::Http, persona::Persona};
use tokio::task::JoinSet;

use super::{LONG, World, deliver};
use crate::support::eventually_within;

const CLIENTS: usize = 4;

/// Rounds, registrations of a client in each phase of one, and by how much an outage may slow the
/// slowest of a hundred, with what is left to chance on a machine that others use.
fn size() -> (usize, usize, f64, Duration) {
    if std::env::var_os("SSO_FULL_SIZE").is_some() {
        (4, 100, 1.1, Duration::ZERO)
    } else {
        (1, 10, 3.0, Duration::from_secs(1))
    }
}

/// What so many registrations took.
async fn registrations(http: &Http, phase: &str, each: usize) -> Result<Vec<Duration>> {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (http, phase) = (http.clone(), phase.to_owned());
        clients.spawn(async move {
            let mut took = Vec::new();
            for number in 0..each {
                let started = Instant::now();
                Persona::register(&http, &format!("{phase}-{client}-{number}")).await?;
                took.push(started.elapsed());
            }
            anyhow::Ok(took)
        });
    }
    let mut all = Vec::new();
    while let Some(took) = clients.join_next().await {
        all.extend(took??);
    }
    Ok(all)
}

fn p99(all: &mut [Duration]) -> Duration {
    all.sort();
    let at = all.len() * 99 / 100;
    all.get(at.min(all.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

/// Phases follow each other in every round, so that what else the machine does meets all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registrations_are_as_quick_without_kafka_and_without_the_registry() -> Result<()> {
    let mut world = World::start("relay_calm").await?;
    let site = world.site()?;
    let server = site.serve().await?;
    deliver(&[(&server, 8.0)]).await?;
    let (rounds, each, factor, chance) = size();
    registrations(&server.http, "warm", each).await?;
    let mut phases = [const { Vec::new() }; 4];
    for round in 0..rounds {
        for (number, (name, took)) in ["well", "frozen", "killed", "unregistered"]
            .into_iter()
            .zip(&mut phases)
            .enumerate()
        {
            match number {
                1 => world.kafka.freeze(1)?,
                2 => world.kafka.kill_all(),
                3 => world.registry.go_away(),
                _ => {}
            }
            took.extend(registrations(&server.http, &format!("{name}{round}"), each).await?);
            if number == 1 || number == 2 {
                let waiting = r#"sso_outbox_backlog{status="inProgress"}"#;
                eventually_within(LONG, "the backlog tells", async || {
                    Ok(server.admin.metric::<f64>(waiting).await? > 0.0)
                })
                .await?;
            }
            match number {
                1 => world.kafka.thaw(1)?,
                2 => world.kafka.start_all().await?,
                3 => world.registry.come_back()?,
                _ => {}
            }
            world.drained().await?;
        }
    }
    let [well, frozen, killed, unregistered] = &mut phases;
    let usual = p99(well);
    for (name, took) in [
        ("Kafka frozen", frozen),
        ("Kafka killed", killed),
        ("the registry away", unregistered),
    ] {
        let found = p99(took);
        println!("{name}: p99 {found:?}, usually {usual:?}");
        let most = usual.mul_f64(factor) + chance;
        ensure!(found <= most, "{name}: {found:?} of {usual:?}");
    }
    world.check(&[]).await?;
    Ok(())
}
