//! What Kafka and the registry need.

use super::{Kafka, Mechanism};

/// A broken rule: the key, the keys that it depends on, and the words.
pub(super) type Broken = (&'static str, &'static [&'static str], &'static str);

/// All rules of Kafka that are broken.
pub(super) fn broken(kafka: &Kafka) -> Vec<Broken> {
    let mut rules = Vec::from(needed(kafka));
    rules.extend(sasl(kafka));
    rules.extend(tls(kafka));
    rules.extend(registry(kafka));
    let broken = rules.into_iter().filter(|(holds, _)| !holds);
    broken.map(|(_, broken)| broken).collect()
}

/// Whether a rule holds, and what to say if not.
type Rule = (bool, Broken);

fn needed(kafka: &Kafka) -> [Rule; 2] {
    let brokers = ("kafka.brokers", &[][..], "must be set");
    let registry = ("kafka.registry_url", &[][..], "must be set");
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
