//! What it costs to be seen: Validate with traces at 1 % and metrics scraped each second, against the
//! same binary that nobody looks at.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use http::Method;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use sso_testkit::{
    http::Http,
    persona::{self, Grpc, Persona},
    process::{Server, Site},
};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tonic::{
    Request, Response, Status,
    transport::{Channel, server::TcpIncoming},
};

use crate::{
    Plan,
    load::{Outcome, closed_loop},
    report::{Report, Series},
    validate::Validate,
};

const CONNECTIONS: usize = 2;
const CLIENTS: usize = 64;
const USERS: usize = 16;
/// Turns of each instance in a run; even.
const SLICES: u32 = 4;
/// As Prometheus asks.
const ACCEPT: &str = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";

/// An instance with its users.
struct Instance {
    server: Server,
    channels: Vec<Channel>,
    tokens: Vec<String>,
    // After its server.
    _site: Site,
}

/// Each run has two new instances: where a process has its memory makes it faster or slower than another of
/// the same binary, by more than what is measured here. They are asked in turn, a second or so each, each
/// first as often as the other: so is the machine, from one minute to the next.
pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let mut loops = JoinSet::new();
    let (endpoint, spans) = collector(&mut loops).await?;
    let (mut without, mut with) = (Series::default(), Series::default());
    let (mut without_cpu, mut with_cpu) = (Series::default(), Series::default());
    for _ in 0..plan.runs {
        let unseen = Instance::start(Site::new(&plan.binary)?).await?;
        let mut site = Site::new(&plan.binary)?;
        site.set("SSO__TELEMETRY__OTLP_ENDPOINT", &endpoint)
            .set("SSO__TELEMETRY__TRACE_RATIO", "0.01");
        let seen = Instance::start(site).await?;
        let admin = seen.server.admin.clone();
        let scraper = Scraper(tokio::spawn(async move { scrape(&admin).await }));
        for instance in [&unseen, &seen] {
            instance.validate(plan.run / 4).await?;
        }
        let (mut alone, mut observed) = (Mean::default(), Mean::default());
        for slice in 0..SLICES {
            let turns = [(&unseen, &mut alone), (&seen, &mut observed)];
            let mut turns = if slice.is_multiple_of(2) {
                turns
            } else {
                let [first, second] = turns;
                [second, first]
            };
            for (instance, mean) in &mut turns {
                mean.add(instance.validate(plan.run / SLICES).await?);
            }
        }
        drop(scraper);
        without.push(alone.rate());
        without_cpu.push(alone.server_micros());
        with.push(observed.rate());
        with_cpu.push(observed.server_micros());
    }
    let spans = spans.load(Ordering::Relaxed);
    ensure!(spans > 0, "no span has arrived");
    report.figure("Validate, not looked at", "1/s", &without);
    report.figure("Validate, traces 1 %, scraped each second", "1/s", &with);
    report.goal(
        "Validate, looked at / not looked at, rate",
        "ratio",
        ">= 0.95",
        &with.over(&without),
    );
    report.figure("not looked at, processor time", "us", &without_cpu);
    report.figure("looked at, processor time", "us", &with_cpu);
    report.note("Spans that the collector received", spans.to_string());
    Ok(())
}

impl Instance {
    async fn start(site: Site) -> Result<Self> {
        let server = site.serve().await?;
        let mut tokens = Vec::new();
        for number in 0..USERS {
            let name = format!("user{number}");
            tokens.push(Persona::register(&server.http, &name).await?.access);
        }
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            channels.push(persona::channel(server.grpc_address).await?);
        }
        Ok(Self {
            server,
            channels,
            tokens,
            _site: site,
        })
    }

    async fn validate(&self, run: Duration) -> Result<Outcome> {
        let client = |number: usize| Validate {
            grpc: Grpc::new(self.channels[number % CONNECTIONS].clone()),
            tokens: self.tokens.clone(),
            next: number,
        };
        closed_loop(CLIENTS, run, self.server.pid(), client).await
    }
}

/// Of the slices of a run.
#[derive(Default)]
struct Mean {
    slices: f64,
    rates: f64,
    micros: f64,
}

impl Mean {
    fn add(&mut self, slice: Outcome) {
        self.slices += 1.0;
        self.rates += slice.rate;
        self.micros += slice.server_micros;
    }

    fn rate(&self) -> f64 {
        self.rates / self.slices
    }

    fn server_micros(&self) -> f64 {
        self.micros / self.slices
    }
}

/// Scrapes until it is dropped.
struct Scraper(JoinHandle<()>);

impl Drop for Scraper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn scrape(admin: &Http) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        let asked = [("accept", ACCEPT)];
        // Whoever does not answer shows in the figures.
        let _ = admin.send(Method::GET, "/metrics", &asked, "").await;
    }
}

/// Takes spans and counts them.
struct Collector(Arc<AtomicU64>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        let spans: usize = scopes.map(|scope| scope.spans.len()).sum();
        self.0.fetch_add(spans as u64, Ordering::Relaxed);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Where it listens, and how many spans it has got.
async fn collector(loops: &mut JoinSet<()>) -> Result<(String, Arc<AtomicU64>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let count = Arc::new(AtomicU64::new(0));
    let service = TraceServiceServer::new(Collector(Arc::clone(&count)));
    loops.spawn(async move {
        let server = tonic::transport::Server::builder().add_service(service);
        let _ = server
            .serve_with_incoming(TcpIncoming::from(listener))
            .await;
    });
    Ok((endpoint, count))
}
