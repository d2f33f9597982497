//! Validate over gRPC against an empty RPC of the same server.

use anyhow::{Context, Result};
use sso_testkit::{
    persona::{self, Grpc, Persona, auth::ValidateRequest},
    process::{Server, Site},
};
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    Plan,
    load::{Ask, closed_loop},
    report::{Report, Series},
};

/// Connections, and requests in flight on each.
const CONNECTIONS: usize = 2;
const IN_FLIGHT: usize = 32;
/// Users whose tokens are asked for in turn.
const USERS: usize = 64;

/// Asks both in turn, so that a busy moment hits both.
pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let site = Site::new(&plan.binary)?;
    let server = site.serve().await?;
    let mut tokens = Vec::new();
    for number in 0..USERS {
        tokens.push(
            Persona::register(&server.http, &format!("user{number}"))
                .await?
                .access,
        );
    }
    let channels = connect(&server, CONNECTIONS).await?;
    let (mut empty, mut validate) = (Series::default(), Series::default());
    let (mut empty_cpu, mut validate_cpu) = (Series::default(), Series::default());
    let mut p99 = Series::default();
    for warm_up in std::iter::once(true).chain(std::iter::repeat_n(false, plan.runs)) {
        let run = if warm_up { plan.run / 4 } else { plan.run };
        let clients = CONNECTIONS * IN_FLIGHT;
        let limit = closed_loop(clients, run, server.pid(), |number| {
            Empty::new(channels[number % CONNECTIONS].clone())
        })
        .await?;
        let ours = closed_loop(clients, run, server.pid(), |number| Validate {
            grpc: Grpc::new(channels[number % CONNECTIONS].clone()),
            tokens: tokens.clone(),
            next: number,
        })
        .await?;
        if !warm_up {
            empty.push(limit.rate);
            validate.push(ours.rate);
            empty_cpu.push(limit.server_micros);
            validate_cpu.push(ours.server_micros);
            p99.push(ours.p99_millis);
        }
    }
    report.figure("empty RPC (grpc.health.v1 Check)", "1/s", &empty);
    report.figure("Validate", "1/s", &validate);
    report.goal(
        "Validate / empty RPC, rate",
        "ratio",
        ">= 0.85",
        &validate.over(&empty),
    );
    report.figure("empty RPC, processor time of the server", "us", &empty_cpu);
    report.figure(
        "Validate, processor time of the server",
        "us",
        &validate_cpu,
    );
    report.figure("Validate, p99 of 64 clients", "ms", &p99);
    Ok(())
}

/// Validate by more and more connections, four requests under way on each.
pub(crate) async fn connections(plan: &Plan, report: &mut Report) -> Result<()> {
    let site = Site::new(&plan.binary)?;
    let server = site.serve().await?;
    let token = Persona::register(&server.http, "user").await?.access;
    for (count, rate_of, cost_of) in CURVE {
        let channels = connect(&server, count).await?;
        let (mut rate, mut cost) = (Series::default(), Series::default());
        for warm_up in std::iter::once(true).chain(std::iter::repeat_n(false, plan.runs)) {
            let run = if warm_up { plan.run / 4 } else { plan.run };
            let outcome = closed_loop(count * 4, run, server.pid(), |number| Validate {
                grpc: Grpc::new(channels[number % count].clone()),
                tokens: vec![token.clone()],
                next: number,
            });
            let outcome = outcome.await?;
            if !warm_up {
                rate.push(outcome.rate);
                cost.push(outcome.server_micros);
            }
        }
        report.figure(rate_of, "1/s", &rate);
        report.figure(cost_of, "us", &cost);
    }
    Ok(())
}

/// Connections, and what their figures are called.
const CURVE: [(usize, &str, &str); 5] = [
    (
        1,
        "Validate, 1 connection",
        "Validate, 1 connection, processor time",
    ),
    (
        4,
        "Validate, 4 connections",
        "Validate, 4 connections, processor time",
    ),
    (
        16,
        "Validate, 16 connections",
        "Validate, 16 connections, processor time",
    ),
    (
        64,
        "Validate, 64 connections",
        "Validate, 64 connections, processor time",
    ),
    (
        256,
        "Validate, 256 connections",
        "Validate, 256 connections, processor time",
    ),
];

async fn connect(server: &Server, count: usize) -> Result<Vec<Channel>> {
    let mut channels = Vec::new();
    for _ in 0..count {
        channels.push(persona::channel(server.grpc_address).await?);
    }
    Ok(channels)
}

/// `grpc.health.v1` Check: what any rpc costs at least.
pub(crate) struct Empty(HealthClient<Channel>);

impl Empty {
    pub(crate) fn new(channel: Channel) -> Self {
        Self(HealthClient::new(channel))
    }
}

impl Ask for Empty {
    async fn ask(&mut self) -> Result<()> {
        self.0
            .check(HealthCheckRequest {
                service: String::new(),
            })
            .await
            .context("no answer")?;
        Ok(())
    }
}

pub(crate) struct Validate {
    pub(crate) grpc: Grpc,
    pub(crate) tokens: Vec<String>,
    pub(crate) next: usize,
}

impl Ask for Validate {
    async fn ask(&mut self) -> Result<()> {
        self.next += 1;
        let token = self.tokens[self.next % self.tokens.len()].clone();
        self.grpc
            .validate(ValidateRequest { token })
            .await
            .context("refused")?;
        Ok(())
    }
}
