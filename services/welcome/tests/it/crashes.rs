//! kill -9 while registrations flow.

use std::{collections::HashMap, time::Duration};

use anyhow::Result;

use crate::support::{User, World};

/// How often it is killed; the events under way then are at most as many as are handled at once.
fn kills() -> u128 {
    if std::env::var_os("SSO_FULL_SIZE").is_some() {
        100
    } else {
        3
    }
}

const AT_ONCE: usize = 4;
const EACH: u128 = 20;

#[tokio::test]
async fn whoever_registers_while_the_service_is_killed_again_and_again_gets_his_mail() -> Result<()>
{
    let mut world = World::new().await?;
    world.welcome.set("kafka.concurrency", AT_ONCE);
    let mut users = Vec::new();
    for round in 0..kills() {
        let mut running = world.welcome.start().await?;
        let before = world.smtp.mails().len();
        for number in round * EACH..(round + 1) * EACH {
            let user = User::new(number, &format!("user{number}@example.com"));
            world.register(&user).await?;
            users.push(user);
        }
        // Somewhere in the middle of the work, another place each time.
        world
            .smtp
            .wait_for(before + 1 + usize::try_from(round)? % 10)
            .await?;
        running.kill()?;
    }
    let mut running = world.welcome.start().await?;
    let mut by_id: HashMap<String, usize> = HashMap::new();
    let started = std::time::Instant::now();
    while by_id.len() < users.len() && started.elapsed() < Duration::from_secs(90) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        by_id.clear();
        for mail in world.smtp.mails() {
            *by_id.entry(mail.header("message-id")).or_default() += 1;
        }
    }
    for user in &users {
        assert!(
            by_id.contains_key(&user.message_id()),
            "{} has no mail",
            user.email
        );
    }
    let second = world.smtp.mails().len() - users.len();
    let most = AT_ONCE * usize::try_from(kills())?;
    assert!(second <= most, "{second} second mails of {} kills", kills());
    assert!(running.stop().await?.success());
    Ok(())
}
