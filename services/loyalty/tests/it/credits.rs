//! The points of a registration are credited once.

use anyhow::Result;
use sso_testkit::patience::eventually;
use uuid::Uuid;

use crate::support::{Bus, Shop, Store, balance};

async fn points_come_once(store: Store) -> Result<()> {
    let bus = Bus::new().await?;
    let mut shop = Shop::new(store).await?;
    bus.connect(&mut shop.loyalty);
    let admin = shop.admin().await?;
    let alice = shop.user("alice").await?;
    let alice_id: Uuid = alice.id.parse()?;
    bus.register(Uuid::from_u128(1), alice_id).await?;
    for number in 2..=30 {
        bus.register(Uuid::from_u128(number), Uuid::from_u128(1000 + number))
            .await?;
    }
    // The same event twice, as after a crash of the relay.
    bus.register(Uuid::from_u128(1), alice_id).await?;
    let mut running = shop.loyalty.start().await?;
    let credited = "loyalty_credits_total{outcome=\"credited\"}";
    let known = "loyalty_credits_total{outcome=\"known\"}";
    eventually("all are credited", async || {
        Ok(running.metric(credited).await? >= 30 && running.metric(known).await? >= 1)
    })
    .await?;
    assert_eq!(
        balance(&running.http, &alice.access, &alice.id).await?,
        Some(100)
    );
    assert!(running.stop().await?.success());

    // The whole topic once more.
    shop.loyalty.set("kafka.group", "loyalty-again").set(
        "kafka.dead_letter_topic",
        "registration.loyalty.dead-letter",
    );
    let running = shop.loyalty.start().await?;
    eventually("all are known", async || {
        Ok(running.metric(known).await? >= 31)
    })
    .await?;
    assert_eq!(running.metric(credited).await?, 0);
    for number in 2..=30 {
        let user = Uuid::from_u128(1000 + number).to_string();
        assert_eq!(
            balance(&running.http, &admin.access, &user).await?,
            Some(100)
        );
    }
    assert_eq!(running.metric("loyalty_ledger_balance").await?, 0);
    let said = shop.loyalty.run_ok(&["ledger", "check"])?;
    assert_eq!(
        said.trim(),
        "60 entries sum to 0; 0 transfers and 0 accounts do not balance"
    );
    Ok(())
}

#[tokio::test]
async fn points_of_a_registration_come_once_in_postgresql() -> Result<()> {
    points_come_once(Store::Postgres).await
}

#[tokio::test]
async fn points_of_a_registration_come_once_in_sqlite() -> Result<()> {
    points_come_once(Store::Sqlite).await
}

const CREDITED: &str = "loyalty_credits_total{outcome=\"credited\"}";
const FORGOTTEN: &str = "loyalty_credits_total{outcome=\"forgotten\"}";

async fn a_forgotten_user_gets_none(store: Store) -> Result<()> {
    let bus = Bus::new().await?;
    let mut shop = Shop::new(store).await?;
    bus.connect(&mut shop.loyalty);
    let admin = shop.admin().await?;
    let (alice, bob) = (Uuid::from_u128(1001), Uuid::from_u128(1002));
    bus.register(Uuid::from_u128(1), alice).await?;
    bus.register(Uuid::from_u128(2), bob).await?;
    let said = shop.loyalty.run_ok(&["forget", &alice.to_string()])?;
    assert_eq!(said.trim(), "there is no account of this user");
    let running = shop.loyalty.start().await?;
    eventually("both are done", async || {
        Ok(running.metric(FORGOTTEN).await? == 1 && running.metric(CREDITED).await? == 1)
    })
    .await?;
    for (user, points) in [(alice, None), (bob, Some(100))] {
        let found = balance(&running.http, &admin.access, &user.to_string()).await?;
        assert_eq!(found, points);
    }
    let said = shop.loyalty.run_ok(&["ledger", "check"])?;
    assert!(
        said.starts_with("2 entries sum to 0; 0 transfers and 0"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn who_is_forgotten_before_his_registration_comes_gets_no_points_in_postgresql() -> Result<()>
{
    a_forgotten_user_gets_none(Store::Postgres).await
}

#[tokio::test]
async fn who_is_forgotten_before_his_registration_comes_gets_no_points_in_sqlite() -> Result<()> {
    a_forgotten_user_gets_none(Store::Sqlite).await
}

/// The points are on their way into an account that nobody sees yet.
#[tokio::test]
async fn who_is_forgotten_while_his_points_are_credited_has_no_account_after_it() -> Result<()> {
    let bus = Bus::new().await?;
    let mut shop = Shop::new(Store::Postgres).await?;
    bus.connect(&mut shop.loyalty);
    let (alice, bob) = (Uuid::from_u128(1001), Uuid::from_u128(1002));
    bus.register(Uuid::from_u128(2), bob).await?;
    let running = shop.loyalty.start().await?;
    eventually("it takes events", async || {
        Ok(running.metric(CREDITED).await? == 1)
    })
    .await?;
    // For less than a statement may take. Who makes her account waits to see whether this one stays.
    let hold = format!(
        "BEGIN; INSERT INTO accounts (user_id) VALUES ('{alice}'); SELECT pg_sleep(4); ROLLBACK"
    );
    let waiting = |for_what: &str| {
        format!(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = '{for_what}'"
        )
    };
    let (sleeping, locked) = (waiting("Timeout"), waiting("Lock"));
    let forget = async {
        eventually(
            "it is held",
            async || Ok(shop.number(&sleeping).await? == 1),
        )
        .await?;
        bus.register(Uuid::from_u128(1), alice).await?;
        eventually("the points wait", async || {
            Ok(shop.number(&locked).await? == 1)
        })
        .await?;
        shop.loyalty.run_ok(&["forget", &alice.to_string()])
    };
    let (said, _) = tokio::try_join!(forget, shop.execute(&hold))?;
    assert_eq!(said.trim(), "forgotten");
    eventually("the points were credited before", async || {
        Ok(running.metric(CREDITED).await? == 2)
    })
    .await?;
    let owned = "SELECT count(*) FROM accounts WHERE user_id IS NOT NULL";
    assert_eq!(shop.number(owned).await?, 1);
    let said = shop.loyalty.run_ok(&["ledger", "check"])?;
    assert!(
        said.starts_with("6 entries sum to 0; 0 transfers and 0"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn poison_is_parked_listed_and_sent_again_and_others_go_on() -> Result<()> {
    let bus = Bus::new().await?;
    let mut shop = Shop::new(Store::Sqlite).await?;
    bus.connect(&mut shop.loyalty);
    let admin = shop.admin().await?;
    bus.kafka
        .produce("registration", b"poison", b"no event", &[])
        .await?;
    let user = Uuid::from_u128(7);
    bus.register(Uuid::from_u128(8), user).await?;
    let running = shop.loyalty.start().await?;
    eventually("the good one is credited", async || {
        Ok(balance(&running.http, &admin.access, &user.to_string()).await? == Some(100))
    })
    .await?;
    let parked = "sso_kafka_consumed_total{outcome=\"parked\"}";
    eventually("poison is parked", async || {
        Ok(running.metric(parked).await? == 1)
    })
    .await?;
    let list = shop
        .loyalty
        .run_ok(&["dead-letter", "list", "--output", "json"])?;
    assert!(
        list.contains("\"user_id\":\"poison\"") && list.contains("reason"),
        "{list}"
    );
    let again = shop.loyalty.run_ok(&["dead-letter", "resend", "--all"])?;
    assert_eq!(again.trim(), "sent again: 1");
    eventually("it is parked again", async || {
        Ok(running.metric(parked).await? == 2)
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn who_registers_at_sso_has_his_points_a_moment_later() -> Result<()> {
    let bus = Bus::new().await?;
    let mut shop = Shop::new(Store::Sqlite).await?;
    bus.connect(&mut shop.loyalty);
    drop(shop.sso);
    shop.site
        .set("SSO__EVENTS__SINK", "kafka")
        .set("SSO__KAFKA__BROKERS", bus.kafka.brokers())
        .set("SSO__KAFKA__REGISTRY_URL", bus.registry.url());
    shop.sso = shop.site.serve().await?;
    let running = shop.loyalty.start().await?;
    let alice = shop.user("alice").await?;
    eventually("alice has her points", async || {
        Ok(balance(&running.http, &alice.access, &alice.id).await? == Some(100))
    })
    .await
}
