//! Deposits and withdrawals.

use anyhow::Result;
use serde_json::json;

use crate::support::{Shop, Store, balance, deposit, post, post_with_key};

/// 50 clients at once: what is not there is not given.
async fn fifty_clients_cannot_overdraw(store: Store) -> Result<()> {
    let shop = Shop::new(store).await?;
    let (admin, alice) = (shop.admin().await?, shop.user("alice").await?);
    let running = shop.loyalty.start().await?;
    deposit(&running, &admin, &alice, 100).await?;
    let body = json!({"operation": "w", "balance": 7, "comment": "a race"});
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (http, token, body) = (running.http.clone(), alice.access.clone(), body.clone());
        clients.spawn(async move { post(&http, &token, &body).await });
    }
    let (mut done, mut refused) = (Vec::new(), 0);
    while let Some(reply) = clients.join_next().await {
        let reply = reply??;
        match reply.status.as_u16() {
            201 => done.extend(reply.json()["balance"].as_i64()),
            409 => {
                assert_eq!(reply.code(), "insufficient_balance");
                refused += 1;
            }
            other => panic!("{other}: {reply:?}"),
        }
    }
    // 14 times 7 of 100, each with another balance after it.
    done.sort_unstable();
    let expected: Vec<i64> = (0..14).map(|n| 2 + 7 * n).collect();
    assert_eq!((done, refused), (expected, 36));
    assert_eq!(
        balance(&running.http, &alice.access, &alice.id).await?,
        Some(2)
    );
    assert!(
        shop.loyalty
            .run_ok(&["ledger", "check"])?
            .starts_with("30 entries sum to 0;")
    );
    Ok(())
}

#[tokio::test]
async fn fifty_clients_cannot_overdraw_an_account_in_postgresql() -> Result<()> {
    fifty_clients_cannot_overdraw(Store::Postgres).await
}

#[tokio::test]
async fn fifty_clients_cannot_overdraw_an_account_in_sqlite() -> Result<()> {
    fifty_clients_cannot_overdraw(Store::Sqlite).await
}

async fn a_key_is_one_order(store: Store) -> Result<()> {
    let shop = Shop::new(store).await?;
    let (admin, alice, bob) = (
        shop.admin().await?,
        shop.user("alice").await?,
        shop.user("bob").await?,
    );
    let running = shop.loyalty.start().await?;
    deposit(&running, &admin, &alice, 100).await?;
    deposit(&running, &admin, &bob, 100).await?;
    let body = json!({"operation": "w", "balance": 30, "comment": "a book"});
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (http, token, body) = (running.http.clone(), alice.access.clone(), body.clone());
        clients.spawn(async move { post_with_key(&http, &token, "order-1", &body).await });
    }
    while let Some(reply) = clients.join_next().await {
        let reply = reply??;
        assert_eq!(
            (reply.status.as_u16(), reply.json()["balance"].as_i64()),
            (201, Some(70)),
            "{reply:?}"
        );
    }
    let other = json!({"operation": "w", "balance": 31, "comment": "a book"});
    let reply = post_with_key(&running.http, &alice.access, "order-1", &other).await?;
    assert_eq!(
        (reply.status.as_u16(), reply.code().as_str()),
        (409, "idempotency_key_reused")
    );
    // A key is its user's own.
    let reply = post_with_key(&running.http, &bob.access, "order-1", &body).await?;
    assert_eq!(
        (reply.status.as_u16(), reply.json()["balance"].as_i64()),
        (201, Some(70))
    );
    // What was refused stays so, also when there are points meanwhile.
    let much = json!({"operation": "w", "balance": 90, "comment": "a bicycle"});
    for points in [1, 1000] {
        let reply = post_with_key(&running.http, &alice.access, "order-2", &much).await?;
        assert_eq!(
            (reply.status.as_u16(), reply.code().as_str()),
            (409, "insufficient_balance")
        );
        deposit(&running, &admin, &alice, points).await?;
    }
    assert_eq!(
        balance(&running.http, &alice.access, &alice.id).await?,
        Some(1071)
    );
    Ok(())
}

#[tokio::test]
async fn an_idempotency_key_is_one_order_in_postgresql() -> Result<()> {
    a_key_is_one_order(Store::Postgres).await
}

#[tokio::test]
async fn an_idempotency_key_is_one_order_in_sqlite() -> Result<()> {
    a_key_is_one_order(Store::Sqlite).await
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of who may do what")]
async fn who_may_do_what() -> Result<()> {
    let shop = Shop::new(Store::Sqlite).await?;
    let (admin, alice, bob) = (
        shop.admin().await?,
        shop.user("alice").await?,
        shop.user("bob").await?,
    );
    let running = shop.loyalty.start().await?;
    deposit(&running, &admin, &alice, 100).await?;
    let order = |operation: &str, uuid: Option<&str>| json!({"operation": operation, "balance": 1, "comment": "", "uuid": uuid});
    for (token, body, status, code) in [
        (&alice.access, order("w", None), 201, ""),
        (&alice.access, order("w", Some(&alice.id)), 201, ""),
        (&alice.access, order("w", Some(&bob.id)), 403, "forbidden"),
        (&alice.access, order("d", None), 403, "forbidden"),
        (
            &alice.access,
            order("d", Some("nonsense")),
            403,
            "forbidden",
        ),
        (&admin.access, order("w", Some(&alice.id)), 201, ""),
        (&admin.access, order("d", Some(&bob.id)), 201, ""),
        (&admin.access, order("d", None), 400, "required"),
        (
            &admin.access,
            order("x", Some(&bob.id)),
            400,
            "invalid_operation",
        ),
        (
            &admin.access,
            order("d", Some("nonsense")),
            400,
            "invalid_uuid",
        ),
        (&admin.access, order("w", Some(&admin.id)), 404, "not_found"),
        (
            &alice.access,
            json!({"operation": "w", "balance": 0, "comment": ""}),
            400,
            "invalid_balance",
        ),
        (
            &alice.access,
            json!({"operation": "w", "balance": -1, "comment": ""}),
            400,
            "invalid_balance",
        ),
        (
            &alice.access,
            json!({"operation": "w", "balance": 1_000_000_000_001_i64, "comment": ""}),
            400,
            "invalid_balance",
        ),
        (
            &alice.access,
            json!({"operation": "w", "balance": 1.5, "comment": ""}),
            400,
            "invalid_type",
        ),
        (
            &alice.access,
            json!({"operation": "w", "balance": 1_000_000_000_000_i64, "comment": ""}),
            409,
            "insufficient_balance",
        ),
        (
            &alice.access,
            json!({"operation": "w", "balance": 1, "comment": "x".repeat(501)}),
            400,
            "too_long",
        ),
        (&alice.access, json!({}), 400, "invalid_request"),
    ] {
        let reply = post(&running.http, token, &body).await?;
        assert_eq!(
            (reply.status.as_u16(), reply.code().as_str()),
            (status, code),
            "{body}: {reply:?}"
        );
        let challenge = if status == 403 { "Bearer" } else { "" };
        assert_eq!(reply.header("www-authenticate"), challenge, "{reply:?}");
    }
    let all = post(&running.http, &alice.access, &json!({})).await?.json();
    let fields: Vec<_> = all["fields"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|f| f["field"].clone())
        .collect();
    assert_eq!(fields, ["operation", "balance", "comment"]);
    for (token, user, status) in [
        (&alice.access, alice.id.as_str(), 200),
        (&bob.access, &alice.id, 403),
        (&admin.access, &alice.id, 200),
        (&admin.access, &admin.id, 404),
        (&admin.access, "nonsense", 404),
    ] {
        for path in [
            format!("/loyalty/{user}"),
            format!("/loyalty/{user}/entries"),
        ] {
            let reply = running.http.get(&path, Some(token)).await?;
            assert_eq!(reply.status.as_u16(), status, "{path}: {reply:?}");
            let challenge = if status == 403 { "Bearer" } else { "" };
            assert_eq!(reply.header("www-authenticate"), challenge, "{reply:?}");
        }
    }
    Ok(())
}

async fn lines_come_newest_first(store: Store) -> Result<()> {
    let shop = Shop::new(store).await?;
    let (admin, alice) = (shop.admin().await?, shop.user("alice").await?);
    let running = shop.loyalty.start().await?;
    for points in 1..=5 {
        deposit(&running, &admin, &alice, points).await?;
    }
    let path = format!("/loyalty/{}/entries", alice.id);
    let (mut points, mut balances, mut query) = (Vec::new(), Vec::new(), "?limit=2".to_owned());
    loop {
        let page = running
            .http
            .get(&format!("{path}{query}"), Some(&alice.access))
            .await?;
        assert_eq!(page.status, 200, "{page:?}");
        let page = page.json();
        for entry in page["entries"].as_array().into_iter().flatten() {
            points.extend(entry["points"].as_i64());
            balances.extend(entry["balance"].as_i64());
            assert_eq!(entry["operation"], "d");
        }
        match page["next_cursor"].as_str() {
            Some(cursor) => query = format!("?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(
        (points, balances),
        (vec![5, 4, 3, 2, 1], vec![15, 10, 6, 3, 1])
    );
    let all = running
        .http
        .get(&format!("{path}?cursor=&limit="), Some(&alice.access))
        .await?;
    assert_eq!(all.json()["entries"].as_array().map(Vec::len), Some(5));
    for (query, code) in [
        ("?limit=0", "invalid_limit"),
        ("?limit=101", "invalid_limit"),
        ("?limit=x", "invalid_limit"),
        ("?cursor=x", "invalid_cursor"),
        ("?cursor=-1", "invalid_cursor"),
    ] {
        let reply = running
            .http
            .get(&format!("{path}{query}"), Some(&alice.access))
            .await?;
        assert_eq!(
            (reply.status.as_u16(), reply.code().as_str()),
            (400, code),
            "{query}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn lines_come_newest_first_page_after_page_in_postgresql() -> Result<()> {
    lines_come_newest_first(Store::Postgres).await
}

#[tokio::test]
async fn lines_come_newest_first_page_after_page_in_sqlite() -> Result<()> {
    lines_come_newest_first(Store::Sqlite).await
}
