//! Kafka and the schema registry, if events go there.

use sso_config::kafka::Mechanism;

use super::Finding;
use crate::{
    config::{
        Config, Urls,
        section::{Kafka, Sink},
    },
    wiring,
};

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if config.events.sink != Sink::Kafka {
        return findings;
    }
    in_clear(&config.kafka, &mut findings);
    let status = match wiring::examine_kafka(config) {
        Ok(status) => status,
        Err(failed) => {
            let what = failed.message().to_owned();
            findings.push(Finding::error("kafka", what, "correct it"));
            return findings;
        }
    };
    let topic = config.kafka.topic.as_str();
    findings.push(match status.kafka {
        None => Finding::ok(
            "kafka.brokers",
            format!("they answer and have topic {topic}"),
        ),
        Some(what) => Finding::error("kafka.brokers", what, WAITING),
    });
    findings.push(match status.registry {
        None => Finding::ok("kafka.registry_url", "it answers and takes the schema"),
        Some(what) => Finding::error("kafka.registry_url", what, WAITING),
    });
    findings
}

const WAITING: &str = "events wait in the database until this is repaired; none is lost";

/// What others can read on its way.
fn in_clear(kafka: &Kafka, findings: &mut Vec<Finding>) {
    let far = kafka.brokers.iter().any(|broker| !broker.is_local());
    if far && !kafka.tls {
        let what = if kafka.sasl_mechanism == Mechanism::Plain {
            "the password and personal data travel to the brokers in clear"
        } else {
            "personal data travel to the brokers in clear"
        };
        findings.push(Finding::warning("kafka.tls", what, "set it to true"));
    }
    let shown = kafka.registry_token.is_some() || kafka.registry_password.is_some();
    if shown && kafka.registry_url.as_ref().is_some_and(Urls::any_in_clear) {
        findings.push(Finding::warning(
            "kafka.registry_url",
            "our credentials travel to the registry in clear",
            "take an https URL",
        ));
    }
}
