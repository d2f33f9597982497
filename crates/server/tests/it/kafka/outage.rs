//! Kafka or the registry away, and crashes in between.

use anyhow::Result;
use sso_testkit::{
    persona::Persona,
    servers::{kafka::Kafka, registry::Registry},
};

use super::{LONG, TOPIC, all_delivered, dependency, listed, message, site_on};
use crate::support::eventually_within;

#[tokio::test]
async fn registrations_go_on_without_kafka_and_follow_once() -> Result<()> {
    let mut kafka = Kafka::start().await?;
    kafka.create_topic(TOPIC, 1).await?;
    let mut registry = Registry::start(&kafka).await?;
    registry.go_away();
    kafka.kill_all();
    let site = site_on(&kafka.brokers(), &registry.url())?;
    let server = site.serve().await?;
    let mut users = Vec::new();
    for number in 0..20 {
        users.push(
            Persona::register(&server.http, &format!("user{number}"))
                .await?
                .id,
        );
    }
    let waiting = r#"sso_outbox_backlog{status="inProgress"}"#;
    eventually_within(LONG, "the backlog tells", async || {
        Ok(server.admin.metric::<u64>(waiting).await? == 20)
    })
    .await?;
    for name in ["kafka", "registry"] {
        eventually_within(LONG, "readiness tells", async || {
            Ok(dependency(&server, name).await?["state"] == "down")
        })
        .await?;
    }
    let ready = server.http.get("/auth/ready", None).await?;
    assert_eq!(
        (ready.status.as_u16(), &*ready.text("state")),
        (200, "degraded")
    );
    assert!(listed(&site)?.iter().all(|event| event["attempts"] == 0));

    kafka.start_all().await?;
    registry.come_back()?;
    all_delivered(&site, 20).await?;
    let records = kafka.consume_all(TOPIC).await?;
    let mut delivered: Vec<_> = records
        .iter()
        .map(|record| Ok(message(record)?.user_id))
        .collect::<Result<_>>()?;
    delivered.sort();
    users.sort();
    assert_eq!(delivered, users);
    let ready = async || Ok(server.http.get("/auth/ready", None).await?.text("state") == "ready");
    eventually_within(LONG, "it is ready again", ready).await
}

#[tokio::test]
async fn a_crash_between_sending_and_the_report_delivers_again_under_the_same_id() -> Result<()> {
    let mut kafka = Kafka::start().await?;
    kafka.create_topic(TOPIC, 1).await?;
    let registry = Registry::start(&kafka).await?;
    let site = site_on(&kafka.brokers(), &registry.url())?;
    let mut server = site.serve().await?;
    Persona::register(&server.http, "alice").await?;
    all_delivered(&site, 1).await?;

    // Nobody can write down what becomes of the next event.
    kafka.freeze(1)?;
    let bob = Persona::register(&server.http, "bob").await?;
    let database = rusqlite::Connection::open(site.data_dir().join("sso.db"))?;
    database.execute_batch("BEGIN IMMEDIATE")?;
    kafka.thaw(1)?;
    eventually_within(LONG, "the event is in the topic", async || {
        Ok(kafka.consume_all(TOPIC).await?.len() == 2)
    })
    .await?;
    server.kill()?;
    drop(database);
    assert!(
        listed(&site)?
            .iter()
            .any(|event| event["status"] == "inProgress")
    );

    let _server = site.serve().await?;
    all_delivered(&site, 2).await?;
    let records = kafka.consume_all(TOPIC).await?;
    let of_bob: Vec<_> = records
        .iter()
        .filter(|record| record.key.as_deref() == Some(bob.id.as_bytes()))
        .collect();
    assert_eq!(of_bob.len(), 2, "{records:?}");
    assert_eq!(of_bob[0].value, of_bob[1].value);
    assert_eq!(of_bob[0].headers, of_bob[1].headers);
    Ok(())
}
