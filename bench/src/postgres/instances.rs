//! One instance against two on the same cores, over the same database: what another instance costs.

use anyhow::Result;
use sso_testkit::{
    persona::{self, Grpc, Persona},
    process::Server,
};

use super::Place;
use crate::{
    Plan,
    load::closed_loop,
    refresh::Refresh,
    report::{Curve, Report},
    validate::Validate,
};

const CLIENTS: usize = 32;
const MOST: usize = 2;
/// In all, to however many.
const CONNECTIONS: usize = 4;

/// All clients ask the first, then each in turn.
pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let place = Place::start().await?;
    let site = place.site(plan, "instances").await?;
    let mut servers = Vec::new();
    for _ in 0..MOST {
        servers.push(site.serve().await?);
    }
    let mut validate = Curve::new("Validate, 32 clients", "1/s", "instances");
    let mut refresh = Curve::new("Refresh, 32 clients", "1/s", "instances");
    for (run, counts) in plan.turns().enumerate() {
        for count in 1..=MOST {
            let (asked, name) = (&servers[..count], format!("of{count}-{run}"));
            let (validated, refreshed) = ask(plan, asked, &name).await?;
            if counts {
                let count = u32::try_from(count)?;
                validate.push(count, validated);
                refresh.push(count, refreshed);
            }
        }
    }
    report.curve(validate);
    report.curve(refresh);
    Ok(())
}

/// Rates of Validate and of Refresh.
async fn ask(plan: &Plan, servers: &[Server], name: &str) -> Result<(f64, f64)> {
    let mut users = Vec::new();
    for number in 0..CLIENTS {
        users.push(Persona::register(&servers[0].http, &format!("{name}-{number}")).await?);
    }
    let mut channels = Vec::new();
    for server in servers.iter().cycle().take(CONNECTIONS) {
        channels.push(persona::channel(server.grpc_address).await?);
    }
    let grpc = |number: usize| Grpc::new(channels[number % channels.len()].clone());
    let pid = servers[0].pid();
    let validated = closed_loop(CLIENTS, plan.run, pid, |number| Validate {
        grpc: grpc(number),
        tokens: vec![users[number].access.clone()],
        next: number,
    });
    let validated = validated.await?.rate;
    let refreshed = closed_loop(CLIENTS, plan.run, pid, |number| Refresh {
        grpc: grpc(number),
        token: users[number].refresh.clone(),
    });
    Ok((validated, refreshed.await?.rate))
}
