//! "Not now" is tried again, "never" is parked, and other users do not wait.

use std::time::Duration;

use anyhow::Result;
use sso_testkit::{patience::eventually, program::Running, servers::smtp};

use crate::support::{DEAD_LETTERS, User, World, database, now};

#[tokio::test]
async fn not_now_is_tried_again_until_it_is_taken_and_others_do_not_wait() -> Result<()> {
    let world = World::new().await?;
    world.smtp.fail_next(3);
    world.register(&User::new(1, "alice@example.com")).await?;
    world
        .register(&User::new(2, "tempfail@example.com"))
        .await?;
    world.register(&User::new(3, "bob@example.com")).await?;
    let running = world.welcome.start().await?;
    let mails = world.mails(2).await?;
    let mut to: Vec<_> = mails.iter().flat_map(|mail| mail.to.clone()).collect();
    to.sort();
    assert_eq!(to, ["alice@example.com", "bob@example.com"]);
    eventually("it is visible", async || {
        let temporary = "welcome_smtp_failures_total{reason=\"temporary\"}";
        let retried = "welcome_mails_total{outcome=\"retried\"}";
        Ok(running.metric(temporary).await? >= 4 && running.metric(retried).await? >= 4)
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_mail_that_is_never_taken_now_is_given_up_and_parked() -> Result<()> {
    let mut world = World::new().await?;
    world.welcome.set("smtp.retry_for", "1s");
    world
        .register(&User::new(1, "tempfail@example.com"))
        .await?;
    let running = world.welcome.start().await?;
    eventually("it is given up", async || {
        Ok(running
            .metric("welcome_mails_total{outcome=\"gave_up\"}")
            .await?
            == 1)
    })
    .await?;
    eventually("it is parked", async || {
        Ok(world.kafka.consume_all(DEAD_LETTERS).await?.len() == 1)
    })
    .await?;
    Ok(())
}

const SENT: &str = "welcome_mails_total{outcome=\"sent\"}";
const GAVE_UP: &str = "welcome_mails_total{outcome=\"gave_up\"}";
const UNREACHABLE: &str = "welcome_smtp_failures_total{reason=\"unreachable\"}";

async fn reaches(running: &Running, series: &str, least: i64) -> Result<()> {
    let what = format!("{series} reaches {least}");
    eventually(&what, async || Ok(running.metric(series).await? >= least)).await
}

#[tokio::test]
async fn a_mail_that_is_tried_until_it_is_too_old_is_parked() -> Result<()> {
    for in_postgres in [false, true] {
        let mut world = World::new().await?;
        if in_postgres {
            world.welcome.set("database.url", database().await?);
        }
        world
            .welcome
            .set("mail.remember", "1h")
            .set("smtp.retry_for", "30m");
        world.register(&User::new(1, "bob@example.com")).await?;
        let running = world.welcome.start().await?;
        reaches(&running, SENT, 1).await?;
        // An hour ago in ten seconds.
        let almost_too_old = now() - Duration::from_secs(3590);
        let late = User::new(2, "tempfail@example.com");
        world.register_at(&late, almost_too_old).await?;
        reaches(&running, GAVE_UP, 1).await?;
        eventually("it is parked", async || {
            Ok(world.kafka.consume_all(DEAD_LETTERS).await?.len() == 1)
        })
        .await?;
        let list = world.welcome.run_ok(&["dead-letter", "list"])?;
        assert!(list.contains("older than mail.remember"), "{list}");
        let too_old = "welcome_mails_total{outcome=\"too_old\"}";
        assert_eq!(running.metric(too_old).await?, 0);
    }
    Ok(())
}

/// By itself that says as little of a mail as a server that is away; the others, which it takes, do.
async fn is_parked_when_others_are_taken(recipient: &str, tries: i64) -> Result<()> {
    let silent = smtp::Options::new().slow(Duration::from_mins(10));
    let mut world = World::with_mail_server(silent.start()?).await?;
    world
        .welcome
        .set("smtp.timeout", "1s")
        .set("smtp.retry_for", "1s");
    world.register(&User::new(1, recipient)).await?;
    let running = world.welcome.start().await?;
    // For longer than a mail is tried that counts.
    reaches(&running, UNREACHABLE, tries).await?;
    assert_eq!(running.metric(GAVE_UP).await?, 0);

    world.register(&User::new(2, "bob@example.com")).await?;
    reaches(&running, SENT, 1).await?;
    // From its next try on it counts, but not while nothing else is taken.
    let seen = running.metric(UNREACHABLE).await?;
    reaches(&running, UNREACHABLE, seen + tries).await?;
    assert_eq!(running.metric(GAVE_UP).await?, 0);

    world.register(&User::new(3, "carol@example.com")).await?;
    reaches(&running, GAVE_UP, 1).await?;
    eventually("it is parked", async || {
        Ok(world.kafka.consume_all(DEAD_LETTERS).await?.len() == 1)
    })
    .await?;
    eventually("nothing is left behind", async || {
        Ok(running.metric("sso_kafka_consumer_lag_records").await? == 0)
    })
    .await?;
    world.mails(2).await?;
    Ok(())
}

#[tokio::test]
async fn a_mail_at_which_the_server_drops_the_connection_is_parked_when_others_are_taken()
-> Result<()> {
    is_parked_when_others_are_taken("dropped@example.com", 12).await
}

#[tokio::test]
async fn a_mail_at_which_the_server_falls_silent_is_parked_when_others_are_taken() -> Result<()> {
    is_parked_when_others_are_taken("slow@example.com", 3).await
}

#[tokio::test]
async fn never_is_parked_with_its_reason_and_can_be_sent_again() -> Result<()> {
    let world = World::new().await?;
    let unknown = User::new(1, "unknown@example.com");
    world.register(&unknown).await?;
    world
        .kafka
        .produce("registration", b"poison", b"no event", &[])
        .await?;
    world.register(&User::new(2, "bob@example.com")).await?;
    let running = world.welcome.start().await?;
    world.mails(1).await?;
    eventually("both are parked", async || {
        Ok(world.kafka.consume_all(DEAD_LETTERS).await?.len() == 2)
    })
    .await?;
    assert_eq!(
        running
            .metric("welcome_mails_total{outcome=\"parked\"}")
            .await?,
        1
    );
    assert_eq!(
        running
            .metric("sso_kafka_consumed_total{outcome=\"parked\"}")
            .await?,
        2
    );

    let list = world
        .welcome
        .run_ok(&["dead-letter", "list", "--output", "json"])?;
    let list: serde_json::Value = serde_json::from_str(&list)?;
    let of_unknown = list.as_array().and_then(|all| {
        all.iter()
            .find(|letter| letter["event_id"] == unknown.event.to_string())
    });
    let reason = of_unknown
        .map(|letter| letter["reason"].to_string())
        .unwrap_or_default();
    assert!(reason.contains("550"), "{list}");
    assert!(
        !reason.contains("example.com"),
        "a reason names no address: {list}"
    );

    let again = world
        .welcome
        .run_ok(&["dead-letter", "resend", &unknown.event.to_string()])?;
    assert_eq!(again.trim(), "sent again: 1");
    eventually("it is refused again", async || {
        Ok(running
            .metric("welcome_mails_total{outcome=\"parked\"}")
            .await?
            == 2)
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn what_follows_a_parked_event_of_a_user_follows_it_after_a_restart() -> Result<()> {
    for in_postgres in [false, true] {
        let mut world = World::new().await?;
        if in_postgres {
            world.welcome.set("database.url", database().await?);
        }
        let first = User::new(1, "unknown@example.com");
        let second = User {
            event: uuid::Uuid::from_u128(2),
            id: first.id,
            ..User::new(2, "known@example.com")
        };
        world.register(&first).await?;
        let letters = async |count| Ok(world.kafka.consume_all(DEAD_LETTERS).await?.len() == count);
        let mut running = world.welcome.start().await?;
        eventually("the first is parked", async || letters(1).await).await?;
        running.kill()?;
        world.register(&second).await?;
        let running = world.welcome.start().await?;
        eventually("the second is parked", async || letters(2).await).await?;
        assert!(world.smtp.mails().is_empty());
        let second = second.event.to_string();
        world.welcome.run_ok(&["dead-letter", "resend", &second])?;
        world.mails(1).await?;
        drop(running);
    }
    Ok(())
}
