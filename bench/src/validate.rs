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
    report::{Curve, Report, Series},
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
    for counts in plan.turns() {
        let run = if counts { plan.run } else { plan.run / 4 };
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
        if counts {
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

/// Connections of the curve.
const CURVE: [u32; 5] = [1, 4, 16, 64, 256];

/// Validate by more and more connections, four requests under way on each.
pub(crate) async fn connections(plan: &Plan, report: &mut Report) -> Result<()> {
    let site = Site::new(&plan.binary)?;
    let server = site.serve().await?;
    let token = Persona::register(&server.http, "user").await?.access;
    let mut rate = Curve::new("Validate", "1/s", "connections");
    let mut cost = Curve::new("Validate, processor time", "us", "connections");
    for count in CURVE {
        let channels = connect(&server, usize::try_from(count)?).await?;
        for counts in plan.turns() {
            let outcome = closed_loop(channels.len() * 4, plan.run, server.pid(), |number| {
                Validate {
                    grpc: Grpc::new(channels[number % channels.len()].clone()),
                    tokens: vec![token.clone()],
                    next: number,
                }
            });
            let outcome = outcome.await?;
            if counts {
                rate.push(count, outcome.rate);
                cost.push(count, outcome.server_micros);
            }
        }
    }
    report.curve(rate);
    report.curve(cost);
    Ok(())
}

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
