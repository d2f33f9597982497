//! Two instances that share a memory in PostgreSQL: partitions change hands, and nobody is greeted
//! twice.

use std::{collections::HashSet, time::Duration};

use anyhow::{Result, ensure};
use sso_testkit::{patience::eventually, servers::smtp};

use crate::support::{User, World, database};

/// So many more users, whose numbers go on.
async fn more(world: &World, users: &mut Vec<User>) -> Result<()> {
    for _ in 0..20 {
        let number = u128::try_from(users.len())?;
        let user = User::new(number, &format!("user{number}@example.com"));
        world.register(&user).await?;
        users.push(user);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_change_hands_and_everybody_has_one_mail_also_after_a_replay() -> Result<()> {
    let mut world = World::new().await?;
    world.welcome.set("database.url", database().await?);
    let mut other = world.welcome.another()?;
    let mut users = Vec::new();
    more(&world, &mut users).await?;
    let mut one = world.welcome.start().await?;
    world.smtp.wait_for(5).await?;
    let mut two = other.start().await?;
    more(&world, &mut users).await?;
    world.smtp.wait_for(30).await?;
    ensure!(one.stop().await?.success());
    more(&world, &mut users).await?;
    let one = world.welcome.start().await?;
    more(&world, &mut users).await?;
    world.smtp.wait_for(users.len() - 10).await?;
    ensure!(two.stop().await?.success());
    let mails = world.mails(users.len()).await?;
    let ids: HashSet<_> = mails.iter().map(|mail| mail.header("message-id")).collect();
    ensure!(ids.len() == users.len(), "{} of {}", ids.len(), users.len());
    drop(one);

    // Another group reads the topic from its start, with the same memory.
    other.set("kafka.group", "welcome-again");
    let mut again = other.start().await?;
    let known = "welcome_mails_total{outcome=\"known\"}";
    let all = i64::try_from(users.len())?;
    eventually("all are known", async || {
        Ok(again.metric(known).await? >= all)
    })
    .await?;
    ensure!(again.stop().await?.success());
    world.mails(users.len()).await?;

    let user = users[0].id.to_string();
    let said = world.welcome.run_ok(&["forget", &user])?;
    assert_eq!(said.trim(), "forgotten whose they were: 1 mails");
    let said = world.welcome.run_ok(&["forget", &user])?;
    assert_eq!(said.trim(), "forgotten whose they were: 0 mails");
    Ok(())
}

/// The mail server takes its time with a mail in each partition, and one of these goes to another instance.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_on_its_way_is_not_sent_by_who_has_its_partition_meanwhile() -> Result<()> {
    const MAILS: usize = 8;
    let slow = smtp::Options::new().slow(Duration::from_secs(20));
    let mut world = World::with_mail_server(slow.start()?).await?;
    world.welcome.set("database.url", database().await?);
    let other = world.welcome.another()?;
    for number in 1..=MAILS {
        let user = User::new(u128::try_from(number)?, "filtered@example.com");
        world.register(&user).await?;
    }
    let one = world.welcome.start().await?;
    // It has their texts, and has not said so.
    world.mails(MAILS).await?;
    let mut two = other.start().await?;
    eventually("the other waits", async || {
        let retried = "sso_kafka_consumed_total{outcome=\"retried\"}";
        Ok(two.metric(retried).await? > 0)
    })
    .await?;
    let sent = "welcome_mails_total{outcome=\"sent\"}";
    let all = i64::try_from(MAILS)?;
    eventually("all are sent", async || Ok(one.metric(sent).await? == all)).await?;
    ensure!(two.stop().await?.success());
    eventually("what it had is known", async || {
        Ok(one.metric("welcome_mails_total{outcome=\"known\"}").await? > 0)
    })
    .await?;
    world.mails(MAILS).await?;
    Ok(())
}
