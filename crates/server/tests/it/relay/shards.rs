//! Two instances: shards change hands by a kill, by a freeze, by restarts.

use std::time::Duration;

use anyhow::{Result, ensure};
use sso_testkit::persona::Persona;

use super::{LONG, Load, TOPIC, World, deliver};
use crate::support::eventually_within;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shards_of_a_killed_instance_are_the_others_at_once() -> Result<()> {
    let world = World::start("relay_killed").await?;
    let (here, there) = (world.site()?, world.site()?);
    let mut one = here.serve().await?;
    deliver(&[(&one, 8.0)]).await?;
    let two = there.serve().await?;
    deliver(&[(&one, 4.0), (&two, 4.0)]).await?;
    let mut acknowledged = Vec::new();
    for _ in 0..3 {
        let load = Load::start(&[&one.http, &two.http], 4);
        load.until(60).await?;
        one.kill()?;
        deliver(&[(&two, 8.0)]).await?;
        let before = load.told().len();
        load.until(before + 30).await?;
        acknowledged.extend(load.end().await);
        world.no_status_lies().await?;
        one = here.serve().await?;
        deliver(&[(&one, 4.0), (&two, 4.0)]).await?;
    }
    world.check(&acknowledged).await?;
    Ok(())
}

/// What the frozen one has given to its producer comes out of it long after another has delivered
/// that, and more of the same users.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_instance_that_is_thawed_delivers_nothing_out_of_order() -> Result<()> {
    let mut world = World::start("relay_frozen").await?;
    let (here, there) = (world.site()?, world.site()?);
    let one = here.serve().await?;
    deliver(&[(&one, 8.0)]).await?;
    // The producer knows its way.
    let mut acknowledged: Vec<uuid::Uuid> =
        vec![Persona::register(&one.http, "first").await?.id.parse()?];
    world.drained().await?;

    world.kafka.freeze(1)?;
    for number in 0..20 {
        let user = Persona::register(&one.http, &format!("frozen{number}")).await?;
        acknowledged.push(user.id.parse()?);
    }
    one.freeze()?;
    world.kafka.thaw(1)?;
    for user in &acknowledged {
        world.more_of(*user).await?;
    }
    let two = there.serve().await?;
    deliver(&[(&two, 8.0)]).await?;
    world.drained().await?;
    for user in &acknowledged {
        world.more_of(*user).await?;
    }
    one.thaw()?;
    deliver(&[(&one, 4.0), (&two, 4.0)]).await?;
    let load = Load::start(&[&one.http, &two.http], 4);
    load.until(60).await?;
    acknowledged.extend(load.end().await);
    let duplicates = world.check(&acknowledged).await?;
    println!("{duplicates} duplicates");
    world.no_status_lies().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_delivers_everything_once() -> Result<()> {
    let world = World::start("relay_rolling").await?;
    let (here, there) = (world.site()?, world.site()?);
    let (mut one, mut two) = (here.serve().await?, there.serve().await?);
    deliver(&[(&one, 4.0), (&two, 4.0)]).await?;
    let load = Load::start(&[&one.http, &two.http], 4);
    for _ in 0..2 {
        for (site, server, other) in [(&here, &mut one, false), (&there, &mut two, true)] {
            let before = load.told().len();
            load.until(before + 20).await?;
            server.terminate()?;
            let status = server.wait(LONG).await?;
            ensure!(status.success(), "instance {other}: {status}");
            *server = site.serve().await?;
        }
        deliver(&[(&one, 4.0), (&two, 4.0)]).await?;
    }
    let acknowledged = load.end().await;
    let duplicates = world.check(&acknowledged).await?;
    ensure!(duplicates == 0, "{duplicates} duplicates");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_in_the_topic_within_moments_of_its_registration() -> Result<()> {
    let world = World::start("relay_prompt").await?;
    let (here, there) = (world.site()?, world.site()?);
    let (one, two) = (here.serve().await?, there.serve().await?);
    deliver(&[(&one, 4.0), (&two, 4.0)]).await?;
    Persona::register(&one.http, "first").await?;
    world.drained().await?;
    // By whichever instance: half of them are told by the scan and not by a nudge.
    for number in 0..10 {
        Persona::register(&one.http, &format!("prompt{number}")).await?;
        eventually_within(Duration::from_secs(2), "delivered soon", async || {
            Ok(world.waiting().await? == 0)
        })
        .await?;
    }
    assert_eq!(world.kafka.consume_all(TOPIC).await?.len(), 11);
    Ok(())
}
