//! Round trips to PostgreSQL for each operation.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sso_testkit::{
    persona::{self, Grpc, Persona, auth::ValidateRequest},
    process::Server,
};

use super::{Place, proxy::Counting, site};
use crate::{
    Plan,
    load::float,
    report::{Report, Series},
};

/// Operations of a run, one after the other.
const COUNT: u16 = 50;

/// One client, one operation at a time. What beats and looks into the outbox cost in the same time
/// is measured beside it and taken off.
pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let place = Place::start().await?;
    drop(place.site(plan, "trips").await?);
    let node = &place.server.node;
    let counting = Counting::start(node.address()).await?;
    let (direct, through) = (node.address().to_string(), counting.address.to_string());
    let url = node.url("trips").replace(&direct, &through);
    let separator = if url.contains('?') { '&' } else { '?' };
    let site = site(plan, &format!("{url}{separator}sslmode=disable"))?;
    let server = site.serve().await?;
    let grpc = Grpc::new(persona::channel(server.grpc_address).await?);
    let mut figures: [Series; 4] = Default::default();
    for (run, counts) in plan.turns().enumerate() {
        let found = one(&server, &grpc, &counting, run).await?;
        if counts {
            for (series, trips) in figures.iter_mut().zip(found) {
                series.push(trips);
            }
        }
    }
    let names = [
        "round trips of a registration",
        "round trips of a login (no replica: its read is on the primary)",
        "round trips of a refresh",
        "round trips of a validation",
    ];
    for (what, series) in names.into_iter().zip(&figures) {
        report.figure(what, "trips", series);
    }
    Ok(())
}

async fn one(server: &Server, grpc: &Grpc, counting: &Counting, run: usize) -> Result<[f64; 4]> {
    let idle = idle(counting).await;
    let mut users = Vec::new();
    let meter = Meter::start(counting, idle);
    for number in 0..COUNT {
        users.push(Persona::register(&server.http, &format!("u{run}-{number}")).await?);
    }
    let registration = meter.each();
    settled().await;
    let meter = Meter::start(counting, idle);
    for user in &mut users {
        anyhow::ensure!(user.login().await?.status == 200, "no login");
    }
    let login = meter.each();
    settled().await;
    let meter = Meter::start(counting, idle);
    for user in &mut users {
        anyhow::ensure!(user.refresh().await?.status == 200, "no refresh");
    }
    let refresh = meter.each();
    let meter = Meter::start(counting, idle);
    for user in &users {
        let request = ValidateRequest {
            token: user.access.clone(),
        };
        grpc.clone().validate(request).await.context("refused")?;
    }
    Ok([registration, login, refresh, meter.each()])
}

/// The relay has done what the last run gave it.
async fn settled() {
    tokio::time::sleep(Duration::from_millis(500)).await;
}

/// Trips a second without anybody's doing.
async fn idle(counting: &Counting) -> f64 {
    settled().await;
    let (started, before) = (Instant::now(), counting.trips());
    tokio::time::sleep(Duration::from_secs(2)).await;
    float(counting.trips() - before) / started.elapsed().as_secs_f64()
}

struct Meter<'a> {
    counting: &'a Counting,
    idle: f64,
    started: Instant,
    before: u64,
}

impl<'a> Meter<'a> {
    fn start(counting: &'a Counting, idle: f64) -> Self {
        Self {
            counting,
            idle,
            started: Instant::now(),
            before: counting.trips(),
        }
    }

    /// Trips of each operation.
    fn each(&self) -> f64 {
        let trips = float(self.counting.trips() - self.before);
        let beside = self.idle * self.started.elapsed().as_secs_f64();
        (trips - beside).max(0.0) / f64::from(COUNT)
    }
}
