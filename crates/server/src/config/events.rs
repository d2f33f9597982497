//! Rules of `events.sink = "kafka"`: what Kafka and the registry need.

use super::section::{Config, Kafka, Mechanism, Sink};

/// A broken rule: the key, the keys that it depends on, and the words.
pub(super) type Broken = (&'static str, &'static [&'static str], &'static str);

/// All rules of Kafka that are broken.
pub(super) fn broken(config: &Config) -> Vec<Broken> {
    let mut rules = Vec::new();
    if config.events.sink == Sink::Kafka {
        rules.extend(needed(&config.kafka));
    }
    rules.extend(sasl(&config.kafka));
    rules.extend(tls(&config.kafka));
    rules.extend(registry(&config.kafka));
    let broken = rules.into_iter().filter(|(holds, _)| !holds);
    broken.map(|(_, broken)| broken).collect()
}

/// Whether a rule holds, and what to say if not.
type Rule = (bool, Broken);

fn needed(kafka: &Kafka) -> [Rule; 2] {
    let brokers = (
        "kafka.brokers",
        &["events.sink"][..],
        "must be set: events.sink is kafka",
    );
    let registry = (
        "kafka.registry_url",
        &["events.sink"][..],
        "must be set: events.sink is kafka",
    );
    [
        (!kafka.brokers.is_empty(), brokers),
        (kafka.registry_url.is_some(), registry),
    ]
}

fn sasl(kafka: &Kafka) -> [Rule; 2] {
    let named = kafka.sasl_username.is_some() && kafka.sasl_password.is_some();
    let by_token = kafka.oauth_token_url.is_some()
        && kafka.oauth_client_id.is_some()
        && kafka.oauth_client_secret.is_some();
    let who = match kafka.sasl_mechanism {
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
    };
    let one_url = kafka
        .oauth_token_url
        .as_ref()
        .is_none_or(|urls| urls.iter().count() == 1);
    let url = (
        "kafka.oauth_token_url",
        &[][..],
        "must be one URL, not several",
    );
    [who, (one_url, url)]
}

fn tls(kafka: &Kafka) -> [Rule; 2] {
    let (certificate, key) = (kafka.tls_cert.is_some(), kafka.tls_key.is_some());
    let given = if certificate {
        (
            "kafka.tls_cert",
            &["kafka.tls_key"][..],
            "needs kafka.tls_key beside it",
        )
    } else {
        (
            "kafka.tls_key",
            &["kafka.tls_cert"][..],
            "needs kafka.tls_cert beside it",
        )
    };
    let used = (
        "kafka.tls",
        &["kafka.tls_ca", "kafka.tls_cert", "kafka.tls_key"][..],
        "must be true: kafka.tls_ca and kafka.tls_cert are for TLS",
    );
    let needless = kafka.tls_ca.is_none() && !certificate && !key;
    [(certificate == key, given), (kafka.tls || needless, used)]
}

fn registry(kafka: &Kafka) -> [Rule; 2] {
    let user = kafka.registry_username.is_some();
    let password = kafka.registry_password.is_some();
    let given = if user {
        (
            "kafka.registry_username",
            &["kafka.registry_password", "kafka.registry_password_file"][..],
            "needs kafka.registry_password beside it",
        )
    } else {
        (
            "kafka.registry_password",
            &["kafka.registry_username"][..],
            "needs kafka.registry_username beside it",
        )
    };
    let both = (
        "kafka.registry_token",
        &["kafka.registry_username"][..],
        "is set beside kafka.registry_username: one of them must go",
    );
    let token = kafka.registry_token.is_some();
    [(user == password, given), (!token || !user, both)]
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::{Sources, load};

    fn problems(settings: &[(&str, &str)]) -> String {
        let mut sources = Sources::default();
        for (key, value) in settings {
            let name = format!("SSO__KAFKA__{key}");
            sources.env.push((name.into(), value.into()));
        }
        let kafka = ("SSO__EVENTS__SINK".into(), "kafka".into());
        sources.env.push(kafka);
        load(sources).map_or_else(|problems| problems.to_string(), |_| "none".to_owned())
    }

    const GOOD: [(&str, &str); 2] = [
        ("BROKERS", "a:9092,[::1]:9093"),
        ("REGISTRY_URL", "http://a:8081, https://b/registry"),
    ];

    #[test]
    fn brokers_and_a_registry_are_enough() {
        assert_eq!(problems(&GOOD), "none");
        assert_snapshot!(problems(&[]), @r"
        kafka.brokers (default): must be set: events.sink is kafka
        kafka.registry_url (default): must be set: events.sink is kafka
        ");
    }

    #[test]
    fn what_is_half_said_is_told_and_no_secret_with_it() {
        let half = [
            ("SASL_MECHANISM", "plain"),
            ("SASL_PASSWORD", "hidden"),
            ("TLS_CA", "ca.pem"),
            ("TLS_CERT", "cert.pem"),
            ("REGISTRY_PASSWORD", "hidden"),
        ];
        assert_snapshot!(problems(&[&GOOD[..], &half].concat()), @r"
        kafka.sasl_mechanism (SSO__KAFKA__SASL_MECHANISM): needs kafka.sasl_username and kafka.sasl_password
        kafka.tls_cert (SSO__KAFKA__TLS_CERT): needs kafka.tls_key beside it
        kafka.registry_password (SSO__KAFKA__REGISTRY_PASSWORD): needs kafka.registry_username beside it
        ");
        let wrong = [
            ("BROKERS", "a"),
            ("TOPIC", "a/b"),
            ("REGISTRY_URL", "http://me:hidden@b"),
            ("SASL_MECHANISM", "oauthbearer"),
            ("MAX_RECORD", "1"),
        ];
        assert_snapshot!(problems(&wrong), @r"
        kafka.max_record (SSO__KAFKA__MAX_RECORD): must be a whole number from 1000 to 16777216
        kafka.brokers (SSO__KAFKA__BROKERS): must be a host and a port, such as kafka1.example.com:9092 or [::1]:9092
        kafka.topic (SSO__KAFKA__TOPIC): must be a topic's name: 1 to 249 of the characters a-z A-Z 0-9 . _ -
        kafka.registry_url (SSO__KAFKA__REGISTRY_URL): must be an http or https URL without credentials, query and fragment, such as http://registry.example.com:8081; several, up to 16, are comma-separated
        kafka.sasl_mechanism (SSO__KAFKA__SASL_MECHANISM): is oauthbearer, which needs kafka.oauth_token_url, kafka.oauth_client_id and kafka.oauth_client_secret
        ");
    }
}
