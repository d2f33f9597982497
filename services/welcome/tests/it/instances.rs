//! Two instances that share a memory in PostgreSQL: partitions change hands, and nobody is greeted
//! twice.

use std::collections::HashSet;

use anyhow::{Result, ensure};
use sso_testkit::program::eventually;

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
