//! Validate, the start and memory with many live revocations against none.

use std::time::Instant;

use anyhow::Result;
use sso_testkit::{
    persona::{self, Grpc, Persona},
    process::{Server, Site},
};

use super::Place;
use crate::{
    Plan,
    load::{Outcome, closed_loop, float},
    report::{Curve, Report, Series},
    validate::Validate,
};

const CLIENTS: usize = 32;

/// A database with so many live revocations.
struct Revoked {
    count: u32,
    site: Site,
}

/// Servers on a database for each number, asked in turn; the first has none.
pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let place = Place::start().await?;
    let mut all = vec![Revoked::load(plan, &place, 0).await?];
    for &count in plan.revocations.iter().filter(|count| **count > 0) {
        all.push(Revoked::load(plan, &place, count).await?);
    }
    starts(plan, &all, report).await?;
    let mut cost = Curve::new("Validate, processor time", "us", "live revocations");
    let mut servers = Vec::new();
    for one in &all {
        let server = one.site.serve().await?;
        let token = Persona::register(&server.http, "user").await?.access;
        servers.push((one.count, server, token));
    }
    for counts in plan.turns() {
        for (count, server, token) in &servers {
            let outcome = validate(plan, server, token).await?;
            if counts {
                cost.push(*count, outcome.server_micros);
            }
        }
    }
    let growth = cost.growth();
    report.curve(cost);
    let what = "Validate with most live revocations / with none";
    report.goal(what, "ratio", "<= 1.05", &growth);
    Ok(())
}

/// How long a start takes among most of them, and their memory.
async fn starts(plan: &Plan, all: &[Revoked], report: &mut Report) -> Result<()> {
    let (Some(none), Some(most)) = (all.first(), all.iter().max_by_key(|one| one.count)) else {
        return Ok(());
    };
    let (mut start, mut grown, mut each) =
        (Series::default(), Series::default(), Series::default());
    for _ in 0..plan.runs {
        let bare = none.site.serve().await?;
        let started = Instant::now();
        let full = most.site.serve().await?;
        start.push(started.elapsed().as_secs_f64() * 1000.0);
        let more = float(full.resident_bytes()?) - float(bare.resident_bytes()?);
        grown.push(more / 1e6);
        each.push(more / f64::from(most.count.max(1)));
    }
    let count = most.count;
    let what = format!("start to ready with {count} live revocations");
    report.goal(what, "ms", "<= 2000", &start);
    report.goal("memory for them", "MB", "<= 20", &grown);
    report.figure("a revocation in memory", "bytes", &each);
    Ok(())
}

impl Revoked {
    async fn load(plan: &Plan, place: &Place, count: u32) -> Result<Self> {
        let name = format!("revoked{count}");
        let site = place.site(plan, &name).await?;
        let load = format!(
            "INSERT INTO revocations (kind, subject, until)
             SELECT 'session', gen_random_uuid(), now() + interval '1 day'
             FROM generate_series(1, {count})"
        );
        place.sql(&name, &load).await?;
        Ok(Self { count, site })
    }
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
