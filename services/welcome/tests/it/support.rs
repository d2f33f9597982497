//! What these tests share.

use anyhow::{Result, ensure};
use sso_events::{Registered, encode_registration};
use sso_kafka::{REGISTRATION_SCHEMA, wire};
use sso_testkit::{
    program::Program,
    servers::{Postgres, SmtpSink, kafka::Kafka, registry::Registry},
};
use time::OffsetDateTime;
use uuid::Uuid;

pub(crate) const TOPIC: &str = "registration";
const PARTITIONS: i32 = 3;
pub(crate) const DEAD_LETTERS: &str = "registration.welcome.dead-letter";

/// A cluster, a registry, a mail server, and the service before its start.
pub(crate) struct World {
    pub(crate) kafka: Kafka,
    /// Alive as long as the world is.
    _registry: Registry,
    pub(crate) smtp: SmtpSink,
    pub(crate) welcome: Program,
    schema: u32,
}

impl World {
    pub(crate) async fn new() -> Result<Self> {
        Self::with_mail_server(SmtpSink::start()?).await
    }

    pub(crate) async fn with_mail_server(smtp: SmtpSink) -> Result<Self> {
        let kafka = Kafka::start().await?;
        kafka.create_topic(TOPIC, PARTITIONS).await?;
        kafka.create_topic(DEAD_LETTERS, 1).await?;
        let registry = Registry::in_memory()?;
        let schema = registry.register("registration-value", REGISTRATION_SCHEMA)?;
        let mut welcome = Program::new("welcome", env!("CARGO_BIN_EXE_welcome"))?;
        welcome
            .set("kafka.brokers", kafka.brokers())
            .set("kafka.registry_url", registry.url())
            .set("smtp.url", format!("smtp://{}", smtp.address()))
            .set("smtp.from", "Example <noreply@example.org>")
            .set("smtp.retry_first", "50ms")
            .set("smtp.retry_longest", "200ms");
        Ok(Self {
            kafka,
            _registry: registry,
            smtp,
            welcome,
            schema,
        })
    }

    /// Another service on the same servers, with a topic, a group, a mail server and a memory of its
    /// own.
    pub(crate) async fn lane(&self, number: usize) -> Result<Lane> {
        let topic = format!("lane{number}");
        self.kafka.create_topic(&topic, PARTITIONS).await?;
        let smtp = SmtpSink::start()?;
        let mut welcome = self.welcome.another()?;
        welcome
            .set("kafka.topic", &topic)
            .set("kafka.group", &topic)
            .set("smtp.url", format!("smtp://{}", smtp.address()));
        Ok(Lane {
            topic,
            smtp,
            welcome,
        })
    }

    /// Writes the registration of a user.
    pub(crate) async fn register(&self, user: &User) -> Result<()> {
        self.register_at(user, now()).await
    }

    pub(crate) async fn register_at(&self, user: &User, at: OffsetDateTime) -> Result<()> {
        self.register_in(TOPIC, user, at).await
    }

    pub(crate) async fn register_in(
        &self,
        topic: &str,
        user: &User,
        at: OffsetDateTime,
    ) -> Result<()> {
        let message = encode_registration(&Registered {
            event_id: user.event,
            user_id: user.id,
            email: &user.email,
            name: Some(&user.name),
            at,
        });
        let value = wire::frame(self.schema, &message);
        let (key, event) = (user.id.to_string(), user.event.to_string());
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let headers = [("event-id", event.as_str()), ("traceparent", trace)];
        self.kafka
            .produce(topic, key.as_bytes(), &value, &headers)
            .await
    }

    /// Waits for so many mails, and fails if there are more.
    pub(crate) async fn mails(
        &self,
        count: usize,
    ) -> Result<Vec<sso_testkit::servers::smtp::Mail>> {
        let mails = self.smtp.wait_for(count).await?;
        ensure!(mails.len() == count, "{} mails, not {count}", mails.len());
        Ok(mails)
    }
}

/// One of several services that know nothing of each other.
pub(crate) struct Lane {
    pub(crate) topic: String,
    pub(crate) smtp: SmtpSink,
    pub(crate) welcome: Program,
}

/// A database of its own on the shared server.
#[expect(
    clippy::disallowed_methods,
    reason = "names of databases, not what is tested"
)]
pub(crate) async fn database() -> Result<String> {
    let name = format!("welcome_{}", Uuid::new_v4().simple());
    Postgres::shared().await?.database(&name).await
}

/// The time of the machine: registrations of tests are of now.
#[expect(
    clippy::disallowed_methods,
    reason = "the service asks the machine, too"
)]
pub(crate) fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// Who registers.
pub(crate) struct User {
    pub(crate) event: Uuid,
    pub(crate) id: Uuid,
    pub(crate) email: String,
    pub(crate) name: String,
}

impl User {
    pub(crate) fn new(number: u128, email: &str) -> Self {
        Self {
            event: Uuid::from_u128(number),
            id: Uuid::from_u128(1_000_000 + number),
            email: email.to_owned(),
            name: "Ada".to_owned(),
        }
    }

    /// The Message-ID of his mail.
    pub(crate) fn message_id(&self) -> String {
        format!("<{}@example.org>", self.event)
    }
}
