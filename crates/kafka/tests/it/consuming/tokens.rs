//! Consumers and readers of dead letters that show tokens (RFC 7628).

use std::sync::Arc;

use anyhow::Result;
use sso_config::remote::Credential;
use sso_kafka::{
    ClientCredentials, Connection, Sasl,
    consumer::{Outcome, dead_letter::DeadLetterTopic},
};
use sso_testkit::servers::{kafka::Kafka, registry::Registry};

use super::{DEAD_LETTERS, Notes, Running, dead_letter_topic, topics_of};
use crate::{
    oauth::Server,
    support::{client, deliver_all, event, events, eventually, id, secure, sink},
};

const SECRET: &str = "the client's secret";

async fn cluster() -> Result<(Kafka, Registry, Server)> {
    let kafka = Kafka::start_secure().await?;
    topics_of(&kafka, 1).await?;
    let tokens = Server::start("client", SECRET, "alice").await?;
    Ok((kafka, Registry::in_memory()?, tokens))
}

fn by_token(kafka: &Kafka, tokens: &Server, secret: &str) -> Result<Connection> {
    let secret = Credential::new(secret);
    let tokens = ClientCredentials::new(&tokens.url(), "client", &secret, Some("kafka"), None)?;
    secure(kafka, Sasl::OAuthBearer(Arc::new(tokens)))
}

/// It is polled on threads of the runtime, and fetches its tokens there.
#[tokio::test(flavor = "multi_thread")]
async fn events_are_consumed_by_token() -> Result<()> {
    let (kafka, registry, tokens) = cluster().await?;
    deliver_all(&sink(&kafka, &registry)?, &events(0..10)).await?;
    let connection = by_token(&kafka, &tokens, SECRET)?;
    let notes = Arc::new(Notes::default());
    let poisoned = id(9);
    notes.order(poisoned, &[Outcome::Park("no such mailbox".into())]);
    let running = Running::start_with(&kafka, &registry, &notes, |settings| {
        settings.connection = connection;
    })?;
    eventually("all are handled", async || Ok(notes.count() == 10)).await?;
    assert_eq!(running.health.look().await, None);
    // Its letters are written by token, too.
    deliver_all(&sink(&kafka, &registry)?, &[event(id(100), poisoned)]).await?;
    eventually("it is parked", async || {
        Ok(kafka.consume_all(DEAD_LETTERS).await?.len() == 1)
    })
    .await?;
    running.stop().await
}

#[tokio::test]
async fn dead_letters_are_listed_and_sent_again_by_token() -> Result<()> {
    let (kafka, registry, tokens) = cluster().await?;
    let poisoned = id(9);
    let notes = Arc::new(Notes::default());
    notes.order(poisoned, &[Outcome::Park("no such mailbox".into())]);
    let running = Running::start(&kafka, &registry, &notes)?;
    deliver_all(&sink(&kafka, &registry)?, &[event(id(1), poisoned)]).await?;
    let letters = |secret| {
        anyhow::Ok(DeadLetterTopic {
            connection: by_token(&kafka, &tokens, secret)?,
            ..dead_letter_topic(&kafka)
        })
    };
    let reader = letters(SECRET)?;
    eventually("it is parked", async || {
        Ok(reader.list(10).await?.len() == 1)
    })
    .await?;
    let letter = reader.list(10).await?.remove(0);
    assert_eq!(letter.reason, "no such mailbox");
    reader
        .resend(
            &[(letter.partition, letter.offset)],
            client(&registry)?.as_ref(),
        )
        .await?;
    assert_eq!(reader.list(10).await?, []);
    eventually("it is handled", async || {
        Ok(notes.of(poisoned) == [1, 1].map(id))
    })
    .await?;

    let refused = letters("another secret")?.list(10).await;
    let why = refused.unwrap_err().to_string();
    assert!(why.contains("gives no token: it answers 401"), "{why}");
    running.stop().await
}
