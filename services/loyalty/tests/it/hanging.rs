//! A database that hangs: its connections are open, and nothing answers.

use std::time::{Duration, Instant};

use anyhow::Result;
use sso_testkit::{
    patience::eventually,
    servers::{Postgres, Proxy},
};

use tokio_postgres::NoTls;

use crate::support::{Shop, Store, balance, database, deposit};

#[tokio::test]
async fn it_is_told_in_time_and_all_goes_on_when_it_answers_again() -> Result<()> {
    let mut shop = Shop::new(Store::Sqlite).await?;
    let server = Postgres::shared().await?.node.address().to_string();
    let proxy = Proxy::start(server.parse()?)?;
    let url = database().await?;
    let by_proxy = url.replace(&server, &proxy.address().to_string());
    assert_ne!(url, by_proxy);
    shop.loyalty
        .set("database.url", by_proxy)
        .set("database.timeout", "1s");
    let (admin, alice) = (shop.admin().await?, shop.user("alice").await?);
    let running = shop.loyalty.start().await?;
    deposit(&running, &admin, &alice, 5).await?;
    let ready = async |status: u16| {
        let reply = running.http.get("/loyalty/ready", None).await?;
        Ok(reply.status.as_u16() == status)
    };
    eventually("it is ready", async || ready(200).await).await?;

    // In the middle of a statement: before it another connection would be asked for, in vain.
    let (holder, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);
    holder
        .batch_execute("BEGIN; LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE")
        .await?;
    let began = Instant::now();
    let path = format!("/loyalty/{}", alice.id);
    let asked = running.http.get(&path, Some(&alice.access));
    let frozen = async {
        eventually("it waits for the table", async || {
            let waiting = "SELECT count(*) FROM pg_locks
                WHERE NOT granted AND relation = 'accounts'::regclass";
            Ok(holder.query_one(waiting, &[]).await?.get::<_, i64>(0) == 1)
        })
        .await?;
        proxy.freeze();
        anyhow::Ok(())
    };
    let (refused, frozen) = tokio::join!(asked, frozen);
    let took = began.elapsed();
    frozen?;
    let refused = refused?;
    assert_eq!(refused.status.as_u16(), 503, "{refused:?}");
    holder.batch_execute("ROLLBACK").await?;
    // PostgreSQL has given up after `database.timeout`, which nobody hears: we after three of them, and
    // not after `http.request_timeout`.
    assert!(
        (Duration::from_secs(2)..Duration::from_secs(8)).contains(&took),
        "{took:?}"
    );
    eventually("it is not ready", async || ready(503).await).await?;

    proxy.mend();
    eventually("it is ready again", async || ready(200).await).await?;
    let left = balance(&running.http, &alice.access, &alice.id).await?;
    assert_eq!(left, Some(5));
    Ok(())
}
