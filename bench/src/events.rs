//! Events from PostgreSQL to Kafka: how quickly a backlog drains against the producer library alone,
//! what they cost a registration, how soon a consumer has one, and what an outage of the brokers
//! costs.

mod away;
pub(crate) mod backlog;
mod drain;
mod prompt;

use anyhow::Result;
use rdkafka::{ClientConfig, config::FromClientConfig, producer::FutureProducer};
use sso_kafka::{Compression, Connection, SinkSettings};
use sso_testkit::{
    process::Site,
    servers::{Postgres, kafka::Kafka, registry::Registry},
};
use tokio_postgres::{Client, NoTls};

use crate::{Plan, load::float, report::Report};

const TOPIC: &str = "registration";
const PARTITIONS: i32 = 8;
/// 32 bytes in base64.
const MASTER_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// The servers, as they are for all measurements of this page.
struct World {
    postgres: Postgres,
    kafka: Kafka,
    registry: Registry,
}

impl World {
    async fn start() -> Result<Self> {
        let (postgres, kafka) = (Postgres::start().await?, Kafka::start().await?);
        kafka.create_topic(TOPIC, PARTITIONS).await?;
        Ok(Self {
            postgres,
            kafka,
            registry: Registry::in_memory()?,
        })
    }

    /// A site on a migrated database of its own, and a client of that.
    async fn site(&self, plan: &Plan, name: &str) -> Result<(Site, Client)> {
        let url = self.postgres.database(name).await?;
        let mut site = Site::new(&plan.binary)?;
        site.set("SSO__DATABASE__URL", &url)
            .set("SSO__KEYS__MASTER_KEY", MASTER_KEY)
            .set("SSO__HTTP__PUBLIC_URL", "https://sso.example.com")
            .set("SSO__THROTTLE__ENABLED", false)
            .set("SSO__KAFKA__BROKERS", self.kafka.brokers())
            .set("SSO__KAFKA__REGISTRY_URL", self.registry.url())
            .set("SSO__EVENTS__SINK", "kafka");
        site.run_ok(&["migrate", "up"])?;
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
        tokio::spawn(connection);
        Ok((site, client))
    }

    /// A producer with the settings that the sink has.
    fn producer(&self) -> Result<FutureProducer> {
        let settings = SinkSettings {
            connection: Connection {
                brokers: vec![self.kafka.brokers()],
                client_id: "bench".to_owned(),
                tls: None,
                sasl: None,
            },
            topic: TOPIC.to_owned(),
            delivery_timeout: std::time::Duration::from_secs(10),
            compression: Compression::None,
            max_record: 1_000_000,
        };
        let config: ClientConfig = settings.producer_config();
        Ok(FutureProducer::from_config(&config)?)
    }
}

/// Everything in turn, so that a busy moment hits both sides of a ratio.
pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let mut world = World::start().await?;
    let drained = drain::measure(&world, plan, report).await?;
    prompt::measure(&world, plan, report).await?;
    away::measure(&mut world, plan, report, &drained).await
}

/// Things a second.
fn rate(count: u64, time: std::time::Duration) -> f64 {
    float(count) / time.as_secs_f64()
}
