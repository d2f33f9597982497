//! What Kafka and the registry need.

use super::{Kafka, Mechanism};
use crate::Rules;

impl<Own> Kafka<Own> {
    /// Says that brokers and registry are not set, because of another key if there is one.
    pub fn demand(&self, rules: &mut Rules<'_>, because: Option<(&str, &str)>) {
        let (others, text) = match because {
            Some((key, why)) => (vec![key], format!("must be set: {why}")),
            None => (Vec::new(), "must be set".to_owned()),
        };
        if self.brokers.is_empty() {
            rules.broken("kafka.brokers", &others, &text);
        }
        if self.registry_url.is_none() {
            rules.broken("kafka.registry_url", &others, &text);
        }
    }

    /// Says which rules of this section are broken, if it is used or not.
    pub fn validate(&self, rules: &mut Rules<'_>) {
        hold(rules, sasl(self));
        rules.together(
            ("kafka.tls_cert", self.tls_cert.is_some()),
            ("kafka.tls_key", self.tls_key.is_some()),
        );
        hold(rules, tls(self));
        rules.together(
            ("kafka.registry_username", self.registry_username.is_some()),
            ("kafka.registry_password", self.registry_password.is_some()),
        );
        hold(rules, registry(self));
    }
}

/// A broken rule: the key, the keys that it depends on, and the words.
type Broken = (&'static str, &'static [&'static str], &'static str);

/// Whether a rule holds, and what to say if not.
type Rule = (bool, Broken);

fn hold(rules: &mut Rules<'_>, (holds, (key, others, text)): Rule) {
    if !holds {
        rules.broken(key, others, text);
    }
}

fn sasl<Own>(kafka: &Kafka<Own>) -> Rule {
    let named = kafka.sasl_username.is_some() && kafka.sasl_password.is_some();
    let by_token = kafka.oauth_token_url.is_some()
        && kafka.oauth_client_id.is_some()
        && kafka.oauth_client_secret.is_some();
    match kafka.sasl_mechanism {
        Mechanism::None => (
            kafka.sasl_username.is_none() && kafka.sasl_password.is_none(),
            (
                "kafka.sasl_mechanism",
                &["kafka.sasl_username", "kafka.sasl_password"][..],
                "must be said beside kafka.sasl_username and kafka.sasl_password: without it they \
                 would not be used",
            ),
        ),
        Mechanism::OAuthBearer => (
            by_token,
            (
                "kafka.sasl_mechanism",
                &[
                    "kafka.oauth_token_url",
                    "kafka.oauth_client_id",
                    "kafka.oauth_client_secret",
                    "kafka.oauth_client_secret_file",
                ][..],
                "is oauthbearer, which needs kafka.oauth_token_url, kafka.oauth_client_id and \
                 kafka.oauth_client_secret",
            ),
        ),
        Mechanism::Plain | Mechanism::ScramSha256 | Mechanism::ScramSha512 => (
            named,
            (
                "kafka.sasl_mechanism",
                &[
                    "kafka.sasl_username",
                    "kafka.sasl_password",
                    "kafka.sasl_password_file",
                ][..],
                "needs kafka.sasl_username and kafka.sasl_password",
            ),
        ),
    }
}

fn tls<Own>(kafka: &Kafka<Own>) -> Rule {
    let needless = kafka.tls_ca.is_none() && kafka.tls_cert.is_none() && kafka.tls_key.is_none();
    let used = (
        "kafka.tls",
        &["kafka.tls_ca", "kafka.tls_cert", "kafka.tls_key"][..],
        "must be true: kafka.tls_ca and kafka.tls_cert are for TLS",
    );
    (kafka.tls || needless, used)
}

fn registry<Own>(kafka: &Kafka<Own>) -> Rule {
    let both = (
        "kafka.registry_token",
        &["kafka.registry_username"][..],
        "is set beside kafka.registry_username: one of them must go",
    );
    let (token, user) = (&kafka.registry_token, &kafka.registry_username);
    (token.is_none() || user.is_none(), both)
}
