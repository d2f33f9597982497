//! Rules of `events.sink = "kafka"`: what Kafka and the registry need.

use insta::assert_snapshot;

use crate::config::{Sources, load};

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
    kafka.registry_url (SSO__KAFKA__REGISTRY_URL): must be an http or https URL without credentials, query and fragment, such as http://host.example.com:8081; several, up to 16, are comma-separated
    kafka.sasl_mechanism (SSO__KAFKA__SASL_MECHANISM): is oauthbearer, which needs kafka.oauth_token_url, kafka.oauth_client_id and kafka.oauth_client_secret
    ");
}

#[test]
fn tokens_come_from_one_url() {
    let by_token = |url| {
        let oauth = [
            ("TLS", "true"),
            ("SASL_MECHANISM", "oauthbearer"),
            ("OAUTH_CLIENT_ID", "sso"),
            ("OAUTH_CLIENT_SECRET", "hidden"),
            ("OAUTH_TOKEN_URL", url),
        ];
        problems(&[&GOOD[..], &oauth].concat())
    };
    assert_eq!(by_token("https://login/token"), "none");
    assert_snapshot!(by_token("https://login/token, https://other/token"), @"kafka.oauth_token_url (SSO__KAFKA__OAUTH_TOKEN_URL): must be one http or https URL without credentials, query and fragment, such as https://login.example.com/oauth2/token");
}
