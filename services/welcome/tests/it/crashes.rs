//! kill -9 at every step of an event's way through the service.

#![expect(clippy::print_stdout, reason = "figures, for who asks for them")]

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, Result, ensure};
use sso_events::failpoint::Step;

use crate::support::{Lane, User, World, database, now};

/// Services beside each other, and how often each is killed.
fn size() -> (usize, usize) {
    let full = std::env::var_os("SSO_FULL_SIZE").is_some();
    if full { (4, 25) } else { (2, 5) }
}

const EACH: usize = 12;
/// For the deadline of a claim that a killed process held, too.
const LONG: Duration = Duration::from_mins(3);

/// What the kills of a lane have left.
struct Left {
    users: Vec<User>,
    /// Kills between the server's 250 and the mark.
    between: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_step_a_mail_is_sent_and_a_second_only_between_the_250_and_the_mark()
-> Result<()> {
    let world = World::new().await?;
    let (lanes, kills) = size();
    let runs = (0..lanes).map(|number| {
        let world = &world;
        async move {
            let mut lane = world.lane(number).await?;
            // One at a time: what a kill interrupts is the event at the step, and no other.
            lane.welcome
                .set("kafka.concurrency", 1)
                .set("smtp.timeout", "1s")
                .set("smtp.data_timeout", "1s");
            if number % 2 == 1 {
                lane.welcome.set("database.url", database().await?);
            }
            let left = killed(world, &mut lane, number, kills).await?;
            judge(&mut lane, &left)
                .await
                .with_context(|| lane.topic.clone())
        }
    });
    futures_util::future::try_join_all(runs).await?;
    Ok(())
}

async fn killed(world: &World, lane: &mut Lane, number: usize, kills: usize) -> Result<Left> {
    let mut left = Left {
        users: Vec::new(),
        between: 0,
    };
    for round in 0..kills {
        let step = Step::SERVICE[(round + number) % Step::SERVICE.len()];
        left.between += usize::from(step == Step::Effected);
        for _ in 0..EACH {
            let user = u128::try_from(number * 1_000_000 + left.users.len())?;
            let user = User::new(user, &format!("user{user}@example.com"));
            world.register_in(&lane.topic, &user, now()).await?;
            left.users.push(user);
        }
        let point = format!("{}@{}", step.name(), 1 + (round * 3) % 8);
        lane.welcome.set_variable("WELCOME_FAILPOINT", Some(&point));
        let status = lane.welcome.spawn()?.ended().await;
        let status = status.with_context(|| point.clone())?;
        ensure!(status.code().is_none(), "{point}: {status}");
    }
    Ok(left)
}

async fn judge(lane: &mut Lane, left: &Left) -> Result<()> {
    lane.welcome.set_variable("WELCOME_FAILPOINT", None);
    let mut running = lane.welcome.start().await?;
    let expected = left.users.len() + left.between;
    let started = std::time::Instant::now();
    while lane.smtp.mails().len() < expected {
        ensure!(
            started.elapsed() < LONG,
            "{} mails of {expected}",
            lane.smtp.mails().len()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Draining ends what is under way: a mail too many would be there then.
    ensure!(running.stop().await?.success());
    let mut by_id: HashMap<String, usize> = HashMap::new();
    for mail in lane.smtp.mails() {
        *by_id.entry(mail.header("message-id")).or_default() += 1;
    }
    for user in &left.users {
        let count = by_id.get(&user.message_id()).copied().unwrap_or_default();
        ensure!(count > 0, "{} has no mail", user.email);
    }
    let second = lane.smtp.mails().len() - left.users.len();
    ensure!(
        by_id.len() == left.users.len() && second == left.between,
        "{second} second mails of {} kills between 250 and mark",
        left.between
    );
    println!(
        "{}: {} registrations, {second} second mails",
        lane.topic,
        left.users.len()
    );
    Ok(())
}
