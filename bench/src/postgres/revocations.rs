//! Validate, the start and memory with many live revocations against none.

use std::time::Instant;

use anyhow::Result;
use sso_testkit::{
    persona::{self, Grpc, Persona},
    process::Server,
};

use super::{Place, runs};
use crate::{
    Plan,
    load::{Outcome, closed_loop, float},
    report::{Report, Series},
    validate::Validate,
};

const CLIENTS: usize = 32;

/// Two servers on two databases, asked in turn.
pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let place = Place::start().await?;
    let (none, many) = (
        place.site(plan, "none").await?,
        place.site(plan, "many").await?,
    );
    let load = format!(
        "INSERT INTO revocations (kind, subject, until)
         SELECT 'session', gen_random_uuid(), now() + interval '1 day'
         FROM generate_series(1, {})",
        plan.revocations
    );
    place.sql("many", &load).await?;
    let (mut start, mut grown, mut each) =
        (Series::default(), Series::default(), Series::default());
    for _ in runs(plan).skip(1) {
        let bare = none.serve().await?;
        let started = Instant::now();
        let full = many.serve().await?;
        start.push(started.elapsed().as_secs_f64() * 1000.0);
        let more = float(full.resident_bytes()?) - float(bare.resident_bytes()?);
        grown.push(more / 1e6);
        each.push(more / f64::from(plan.revocations.max(1)));
    }
    let (bare, full) = (none.serve().await?, many.serve().await?);
    let tokens = (
        Persona::register(&bare.http, "user").await?.access,
        Persona::register(&full.http, "user").await?.access,
    );
    let (mut without, mut with) = (Series::default(), Series::default());
    for counts in runs(plan) {
        let limit = validate(plan, &bare, &tokens.0).await?;
        let ours = validate(plan, &full, &tokens.1).await?;
        if counts {
            without.push(limit.server_micros);
            with.push(ours.server_micros);
        }
    }
    let what = "start to ready with the live revocations";
    report.goal(what, "ms", "<= 2000", &start);
    report.goal("memory for them", "MB", "<= 20", &grown);
    report.figure("a revocation in memory", "bytes", &each);
    report.figure("Validate with none, processor time", "us", &without);
    report.figure("Validate with them, processor time", "us", &with);
    let goal = "Validate with them / with none";
    report.goal(goal, "ratio", "<= 1.05", &with.over(&without));
    report.note("live revocations", plan.revocations.to_string());
    Ok(())
}

async fn validate(plan: &Plan, server: &Server, token: &str) -> Result<Outcome> {
    let channel = persona::channel(server.grpc_address).await?;
    closed_loop(CLIENTS, plan.run, server.pid(), |number| Validate {
        grpc: Grpc::new(channel.clone()),
        tokens: vec![token.to_owned()],
        next: number,
    })
    .await
}
