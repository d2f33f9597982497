//! kill -9 while registrations flow.

use anyhow::Result;
use sso_testkit::program::eventually;
use uuid::Uuid;

use crate::support::{Bus, Shop, Store, balance};

fn kills() -> u128 {
    if std::env::var_os("SSO_FULL_SIZE").is_some() {
        100
    } else {
        3
    }
}

const EACH: u128 = 20;

#[tokio::test]
async fn points_come_once_although_the_service_is_killed_again_and_again() -> Result<()> {
    let bus = Bus::new().await?;
    let mut shop = Shop::new(Store::Postgres).await?;
    bus.connect(&mut shop.loyalty);
    let admin = shop.admin().await?;
    let user = |number: u128| Uuid::from_u128(1_000_000 + number);
    for round in 0..kills() {
        let mut running = shop.loyalty.start().await?;
        for number in round * EACH..(round + 1) * EACH {
            bus.register(Uuid::from_u128(number), user(number)).await?;
        }
        // Somewhere in the middle of the work, another place each time.
        let some = 1 + i64::try_from(round % 10)?;
        eventually("some are credited", async || {
            Ok(running
                .metric("loyalty_credits_total{outcome=\"credited\"}")
                .await?
                >= some)
        })
        .await?;
        running.kill()?;
    }
    let running = shop.loyalty.start().await?;
    for number in 0..kills() * EACH {
        eventually("everybody has his points", async || {
            let points = balance(&running.http, &admin.access, &user(number).to_string()).await?;
            assert!(points.is_none_or(|points| points == 100), "{points:?}");
            Ok(points.is_some())
        })
        .await?;
    }
    let entries = 2 * kills() * EACH;
    let said = shop.loyalty.run_ok(&["ledger", "check"])?;
    assert!(
        said.starts_with(&format!("{entries} entries sum to 0; 0 transfers and 0")),
        "{said}"
    );
    Ok(())
}
