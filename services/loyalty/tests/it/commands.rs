//! The command line and the configuration.

use anyhow::Result;
use serde_json::json;
use sso_testkit::{metrics::unlisted, patience::eventually, program::Program};
use uuid::Uuid;

use crate::support::{Bus, Shop, Store, balance, deposit, post_with_key};

#[test]
fn all_problems_of_the_configuration_are_said_at_once() -> Result<()> {
    let mut loyalty = Program::new("loyalty", env!("CARGO_BIN_EXE_loyalty"))?;
    loyalty
        .set("points.wellcome", "x")
        .set("points.welcome", "0")
        .set("database.url", "mysql://x");
    let output = loyalty.run(&["config", "check"])?;
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8(output.stderr)?;
    for problem in [
        "LOYALTY__POINTS__WELLCOME: unknown variable; did you mean LOYALTY__POINTS__WELCOME?",
        "points.welcome (LOYALTY__POINTS__WELCOME): must be a whole number from 1",
        "database.url (LOYALTY__DATABASE__URL): must be sqlite:",
        "kafka.brokers (default): must be set",
    ] {
        assert!(said.contains(problem), "{problem}\nin\n{said}");
    }
    let example = loyalty.run_ok(&["config", "example"])?;
    for line in [
        "#welcome = 100",
        "#listen = \"127.0.0.1:8001\"",
        "#group = \"loyalty\"",
    ] {
        assert!(
            example.lines().any(|found| found == line),
            "{line}\nin\n{example}"
        );
    }
    Ok(())
}

#[test]
fn a_mode_of_tls_that_only_looks_safe_is_refused() -> Result<()> {
    let mut loyalty = Program::new("loyalty", env!("CARGO_BIN_EXE_loyalty"))?;
    let sentence = "database.url (LOYALTY__DATABASE__URL): its sslmode must be verify-full";
    for (mode, refused) in [
        ("require", true),
        ("prefer", true),
        ("verify-full", false),
        ("disable", false),
    ] {
        let url = format!("postgres://loyalty:secret@db1/loyalty?sslmode={mode}");
        loyalty.set("database.url", url);
        // Other keys are missing.
        let output = loyalty.run(&["config", "check"])?;
        assert_eq!(output.status.code(), Some(78));
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(said.contains(sentence), refused, "{mode}: {said}");
        assert!(!said.contains("secret"), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_database_is_migrated_or_refused_and_passwords_are_not_shown() -> Result<()> {
    let mut shop = Shop::new(Store::Postgres).await?;
    shop.loyalty.set("database.migrate", false);
    assert_eq!(shop.loyalty.run(&["serve"])?.status.code(), Some(69));
    let status = shop.loyalty.run_ok(&["migrate", "status"])?;
    assert_eq!(
        status.trim(),
        "the database is of version 0, this program needs 4"
    );
    assert_eq!(
        shop.loyalty.run_ok(&["migrate", "up"])?.trim(),
        "the database is of version 4"
    );
    let mut running = shop.loyalty.start().await?;
    assert_eq!(running.stop().await?.code(), Some(0));
    let shown = shop.loyalty.run_ok(&["config", "show"])?;
    assert!(shown.contains("url = \"postgres"), "{shown}");
    assert!(
        !shown.contains(sso_testkit::servers::SUPERUSER_PASSWORD),
        "{shown}"
    );
    assert!(shown.contains("caller_token = \"<set>\""), "{shown}");
    shop.loyalty
        .set("database.url", "postgres://nobody:secret@127.0.0.1:1/x");
    let output = shop.loyalty.run(&["serve"])?;
    assert_eq!(output.status.code(), Some(69));
    assert!(!String::from_utf8(output.stderr)?.contains("secret"));
    Ok(())
}

#[tokio::test]
async fn its_metrics_are_there_from_the_start_and_all_of_them_in_the_list() -> Result<()> {
    let bus = Bus::new().await?;
    let mut shop = Shop::new(Store::Sqlite).await?;
    bus.connect(&mut shop.loyalty);
    let list = shop.loyalty.run_ok(&["metrics"])?;
    let running = shop.loyalty.start().await?;
    for series in [
        r#"loyalty_orders_total{operation="w",outcome="key_reused"}"#,
        r#"loyalty_credits_total{outcome="credited"}"#,
        r#"sso_kafka_consumed_total{outcome="parked"}"#,
        r#"sso_http_requests_total{route="/loyalty",method="POST",code="503"}"#,
        r#"sso_verifier_tokens_total{outcome="token_revoked"}"#,
        r#"sso_verifier_questions_total{outcome="unanswered"}"#,
        r#"sso_trace_spans_total{outcome="dropped"}"#,
    ] {
        assert_eq!(running.metric(series).await?, 0, "{series}");
    }
    for need in ["database", "kafka", "sso"] {
        let series = format!("sso_service_dependency_up{{dependency=\"{need}\"}}");
        running.metric(&series).await?;
    }
    let (admin, alice) = (shop.admin().await?, shop.user("alice").await?);
    deposit(&running, &admin, &alice, 5).await?;
    bus.register(Uuid::from_u128(1), alice.id.parse()?).await?;
    let credited = r#"loyalty_credits_total{outcome="credited"}"#;
    eventually("the points are credited", async || {
        Ok(running.metric(credited).await? == 1)
    })
    .await?;
    let page = running.http.get("/metrics", None).await?;
    let unlisted = unlisted(&list, &String::from_utf8(page.bytes.to_vec())?);
    assert!(unlisted.is_empty(), "{unlisted:#?}");
    Ok(())
}

#[tokio::test]
async fn a_damaged_ledger_is_found() -> Result<()> {
    let mut shop = Shop::new(Store::Postgres).await?;
    shop.loyalty.set("ledger.check_every", "1s");
    let (admin, alice) = (shop.admin().await?, shop.user("alice").await?);
    let running = shop.loyalty.start().await?;
    deposit(&running, &admin, &alice, 5).await?;
    shop.loyalty.run_ok(&["ledger", "check"])?;
    let spoil = "UPDATE accounts SET balance = balance + 1 WHERE user_id IS NOT NULL";
    shop.execute(spoil).await?;
    let output = shop.loyalty.run(&["ledger", "check"])?;
    assert_eq!(output.status.code(), Some(65));
    let said = String::from_utf8(output.stderr)?;
    assert!(
        said.contains("0 transfers and 1 accounts do not balance"),
        "{said}"
    );
    eventually("its metric tells", async || {
        Ok(running.metric("loyalty_ledger_unbalanced").await? == 1)
    })
    .await
}

/// How many rows say something of a person: owners, comments, who has ordered, keys.
async fn personal(shop: &Shop) -> Result<[i64; 4]> {
    let mut counts = [0; 4];
    let rows = [
        "accounts WHERE user_id IS NOT NULL",
        "transfers WHERE comment <> ''",
        "transfers WHERE by_user IS NOT NULL",
        "keys",
    ];
    for (count, rows) in counts.iter_mut().zip(rows) {
        *count = shop.number(&format!("SELECT count(*) FROM {rows}")).await?;
    }
    Ok(counts)
}

async fn forgotten(store: Store) -> Result<()> {
    let shop = Shop::new(store).await?;
    let (admin, alice, bob) = (
        shop.admin().await?,
        shop.user("alice").await?,
        shop.user("bob").await?,
    );
    let running = shop.loyalty.start().await?;
    deposit(&running, &admin, &alice, 5).await?;
    deposit(&running, &admin, &bob, 5).await?;
    // With keys: an order for her, and one of hers.
    let gift = json!({"operation": "d", "balance": 5, "comment": "more", "uuid": alice.id});
    let book = json!({"operation": "w", "balance": 3, "comment": "a book"});
    for (who, order) in [(&admin, gift), (&alice, book)] {
        let reply = post_with_key(&running.http, &who.access, "order-1", &order).await?;
        assert_eq!(reply.status, 201, "{reply:?}");
    }
    assert_eq!(personal(&shop).await?, [2, 4, 4, 2]);
    assert_eq!(
        shop.loyalty.run_ok(&["forget", &alice.id])?.trim(),
        "forgotten"
    );
    assert_eq!(
        balance(&running.http, &admin.access, &alice.id).await?,
        None
    );
    // What is left is bob's.
    assert_eq!(personal(&shop).await?, [1, 1, 1, 0]);
    assert!(
        shop.loyalty
            .run_ok(&["ledger", "check"])?
            .starts_with("10 entries sum to 0; 0 transfers and 0")
    );
    let again = shop.loyalty.run_ok(&["forget", &alice.id])?;
    assert_eq!(again.trim(), "there is no account of this user");
    // Who has no account has ordered for others.
    shop.loyalty.run_ok(&["forget", &admin.id])?;
    assert_eq!(personal(&shop).await?, [1, 1, 0, 0]);
    assert_eq!(
        balance(&running.http, &admin.access, &bob.id).await?,
        Some(5)
    );
    Ok(())
}

#[tokio::test]
async fn a_person_is_forgotten_and_the_ledger_stays_exact_in_postgresql() -> Result<()> {
    forgotten(Store::Postgres).await
}

#[tokio::test]
async fn a_person_is_forgotten_and_the_ledger_stays_exact_in_sqlite() -> Result<()> {
    forgotten(Store::Sqlite).await
}
