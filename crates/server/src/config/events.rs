//! Rules of `events.sink = "kafka"`: what Kafka and the registry need.

use super::section::{Config, Mechanism, Sink};

/// A broken rule: the key, the keys that it depends on, and the words.
pub(super) type Broken = (&'static str, &'static [&'static str], &'static str);

/// All rules of Kafka that are broken.
pub(super) fn broken(config: &Config) -> Vec<Broken> {
    let kafka = &config.kafka;
    let mut broken: Vec<Broken> = Vec::new();
    let mut rule = |holds: bool, broken_rule: Broken| {
        if !holds {
            broken.push(broken_rule);
        }
    };
    let used = config.events.sink == Sink::Kafka;
    rule(
        !used || !kafka.brokers.is_empty(),
        (
            "events.sink",
            &["kafka.brokers"],
            "is kafka, which needs kafka.brokers",
        ),
    );
    rule(
        !used || kafka.registry_url.is_some(),
        (
            "events.sink",
            &["kafka.registry_url"],
            "is kafka, which needs kafka.registry_url",
        ),
    );
    let named = kafka.sasl_username.is_some() && kafka.sasl_password.is_some();
    let by_token = kafka.oauth_token_url.is_some()
        && kafka.oauth_client_id.is_some()
        && kafka.oauth_client_secret.is_some();
    match kafka.sasl_mechanism {
        Mechanism::None => {}
        Mechanism::OAuthBearer => rule(
            by_token,
            (
                "kafka.sasl_mechanism",
                &[
                    "kafka.oauth_token_url",
                    "kafka.oauth_client_id",
                    "kafka.oauth_client_secret",
                    "kafka.oauth_client_secret_file",
                ],
                "is oauthbearer, which needs kafka.oauth_token_url, kafka.oauth_client_id and \
                 kafka.oauth_client_secret",
            ),
        ),
        Mechanism::Plain | Mechanism::ScramSha256 | Mechanism::ScramSha512 => rule(
            named,
            (
                "kafka.sasl_mechanism",
                &[
                    "kafka.sasl_username",
                    "kafka.sasl_password",
                    "kafka.sasl_password_file",
                ],
                "needs kafka.sasl_username and kafka.sasl_password",
            ),
        ),
    }
    rule(
        kafka.sasl_mechanism != Mechanism::None || kafka.sasl_username.is_none(),
        (
            "kafka.sasl_username",
            &["kafka.sasl_mechanism"],
            "needs kafka.sasl_mechanism beside it: without one it would not be used",
        ),
    );
    rule(
        kafka.tls_cert.is_some() == kafka.tls_key.is_some(),
        (
            "kafka.tls_cert",
            &["kafka.tls_key"],
            "and kafka.tls_key come together",
        ),
    );
    rule(
        kafka.tls || (kafka.tls_ca.is_none() && kafka.tls_cert.is_none()),
        (
            "kafka.tls",
            &["kafka.tls_ca", "kafka.tls_cert"],
            "must be true: kafka.tls_ca and kafka.tls_cert are for TLS",
        ),
    );
    rule(
        kafka.registry_username.is_some() == kafka.registry_password.is_some(),
        (
            "kafka.registry_username",
            &["kafka.registry_password", "kafka.registry_password_file"],
            "and kafka.registry_password come together",
        ),
    );
    rule(
        kafka.registry_token.is_none() || kafka.registry_username.is_none(),
        (
            "kafka.registry_token",
            &["kafka.registry_username"],
            "is set beside kafka.registry_username: one of them must go",
        ),
    );
    broken
}
