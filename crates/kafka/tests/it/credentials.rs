//! Who we are to brokers: by a password, a token, a certificate.

use std::sync::Arc;

use anyhow::Result;
use sso_config::remote::Credential;
use sso_kafka::{ClientCredentials, Connection, KafkaSink, Sasl, Tls};
use sso_testkit::servers::{kafka::Kafka, registry::Registry};

use crate::support::{
    TOPIC, client, connection, deliver_all, events, secure, settings, unreachable,
};

#[tokio::test]
async fn every_mechanism_is_understood_and_a_wrong_password_told() -> Result<()> {
    let kafka = Kafka::start_secure().await?;
    kafka.create_topic(TOPIC, 1).await?;
    let registry = Registry::in_memory()?;
    let user = || "alice".to_owned();
    let password = || Credential::new("alice-secret");
    let all = [
        Sasl::Plain {
            user: user(),
            password: password(),
        },
        Sasl::ScramSha256 {
            user: user(),
            password: password(),
        },
        Sasl::ScramSha512 {
            user: user(),
            password: password(),
        },
    ];
    for (at, sasl) in (0..).zip(all) {
        let settings = settings(secure(&kafka, sasl)?);
        let sink = KafkaSink::new(settings, client(&registry)?)?;
        deliver_all(&sink, &events(at..at + 1)).await?;
    }
    assert_eq!(kafka.consume_all(TOPIC).await?.len(), 3);

    let wrong = Sasl::ScramSha256 {
        user: user(),
        password: Credential::new("wrong-secret"),
    };
    let sink = KafkaSink::new(settings(secure(&kafka, wrong)?), client(&registry)?)?;
    let why = unreachable(&sink).await?;
    assert!(why.contains("the brokers refuse our credentials"), "{why}");
    assert!(!format!("{sink:?} {why}").contains("wrong-secret"));

    // A broker whose certificate leads nowhere.
    let mut blind = secure(
        &kafka,
        Sasl::Plain {
            user: user(),
            password: password(),
        },
    )?;
    blind.tls = Some(Tls::default());
    let sink = KafkaSink::new(settings(blind), client(&registry)?)?;
    let why = unreachable(&sink).await?;
    assert!(why.contains("no TLS connection"), "{why}");
    Ok(())
}

#[tokio::test]
async fn a_token_of_an_oauth_server_is_shown_to_the_brokers() -> Result<()> {
    let kafka = Kafka::start_secure().await?;
    kafka.create_topic(TOPIC, 1).await?;
    let registry = Registry::in_memory()?;
    let tokens = crate::oauth::Server::start("client", "the client's secret", "alice").await?;
    let of = |secret| {
        let secret = Credential::new(secret);
        ClientCredentials::new(&tokens.url(), "client", &secret, Some("kafka"), None)
    };
    let sasl = Sasl::OAuthBearer(Arc::new(of("the client's secret")?));
    let sink = KafkaSink::new(settings(secure(&kafka, sasl)?), client(&registry)?)?;
    deliver_all(&sink, &events(0..1)).await?;
    assert_eq!(kafka.consume_all(TOPIC).await?.len(), 1);

    let sasl = Sasl::OAuthBearer(Arc::new(of("another secret")?));
    let sink = KafkaSink::new(settings(secure(&kafka, sasl)?), client(&registry)?)?;
    let why = unreachable(&sink).await?;
    assert!(why.contains("gives no token: it answers 401"), "{why}");
    Ok(())
}

#[tokio::test]
async fn a_producer_that_may_not_write_is_replaced_until_it_may() -> Result<()> {
    let kafka = Kafka::start_secure().await?;
    kafka.create_topic(TOPIC, 1).await?;
    let registry = Registry::in_memory()?;
    let mallory = Sasl::ScramSha256 {
        user: "mallory".into(),
        password: Credential::new("mallory-secret"),
    };
    let sink = KafkaSink::new(settings(secure(&kafka, mallory)?), client(&registry)?)?;
    let told = "the brokers do not allow us to write to topic registration";
    let why = unreachable(&sink).await?;
    assert!(why.contains(told), "{why}");
    kafka.allow_writes("mallory").await?;
    deliver_all(&sink, &events(0..1)).await
}

#[tokio::test]
async fn brokers_know_us_by_our_certificate() -> Result<()> {
    let kafka = Kafka::start_secure().await?;
    kafka.create_topic(TOPIC, 1).await?;
    let registry = Registry::in_memory()?;
    let by = |user: Option<&str>| -> Result<KafkaSink> {
        let by_certificate = Connection {
            tls: Some(Tls {
                ca: Some(kafka.authority()),
                identity: user.map(|user| kafka.identity(user)),
            }),
            ..connection(&kafka.certified_brokers()?)
        };
        Ok(KafkaSink::new(
            settings(by_certificate),
            client(&registry)?,
        )?)
    };
    deliver_all(&by(Some("alice"))?, &events(0..1)).await?;
    assert_eq!(kafka.consume_all(TOPIC).await?.len(), 1);

    let why = unreachable(&by(Some("mallory"))?).await?;
    assert!(why.contains("do not allow us to write"), "{why}");
    let why = unreachable(&by(None)?).await?;
    assert!(why.contains("no TLS connection"), "{why}");
    Ok(())
}
