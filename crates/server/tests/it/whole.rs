//! Everything at once: `sso` on PostgreSQL with a replica, Redis and Kafka, and the services that
//! consume its events.

use anyhow::{Result, ensure};
use http::{Method, StatusCode};
use serde_json::json;
use sso_testkit::{
    http::Http,
    persona::Persona,
    process::{Server, Site},
    program::{Program, Running, sibling},
    servers::{Pair, Redis, SmtpSink, kafka::Kafka, registry::Registry},
};

use crate::{
    kafka::{LONG, TOPIC},
    postgres,
    support::{SSO, digest_of, eventually_within, unique, validate},
};

/// The token by which `sso` knows loyalty.
const CALLER: &str = "the token of loyalty";
/// What people call `sso` by: [`postgres::unmigrated`] says so.
const ISSUER: &str = "https://sso.example.com";

/// Running programs, and the servers that they stand on. Dropped in this order.
pub(crate) struct Whole {
    pub(crate) server: Server,
    pub(crate) welcome: Running,
    pub(crate) loyalty: Running,
    _site: Site,
    /// Who may deposit points.
    pub(crate) admin: Persona,
    _programs: [Program; 2],
    pub(crate) mail: SmtpSink,
    _registry: Registry,
    pub(crate) kafka: Kafka,
    _redis: Redis,
    pub(crate) pair: Pair,
}

impl Whole {
    /// Starts all of it; `trace` says where spans go, and how many of the traces.
    pub(crate) async fn start(trace: Option<(&str, &str)>) -> Result<Self> {
        let pair = Pair::start().await?;
        let redis = Redis::start().await?;
        let kafka = Kafka::start().await?;
        for topic in [TOPIC, &dead_letters("welcome"), &dead_letters("loyalty")] {
            kafka.create_topic(topic, 2).await?;
        }
        let registry = Registry::in_memory()?;
        let mail = SmtpSink::start()?;
        pair.primary.database("loyalty").await?;
        let mut site = site_on(&pair, &redis, &kafka, &registry).await?;
        if let Some((endpoint, ratio)) = trace {
            site.set("SSO__TELEMETRY__OTLP_ENDPOINT", endpoint)
                .set("SSO__TELEMETRY__TRACE_RATIO", ratio);
        }
        let server = site.serve().await?;
        let mut welcome = Program::new("welcome", sibling(SSO, "welcome")?)?;
        welcome
            .set("smtp.url", format!("smtp://{}", mail.address()))
            .set("smtp.from", "Example <noreply@example.org>");
        let mut loyalty = Program::new("loyalty", sibling(SSO, "loyalty")?)?;
        let keys = format!("http://{}/.well-known/jwks.json", server.http_address);
        loyalty
            .set("database.url", pair.primary.url("loyalty"))
            .set("sso.jwks_url", keys)
            .set("sso.issuer", ISSUER)
            .set("sso.grpc_url", format!("http://{}", server.grpc_address))
            .set("sso.caller_token", CALLER);
        for program in [&mut welcome, &mut loyalty] {
            program
                .set("kafka.brokers", kafka.brokers())
                .set("kafka.registry_url", registry.url());
            if let Some((endpoint, ratio)) = trace {
                program
                    .set("telemetry.otlp_endpoint", endpoint)
                    .set("telemetry.trace_ratio", ratio);
            }
        }
        // The topic's schema is what the first event brings.
        let mut admin = Persona::register(&server.http, "root").await?;
        site.run_ok(&["user", "set-admin", &admin.email])?;
        admin.login().await?;
        let whole = Self {
            welcome: welcome.start().await?,
            loyalty: loyalty.start().await?,
            server,
            _site: site,
            admin,
            _programs: [welcome, loyalty],
            mail,
            _registry: registry,
            kafka,
            _redis: redis,
            pair,
        };
        whole.arrived(1).await?;
        Ok(whole)
    }

    /// Waits until so many are welcomed, by mail and with points.
    pub(crate) async fn arrived(&self, people: usize) -> Result<()> {
        self.mail.wait_for(people).await?;
        let credited = r#"loyalty_credits_total{outcome="credited"}"#;
        eventually_within(LONG, "points are credited", async || {
            let credited = self.loyalty.metric(credited).await?;
            Ok(usize::try_from(credited)? >= people)
        })
        .await
    }

    /// Something of everything that people and services do.
    pub(crate) async fn load(&self) -> Result<()> {
        life(&self.server).await?;
        let order = json!({
            "operation": "d", "balance": 5, "comment": "a gift", "uuid": self.admin.id,
        });
        let shop: &Http = &self.loyalty.http;
        let reply = shop
            .bearer(
                Method::POST,
                "/loyalty",
                Some(&self.admin.access),
                &order.to_string(),
            )
            .await?;
        ensure!(reply.status == StatusCode::CREATED, "{reply:?}");
        let path = format!("/loyalty/{}", self.admin.id);
        let reply = shop.get(&path, Some(&self.admin.access)).await?;
        ensure!(reply.status == StatusCode::OK, "{reply:?}");
        Ok(())
    }
}

/// Somebody registers, does this and that, and leaves.
pub(crate) async fn life(server: &Server) -> Result<()> {
    let mut somebody = Persona::register(&server.http, &unique()).await?;
    somebody.login().await?;
    somebody.try_login("wrong password").await?;
    somebody.refresh().await?;
    somebody.info().await?;
    let mut grpc = server.grpc().await?;
    grpc.validate(validate(&somebody.access)).await?;
    somebody.logout(&somebody.access, false).await?;
    Ok(())
}

/// Where a service puts what it cannot handle.
pub(crate) fn dead_letters(service: &str) -> String {
    format!("{TOPIC}.{service}.dead-letter")
}

/// `sso` on a new database of all of this.
pub(crate) async fn site_on(
    pair: &Pair,
    redis: &Redis,
    kafka: &Kafka,
    registry: &Registry,
) -> Result<Site> {
    let database = pair.primary.database("whole").await?;
    let mut site = postgres::unmigrated(&database)?;
    site.run_ok(&["migrate", "up"])?;
    let replicas = pair.replicas.iter().map(|one| one.node.url("whole"));
    let replicas: Vec<String> = replicas.collect();
    let caller = format!(
        "[{{ name = 'loyalty', token_sha256 = '{}', scopes = ['auth', 'revocations:read'] }}]",
        digest_of(CALLER)
    );
    site.set("SSO__DATABASE__REPLICAS", replicas.join(","))
        .set("SSO__REDIS__URL", redis.url())
        .set("SSO__EVENTS__SINK", "kafka")
        .set("SSO__KAFKA__DELIVERY_TIMEOUT", "2s")
        .set("SSO__REVOCATION__LEASE", "4s")
        .set("SSO__REVOCATION__FENCE", "0s")
        .set("SSO__SESSIONS__REFRESH_GRACE", "1s")
        .set("SSO__THROTTLE__ENABLED", false)
        // No connection is closed while a client is about to use it.
        .set("SSO__HTTP__HEADER_TIMEOUT", "5m")
        .set("SSO__GRPC__CALLERS", caller)
        .set("SSO__KAFKA__BROKERS", kafka.brokers())
        .set("SSO__KAFKA__REGISTRY_URL", registry.url());
    Ok(site)
}
