//! One clear sentence for each mistake; the event is kept, its status tells.

use anyhow::{Context, Result};
use serde_json::Value;
use sso_testkit::{
    persona::Persona,
    process::Site,
    servers::{kafka::Kafka, registry::Registry},
};

use super::{LONG, TOPIC, all_delivered, dependency, listed, site_on};
use crate::support::{eventually_within, site};

/// What `sso doctor` says of one thing.
fn finding(site: &Site, check: &str) -> Result<(String, String)> {
    let report = site.run(&["doctor", "--output", "json"])?;
    let report: Value = serde_json::from_slice(&report.stdout)?;
    let findings = report["findings"].as_array().context("no findings")?;
    let found = findings.iter().find(|finding| finding["check"] == check);
    let found = found.with_context(|| format!("{check} in {report}"))?;
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    Ok((text("severity"), text("what")))
}

#[tokio::test]
async fn a_missing_topic_is_told_and_the_event_waits_for_it() -> Result<()> {
    let kafka = Kafka::start().await?;
    let registry = Registry::in_memory()?;
    let site = site_on(&kafka.brokers(), &registry.url())?;
    let sentence = "there is no topic registration: create it, or correct kafka.topic";
    let told = ("error".to_owned(), sentence.to_owned());
    assert_eq!(finding(&site, "kafka.brokers")?, told);
    assert!(
        registry.schemas("registration-value").is_empty(),
        "doctor changes nothing"
    );

    let server = site.serve().await?;
    Persona::register(&server.http, "alice").await?;
    eventually_within(LONG, "readiness tells", async || {
        Ok(dependency(&server, "kafka").await?["cause"] == sentence)
    })
    .await?;
    let events = listed(&site)?;
    assert_eq!(
        (&events[0]["status"], &events[0]["attempts"]),
        (&"inProgress".into(), &0.into())
    );
    kafka.create_topic(TOPIC, 1).await?;
    all_delivered(&site, 1).await?;
    assert_eq!(finding(&site, "kafka.brokers")?.0, "ok");
    assert_eq!(finding(&site, "kafka.registry_url")?.0, "ok");
    Ok(())
}

#[tokio::test]
async fn a_record_that_is_too_large_fails_and_others_go_on() -> Result<()> {
    let kafka = Kafka::start().await?;
    let limit = [("max.message.bytes", "500")];
    kafka.create_topic_with(TOPIC, 1, &limit).await?;
    let registry = Registry::in_memory()?;
    let site = site_on(&kafka.brokers(), &registry.url())?;
    let server = site.serve().await?;
    let label = "y".repeat(60);
    let long = format!("{}@{label}.{label}.{label}.example", "x".repeat(60));
    let body = serde_json::json!({ "email": long, "password": "the secret of x", "name": "z".repeat(100) });
    let reply = server.http.post("/auth/registration", &body).await?;
    assert_eq!(reply.status, 201, "{reply:?}");
    Persona::register(&server.http, "alice").await?;
    eventually_within(LONG, "it has failed, and nothing else", async || {
        let events = listed(&site)?;
        Ok(events[0]["status"] == "Failed" && events[1]["status"] == "Success")
    })
    .await?;
    assert_eq!(listed(&site)?[0]["attempts"], 5);
    assert!(site.log()?.contains("larger than topic registration takes"));
    let failed = r#"sso_kafka_failures_total{reason="too_large"}"#;
    assert_eq!(server.admin.metric::<u64>(failed).await?, 5);
    Ok(())
}

#[tokio::test]
async fn a_wrong_registry_address_is_told() -> Result<()> {
    let kafka = Kafka::start().await?;
    kafka.create_topic(TOPIC, 1).await?;
    // Something answers there, and it is no registry.
    let other_site = site()?;
    let other = other_site.serve().await?;
    let site = site_on(&kafka.brokers(), &format!("http://{}", other.http_address))?;
    let sentence = format!(
        "there is no schema registry at http://{}: see kafka.registry_url",
        other.http_address
    );
    let told = ("error".to_owned(), sentence.clone());
    assert_eq!(finding(&site, "kafka.registry_url")?, told);
    let server = site.serve().await?;
    Persona::register(&server.http, "alice").await?;
    eventually_within(LONG, "readiness tells", async || {
        Ok(dependency(&server, "registry").await?["cause"] == *sentence)
    })
    .await?;
    let events = listed(&site)?;
    assert_eq!(
        (&events[0]["status"], &events[0]["attempts"]),
        (&"inProgress".into(), &0.into())
    );
    Ok(())
}

#[tokio::test]
async fn a_producer_without_the_right_to_write_is_told_and_goes_on_when_it_has_it() -> Result<()> {
    let kafka = Kafka::start_secure().await?;
    kafka.create_topic(TOPIC, 1).await?;
    let registry = Registry::in_memory_tls()?;
    registry.require_bearer("token of the registry");
    let mut site = site_on(&kafka.secure_brokers()?, &registry.url())?;
    let password = site.folder().join("password");
    std::fs::write(&password, "mallory-secret\n")?;
    site.set("SSO__KAFKA__TLS", true)
        .set("SSO__KAFKA__TLS_CA", kafka.authority().display())
        .set("SSO__KAFKA__SASL_MECHANISM", "scram-sha-512")
        .set("SSO__KAFKA__SASL_USERNAME", "mallory")
        .set("SSO__KAFKA__SASL_PASSWORD_FILE", password.display())
        .set("SSO__KAFKA__REGISTRY_CA", registry.authority()?.display())
        .set("SSO__KAFKA__REGISTRY_TOKEN", "token of the registry");
    let server = site.serve().await?;
    Persona::register(&server.http, "alice").await?;
    eventually_within(LONG, "readiness tells", async || {
        let cause = dependency(&server, "kafka").await?["cause"].clone();
        Ok(cause
            .as_str()
            .is_some_and(|cause| cause.contains("do not allow us to write to topic registration")))
    })
    .await?;
    assert_eq!(listed(&site)?[0]["status"], "inProgress");
    kafka.allow_writes("mallory").await?;
    all_delivered(&site, 1).await?;
    for secret in ["mallory-secret", "token of the registry"] {
        assert!(!site.log()?.contains(secret), "{secret} is in the log");
        assert!(!site.run_ok(&["config", "show"])?.contains(secret));
    }
    Ok(())
}
