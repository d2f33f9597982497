//! Events on real brokers: from the registration to the topic, through outages and crashes.

mod outage;
mod sentences;

use std::time::Duration;

use anyhow::{Context, Result};
use prost::Message;
use serde_json::Value;
use sso_events::registration::RegistrationMessage;
use sso_testkit::{
    persona::Persona,
    process::{Server, Site},
    servers::{
        kafka::{Kafka, Record},
        registry::Registry,
    },
};

use crate::support::{eventually_within, site};

pub(crate) const TOPIC: &str = "registration";
/// For what a busy machine does within a second.
pub(crate) const LONG: Duration = Duration::from_mins(1);

/// A site whose events go to this cluster.
pub(crate) fn site_on(brokers: &str, registry: &str) -> Result<Site> {
    let mut site = site()?;
    site.set("SSO__EVENTS__SINK", "kafka")
        .set("SSO__KAFKA__BROKERS", brokers)
        .set("SSO__KAFKA__REGISTRY_URL", registry)
        .set("SSO__KAFKA__DELIVERY_TIMEOUT", "2s");
    Ok(site)
}

/// `sso events list`.
pub(crate) fn listed(site: &Site) -> Result<Vec<Value>> {
    let list = site.run_ok(&["events", "list", "--output", "json"])?;
    Ok(serde_json::from_str(&list)?)
}

/// Waits until every event of the site stands as `Success`.
pub(crate) async fn all_delivered(site: &Site, count: usize) -> Result<()> {
    eventually_within(LONG, "all events are delivered", async || {
        let listed = listed(site)?;
        Ok(listed.len() == count && listed.iter().all(|event| event["status"] == "Success"))
    })
    .await
}

/// The message of a record, without its frame of six bytes.
pub(crate) fn message(record: &Record) -> Result<RegistrationMessage> {
    let value = record.value.as_deref().context("no value")?;
    let (frame, message) = value.split_at_checked(6).context("no frame")?;
    anyhow::ensure!(frame[0] == 0 && frame[5] == 0, "{frame:?}");
    Ok(RegistrationMessage::decode(message)?)
}

/// The state of a dependency, as readiness tells it.
pub(crate) async fn dependency(server: &Server, name: &str) -> Result<Value> {
    let ready = server.admin.get("/auth/ready", None).await?;
    let ready = ready.json();
    let all = ready["dependencies"]
        .as_array()
        .context("no dependencies")?;
    let found = all.iter().find(|found| found["name"] == name);
    Ok(found.cloned().unwrap_or_default())
}

#[tokio::test]
async fn a_registration_reaches_the_topic_and_stands_as_success() -> Result<()> {
    let kafka = Kafka::start().await?;
    kafka.create_topic(TOPIC, 3).await?;
    let registry = Registry::start(&kafka).await?;
    let site = site_on(&kafka.brokers(), &registry.url())?;
    let server = site.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    all_delivered(&site, 1).await?;

    let records = kafka.consume_all(TOPIC).await?;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].key.as_deref(), Some(alice.id.as_bytes()));
    let event = message(&records[0])?;
    assert_eq!(event.user_id, alice.id);
    assert_eq!(event.email, "alice@example.com");
    assert_eq!(event.r#type, "registration");
    let id = listed(&site)?[0]["event_id"].clone();
    assert_eq!(id, *event.event_id);
    assert_eq!(records[0].header("event-id").as_deref(), id.as_str());
    let content_type = records[0].header("content-type");
    assert_eq!(content_type.as_deref(), Some("application/x-protobuf"));
    assert_eq!(registry.level("registration-value"), "BACKWARD_TRANSITIVE");

    let metric = async |series: &str| server.admin.metric::<u64>(series).await;
    let sent = r#"sso_kafka_sends_total{outcome="delivered"}"#;
    assert_eq!(metric(sent).await?, 1);
    let registered = r#"sso_registry_requests_total{operation="register",outcome="ok"}"#;
    assert!(metric(registered).await? >= 1);
    eventually_within(LONG, "all dependencies are looked at", async || {
        let ready = server.http.get("/auth/ready", None).await?;
        Ok(ready.json()["state"] == "ready")
    })
    .await?;
    let log = site.log()?;
    for secret in ["alice@", "the secret of"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    Ok(())
}
