//! What cannot be handled: to the dead-letter topic, and what follows of its key after it.

use std::sync::Arc;

use anyhow::Result;
use sso_events::EventSink;
use sso_kafka::consumer::Outcome;
use sso_testkit::servers::{kafka::Kafka, registry::Registry};

use super::{DEAD_LETTERS, GROUP, Notes, Running, dead_letter_topic, dead_letters, panics, topics};
use crate::support::{TOPIC, client, event, eventually, id, sink};

#[tokio::test]
async fn poison_is_parked_with_its_reason_and_what_follows_of_its_key_too() -> Result<()> {
    let (kafka, registry) = topics(1).await?;
    let sink = sink(&kafka, &registry)?;
    let poisoned = id(9);
    let batch = [
        event(id(1), poisoned),
        event(id(2), poisoned),
        event(id(3), id(8)),
    ];
    assert!(sink.deliver(&batch).await.iter().all(Result::is_ok));
    let notes = Arc::new(Notes::default());
    notes.order(poisoned, &[Outcome::Park("no such mailbox".into())]);
    let running = Running::start(&kafka, &registry, &notes)?;
    eventually("both are parked", async || {
        Ok(dead_letters(&kafka).await?.len() == 2)
    })
    .await?;
    let letters = dead_letters(&kafka).await?;
    assert_eq!(letters[0].reason, "no such mailbox");
    assert_eq!(letters[0].key, poisoned.to_string());
    assert_eq!(letters[0].event_id, Some(id(1).to_string()));
    assert_eq!((&*letters[0].topic, &*letters[0].group), (TOPIC, GROUP));
    assert_eq!(
        letters[1].reason,
        "an earlier event of the same key is parked"
    );
    eventually("the other is handled", async || {
        Ok(notes.of(id(8)) == [id(3)])
    })
    .await?;
    assert_eq!(notes.of(poisoned), [id(1)]);

    // Sent again, in order, they are handled, and the key is free again.
    for letter in letters {
        let (partition, offset) = (letter.partition, letter.offset);
        let topic = dead_letter_topic(&kafka);
        topic
            .resend(&[(partition, offset)], client(&registry)?.as_ref())
            .await?;
    }
    assert_eq!(dead_letters(&kafka).await?, []);
    let done = async || Ok(notes.of(poisoned) == [1, 1, 2].map(id));
    eventually("both are handled", done).await?;
    assert_eq!(sink.deliver(&[event(id(4), poisoned)]).await, [Ok(())]);
    eventually("and so is the next", async || {
        Ok(notes.of(poisoned).len() == 4)
    })
    .await?;
    running.stop().await
}

#[tokio::test]
async fn what_follows_a_parked_event_follows_it_after_a_restart_and_on_another_member() -> Result<()>
{
    let (kafka, registry) = topics(3).await?;
    let sink = sink(&kafka, &registry)?;
    let poisoned = id(9);
    let notes = Arc::new(Notes::default());
    notes.order(poisoned, &[Outcome::Park("no such mailbox".into())]);
    let running = Running::start(&kafka, &registry, &notes)?;
    assert_eq!(sink.deliver(&[event(id(1), poisoned)]).await, [Ok(())]);
    let parked = async |count| Ok(dead_letters(&kafka).await?.len() == count);
    eventually("it is parked", async || parked(1).await).await?;
    // The first goes while the second is there already, and then a third comes.
    let second = Running::start(&kafka, &registry, &notes)?;
    running.stop().await?;
    assert_eq!(sink.deliver(&[event(id(2), poisoned)]).await, [Ok(())]);
    eventually("the next is parked", async || parked(2).await).await?;
    second.stop().await?;
    let third = Running::start(&kafka, &registry, &notes)?;
    assert_eq!(sink.deliver(&[event(id(3), poisoned)]).await, [Ok(())]);
    eventually("and the next", async || parked(3).await).await?;
    assert_eq!(notes.of(poisoned), [id(1)]);

    // One that is sent again frees nothing while others are left.
    for left in (0..3).rev() {
        let letter = dead_letters(&kafka).await?.remove(0);
        let (partition, offset) = (letter.partition, letter.offset);
        let topic = dead_letter_topic(&kafka);
        topic
            .resend(&[(partition, offset)], client(&registry)?.as_ref())
            .await?;
        eventually("it is handled", async || {
            Ok(notes.of(poisoned).len() == 4 - left)
        })
        .await?;
        if left == 1 {
            assert_eq!(sink.deliver(&[event(id(4), poisoned)]).await, [Ok(())]);
            eventually("what came since is parked", async || parked(2).await).await?;
        }
    }
    assert_eq!(notes.of(poisoned), [1, 1, 2, 3].map(id));
    third.stop().await
}

#[tokio::test]
async fn a_handler_that_panics_is_asked_again_and_then_the_event_is_parked() -> Result<()> {
    let (kafka, registry) = topics(1).await?;
    let sink = sink(&kafka, &registry)?;
    let batch = [event(id(1), id(8)), event(id(2), id(9))];
    assert!(sink.deliver(&batch).await.iter().all(Result::is_ok));
    let notes = Arc::new(Notes::default());
    notes.order(id(8), &[panics(), panics()]);
    notes.order(id(9), &[panics(), panics(), panics()]);
    let running = Running::start(&kafka, &registry, &notes)?;
    let parked = async || Ok(dead_letters(&kafka).await?.len() == 1);
    eventually("one is parked", parked).await?;
    assert_eq!(dead_letters(&kafka).await?[0].reason, "its handler panics");
    eventually("the other is handled", async || {
        Ok(notes.of(id(8)).len() == 3)
    })
    .await?;
    assert_eq!(notes.of(id(9)).len(), 3);
    running.stop().await
}

#[tokio::test]
async fn a_value_that_nobody_can_read_stops_nobody() -> Result<()> {
    let (kafka, registry) = topics(1).await?;
    let sink = sink(&kafka, &registry)?;
    let other = "syntax = \"proto3\"; message Other { string a = 1; }";
    let other = registry.register("other-value", other)?.to_be_bytes();
    let payload = event(id(1), id(2)).payload;
    let framed = |id: [u8; 4]| [&[0][..], &id, &[0], &payload].concat();
    kafka
        .produce(TOPIC, b"a", &framed([0, 0, 0, 77]), &[])
        .await?;
    kafka.produce(TOPIC, b"b", b"not framed", &[]).await?;
    kafka.produce(TOPIC, b"c", &framed(other), &[]).await?;
    kafka.produce(TOPIC, b"", b"", &[]).await?;
    // More than an id can be.
    kafka.produce(TOPIC, b"d", &framed([255; 4]), &[]).await?;
    assert_eq!(sink.deliver(&[event(id(5), id(6))]).await, [Ok(())]);
    let notes = Arc::new(Notes::default());
    let running = Running::start(&kafka, &registry, &notes)?;
    eventually("the readable one is handled", async || {
        Ok(notes.of(id(6)) == [id(5)])
    })
    .await?;
    eventually("the others are parked", async || {
        Ok(dead_letters(&kafka).await?.len() == 5)
    })
    .await?;
    let mut reasons: Vec<_> = dead_letters(&kafka)
        .await?
        .into_iter()
        .map(|l| l.reason)
        .collect();
    reasons.sort();
    assert_eq!(
        reasons,
        [
            "it names no schema",
            "schema 1 is of Other, not of Registration.v1.RegistrationMessage",
            "the schema registry does not know schema 77",
            "the value is not in the Confluent wire format",
            "the value is not in the Confluent wire format",
        ]
    );
    running.stop().await
}

/// A letter has more headers than the record had.
#[tokio::test]
async fn poison_that_is_too_large_for_a_letter_is_parked_without_its_value() -> Result<()> {
    let kafka = Kafka::start().await?;
    kafka.create_topic(TOPIC, 1).await?;
    let limit = [("max.message.bytes", "2000")];
    kafka.create_topic_with(DEAD_LETTERS, 1, &limit).await?;
    let registry = Registry::in_memory()?;
    let long = "x".repeat(1900);
    let headers = [("event-id", "7"), ("long", "a header of a stranger")];
    kafka
        .produce(TOPIC, b"a", long.as_bytes(), &headers)
        .await?;
    // Nor does it help to be long elsewhere.
    kafka
        .produce(TOPIC, long.as_bytes(), b"", &[("event-id", &*long)])
        .await?;
    let sink = sink(&kafka, &registry)?;
    assert_eq!(sink.deliver(&[event(id(5), id(6))]).await, [Ok(())]);
    let notes = Arc::new(Notes::default());
    let running = Running::start(&kafka, &registry, &notes)?;
    eventually("the next is handled", async || {
        Ok(notes.of(id(6)) == [id(5)])
    })
    .await?;
    eventually("both are parked", async || {
        Ok(dead_letters(&kafka).await?.len() == 2)
    })
    .await?;
    let letters = dead_letters(&kafka).await?;
    assert_eq!((&*letters[1].key, &letters[1].event_id), ("", &None));
    let letter = &letters[0];
    assert!(letter.left_out);
    assert_eq!((&*letter.key, letter.event_id.as_deref()), ("a", Some("7")));
    assert_eq!(
        letter.reason,
        "the value is not in the Confluent wire format"
    );
    let place = [(letter.partition, letter.offset)];
    let resent = dead_letter_topic(&kafka)
        .resend(&place, client(&registry)?.as_ref())
        .await;
    assert_eq!(
        resent.unwrap_err().to_string(),
        "the dead letter has no value: its 1900 bytes were too many, and lie in topic registration, \
         partition 0, offset 0"
    );
    running.stop().await
}
