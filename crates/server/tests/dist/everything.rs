//! A site that is connected to everything there is.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use anyhow::Result;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use sso_testkit::{
    process::Site,
    servers::{
        Patroni, RedisSentinel,
        kafka::Kafka,
        redis::{PASSWORD, SENTINEL_PASSWORD},
        registry::Registry,
    },
};
use tokio::{net::TcpListener, task::JoinSet};
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

use crate::dist;

/// 32 bytes in base64.
const MASTER_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// Patroni with replicas, Redis behind Sentinel, Kafka, a registry, a collector of traces.
pub(crate) struct Everything {
    pub(crate) traces: Traces,
    registry: Registry,
    kafka: Kafka,
    redis: RedisSentinel,
    patroni: Patroni,
}

/// A collector that only knows whether anything came.
pub(crate) struct Traces {
    address: SocketAddr,
    came: Arc<AtomicBool>,
    _server: JoinSet<()>,
}

struct Sink(Arc<AtomicBool>);

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        _request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.store(true, Relaxed);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Traces {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let came = Arc::new(AtomicBool::new(false));
        let service = TraceServiceServer::new(Sink(came.clone()));
        let mut server = JoinSet::new();
        server.spawn(async move {
            let builder = tonic::transport::Server::builder().add_service(service);
            let _ = builder
                .serve_with_incoming(TcpIncoming::from(listener))
                .await;
        });
        Ok(Self {
            address,
            came,
            _server: server,
        })
    }

    pub(crate) fn came(&self) -> bool {
        self.came.load(Relaxed)
    }
}

impl Everything {
    pub(crate) async fn start() -> Result<Self> {
        let patroni = Patroni::start().await?;
        patroni.ready().await?;
        let leader = patroni.leader().await?;
        patroni.server(leader).database("sso").await?;
        let kafka = Kafka::start().await?;
        kafka.create_topic("registration", 6).await?;
        let registry = Registry::start(&kafka).await?;
        Ok(Self {
            traces: Traces::start().await?,
            registry,
            kafka,
            redis: RedisSentinel::start().await?,
            patroni,
        })
    }

    /// A site of the executable that is shipped; hashing as by default.
    pub(crate) fn site(&self) -> Result<Site> {
        let sentinels = self.redis.sentinel_addresses();
        let sentinels: Vec<_> = sentinels.iter().map(ToString::to_string).collect();
        let mut site = Site::new(dist()?.join("sso"))?;
        site.unset("SSO__PASSWORDS__ARGON2_MEMORY")
            .unset("SSO__PASSWORDS__ARGON2_ITERATIONS")
            .set("SSO__HTTP__PUBLIC_URL", "https://sso.example.com")
            .set("SSO__DATABASE__URL", self.patroni.url("sso"))
            .set("SSO__DATABASE__REPLICAS", self.patroni.replicas_url("sso"))
            .set("SSO__KEYS__MASTER_KEY", MASTER_KEY)
            .set("SSO__REDIS__SENTINELS", sentinels.join(","))
            .set("SSO__REDIS__MASTER_NAME", RedisSentinel::MASTER_NAME)
            .set("SSO__REDIS__PASSWORD", PASSWORD)
            .set("SSO__REDIS__SENTINEL_PASSWORD", SENTINEL_PASSWORD)
            .set("SSO__EVENTS__SINK", "kafka")
            .set("SSO__KAFKA__BROKERS", self.kafka.brokers())
            .set("SSO__KAFKA__REGISTRY_URL", self.registry.url())
            .set(
                "SSO__TELEMETRY__OTLP_ENDPOINT",
                format!("http://{}", self.traces.address),
            );
        Ok(site)
    }
}
