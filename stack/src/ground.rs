//! What the programs need: databases, Redis, Kafka, mail, traces.

use std::fmt::Write;

use anyhow::Result;
use sso_testkit::servers::{
    Balancer, Patroni, RedisSentinel, SmtpSink,
    kafka::Kafka,
    patroni::Options,
    redis::{PASSWORD, SENTINEL_PASSWORD},
    registry::Registry,
};

use crate::{programs::Program, traces::Traces};

/// What the services read and park.
const TOPICS: [&str; 3] = [
    "registration",
    "registration.welcome.dead-letter",
    "registration.loyalty.dead-letter",
];
/// What loyalty shows to sso.
const CALLER_TOKEN: &str = "the token of loyalty in this stack";

/// Everything beneath the programs.
pub(crate) struct Ground {
    pub(crate) traces: Traces,
    pub(crate) mail: SmtpSink,
    pub(crate) registry: Registry,
    pub(crate) kafka: Kafka,
    pub(crate) redis: RedisSentinel,
    pub(crate) patroni: Patroni,
}

impl Ground {
    /// Says each part that is ready.
    pub(crate) async fn start(said: &impl Fn(&str)) -> Result<Self> {
        // As in production: what was acknowledged survives the leader.
        let patroni = Options::new().synchronous().start().await?;
        patroni.ready().await?;
        let leader = patroni.leader().await?;
        for database in ["sso", "loyalty"] {
            patroni.server(leader).database(database).await?;
        }
        said("Patroni x3, etcd, HAProxy");
        let redis = RedisSentinel::start().await?;
        said("Redis x3, Sentinel x3");
        let kafka = Kafka::start().await?;
        for topic in TOPICS {
            kafka.create_topic(topic, 6).await?;
        }
        let registry = Registry::start(&kafka).await?;
        said("Kafka, Schema Registry");
        let (mail, traces) = (SmtpSink::start()?, Traces::start().await?);
        said("a mail server and a store of traces");
        Ok(Self {
            traces,
            mail,
            registry,
            kafka,
            redis,
            patroni,
        })
    }

    /// Settings of an instance of `sso` that listens there.
    pub(crate) fn configure_sso(&self, program: &mut Program, master_key: &str) -> Result<()> {
        let callers = format!(
            "[[grpc.callers]]\nname = 'loyalty'\ntoken_sha256 = '{}'\nscopes = ['auth', 'revocations:read']\n",
            hex(&sso_crypto::sha256(CALLER_TOKEN.as_bytes()))
        );
        let file = program.folder().join("callers.toml");
        std::fs::write(&file, callers)?;
        let sentinels = self.redis.sentinel_addresses();
        let sentinels: Vec<_> = sentinels.iter().map(ToString::to_string).collect();
        let (http, folder) = (program.address(), program.folder().to_owned());
        program
            .set("SSO_CONFIG", file.display())
            .set("SSO__DATA_DIR", folder.display())
            .set("SSO__HTTP__LISTEN", http)
            .set("SSO__HTTP__TRUSTED_PROXIES", "127.0.0.1")
            // For people who look around; a service shows its token all the same.
            .set("SSO__GRPC__REQUIRE_CALLER", false)
            .set("SSO__DATABASE__URL", self.patroni.url("sso"))
            .set("SSO__DATABASE__REPLICAS", self.patroni.replicas_url("sso"))
            .set("SSO__KEYS__MASTER_KEY", master_key)
            .set("SSO__REDIS__SENTINELS", sentinels.join(","))
            .set("SSO__REDIS__MASTER_NAME", "sso")
            .set("SSO__REDIS__PASSWORD", PASSWORD)
            .set("SSO__REDIS__SENTINEL_PASSWORD", SENTINEL_PASSWORD)
            .set("SSO__EVENTS__SINK", "kafka")
            .set("SSO__KAFKA__BROKERS", self.kafka.brokers())
            .set("SSO__KAFKA__REGISTRY_URL", self.registry.url())
            .set(
                "SSO__TELEMETRY__OTLP_ENDPOINT",
                format!("http://{}", self.traces.otlp()),
            )
            .set("SSO__TELEMETRY__TRACE_RATIO", 1)
            .set("SSO__LOG__FORMAT", "json");
        Ok(())
    }

    pub(crate) fn configure_welcome(&self, program: &mut Program) {
        let http = program.address();
        let store = program.folder().join("welcome.db");
        program
            .set("WELCOME__HTTP__LISTEN", http)
            .set("WELCOME__KAFKA__BROKERS", self.kafka.brokers())
            .set("WELCOME__KAFKA__REGISTRY_URL", self.registry.url())
            .set(
                "WELCOME__DATABASE__URL",
                format!("sqlite:{}", store.display()),
            )
            .set(
                "WELCOME__SMTP__URL",
                format!("smtp://{}", self.mail.address()),
            )
            .set("WELCOME__SMTP__FROM", "welcome@example.com");
    }

    pub(crate) fn configure_loyalty(&self, program: &mut Program, balancer: &Balancer) {
        let http = program.address();
        let sso = balancer.http.address();
        program
            .set("LOYALTY__HTTP__LISTEN", http)
            .set("LOYALTY__KAFKA__BROKERS", self.kafka.brokers())
            .set("LOYALTY__KAFKA__REGISTRY_URL", self.registry.url())
            .set("LOYALTY__DATABASE__URL", self.patroni.url("loyalty"))
            .set(
                "LOYALTY__SSO__JWKS_URL",
                format!("http://{sso}/.well-known/jwks.json"),
            )
            .set(
                "LOYALTY__SSO__GRPC_URL",
                format!("http://{}", balancer.grpc.address()),
            )
            .set("LOYALTY__SSO__CALLER_TOKEN", CALLER_TOKEN);
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
