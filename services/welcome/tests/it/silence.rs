//! A mail server that falls silent in the middle of a dialogue.

use std::time::Duration;

use anyhow::Result;
use sso_testkit::{patience::eventually, servers::smtp};

use crate::support::{User, World};

/// Whose mail to `slow@..` is not answered for so long, nor the text of one to `filtered@..`.
async fn silent_for(time: Duration) -> Result<World> {
    World::with_mail_server(smtp::Options::new().slow(time).start()?).await
}

#[tokio::test]
async fn it_is_left_in_time_and_others_do_not_wait() -> Result<()> {
    let mut world = silent_for(Duration::from_mins(10)).await?;
    world
        .welcome
        .set("smtp.timeout", "1s")
        .set("smtp.max_connections", "1");
    world.register(&User::new(1, "slow@example.com")).await?;
    let running = world.welcome.start().await?;
    let unreachable = "welcome_smtp_failures_total{reason=\"unreachable\"}";
    eventually("it is left", async || {
        Ok(running.metric(unreachable).await? >= 1)
    })
    .await?;
    for number in 2..6 {
        world
            .register(&User::new(number, "bob@example.com"))
            .await?;
    }
    assert_eq!(world.mails(4).await?.len(), 4);
    Ok(())
}

/// It has the mail, and would get it again.
#[tokio::test]
async fn its_filters_may_take_longer_than_an_answer() -> Result<()> {
    let mut world = silent_for(Duration::from_secs(4)).await?;
    world.welcome.set("smtp.timeout", "1s");
    world
        .register(&User::new(1, "filtered@example.com"))
        .await?;
    let running = world.welcome.start().await?;
    eventually("it is sent", async || {
        let sent = "welcome_mails_total{outcome=\"sent\"}";
        Ok(running.metric(sent).await? == 1)
    })
    .await?;
    assert_eq!(world.mails(1).await?.len(), 1);
    Ok(())
}

/// It may have the mail: that is noted, though the event is given up at the end of the drain.
#[tokio::test]
async fn a_mail_that_it_takes_while_we_end_is_not_sent_again() -> Result<()> {
    let mut world = silent_for(Duration::from_millis(3500)).await?;
    world.welcome.set("shutdown.drain_timeout", "2s");
    world
        .register(&User::new(1, "filtered@example.com"))
        .await?;
    let mut running = world.welcome.start().await?;
    // It has the text, and has not said so.
    world.mails(1).await?;
    assert!(running.stop().await?.success());
    assert_eq!(world.mails(1).await?.len(), 1);

    let running = world.welcome.start().await?;
    eventually("it is known", async || {
        let known = "welcome_mails_total{outcome=\"known\"}";
        Ok(running.metric(known).await? == 1)
    })
    .await?;
    assert_eq!(world.mails(1).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn it_holds_up_no_end() -> Result<()> {
    let mut world = silent_for(Duration::from_mins(10)).await?;
    world
        .welcome
        .set("smtp.timeout", "10m")
        .set("shutdown.drain_timeout", "1s");
    world.register(&User::new(1, "slow@example.com")).await?;
    world.register(&User::new(2, "bob@example.com")).await?;
    let mut running = world.welcome.start().await?;
    // Both were begun.
    world.mails(1).await?;
    assert!(running.stop().await?.success());
    Ok(())
}
