//! Registrations, and what they tell, that several instances count as one.

use std::net::IpAddr;

use anyhow::Result;
use sso_core::{
    Network,
    ports::{Throttle, ThrottleReason},
    throttle::ThrottleSettings,
};
use sso_testkit::servers::Redis as Server;

use crate::{
    support::{eventually, follow, is_up, one},
    throttle::Instance,
};

/// So slow that nothing is given back during a test.
fn settings(burst: u32, conflicts: u32) -> ThrottleSettings {
    ThrottleSettings {
        registrations_per_second: 1,
        registration_burst: burst,
        registration_conflicts: conflicts,
        ..ThrottleSettings::default()
    }
}

fn network(number: u8) -> Network {
    Network::of(Some(IpAddr::from([10, 0, number, 1])))
}

/// How many of so many the instances admit in turn.
async fn admitted(instances: &[Instance], of: u8, attempts: usize) -> usize {
    let mut count = 0;
    for number in 0..attempts {
        let throttle = &instances[number % instances.len()].throttle;
        match throttle.admit_registration(network(of)).await {
            Ok(()) => count += 1,
            Err(throttled) => {
                assert_eq!(throttled.reason, ThrottleReason::Registration);
                assert!(!throttled.retry_after.is_zero());
            }
        }
    }
    count
}

#[tokio::test]
async fn registrations_over_three_instances_are_counted_as_one() -> Result<()> {
    let mut redis = Server::start().await?;
    let (client, _guard) = follow(one(redis.server.address())).await?;
    let settings = settings(600, 1_000);
    let instances: Vec<_> = (0..3)
        .map(|_| Instance::start(&client, &settings))
        .collect();
    // One more may be given back while these go on.
    let count = admitted(&instances, 1, 900).await;
    assert!((600..660).contains(&count), "{count}");
    assert_eq!(admitted(&instances, 2, 3).await, 3);
    let keys = redis.server.command(&["keys", "*"]).await?;
    assert!(!keys.contains("10.0"), "an address is in {keys}");

    // Each goes on from what it counted itself: a third of what was tried.
    redis.server.kill9()?;
    eventually("the loss", async || Ok(!is_up(&client))).await?;
    let count = admitted(&instances, 1, 1_800).await;
    assert!((900..960).contains(&count), "{count}");
    Ok(())
}

#[tokio::test]
async fn what_registrations_tell_a_network_is_counted_as_one() -> Result<()> {
    let redis = Server::start().await?;
    let (client, _guard) = follow(one(redis.server.address())).await?;
    let settings = settings(1_000, 6);
    let instances: Vec<_> = (0..3)
        .map(|_| Instance::start(&client, &settings))
        .collect();
    for instance in &instances {
        for _ in 0..2 {
            instance.throttle.registration_told(network(1)).await;
        }
    }
    // Two each: none of them would refuse by itself.
    for instance in &instances {
        eventually("a refusal", async || {
            let admitted = instance.throttle.admit_registration(network(1)).await;
            Ok(admitted.is_err())
        })
        .await?;
    }
    assert_eq!(admitted(&instances, 2, 3).await, 3);
    Ok(())
}
