//! The janitor deletes much, in small batches, and is in nobody's way.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::ensure;
use sso_testkit::{persona::Persona, servers::Postgres};
use tokio_postgres::NoTls;

use super::{cluster::Instance, *};
use crate::support::eventually_within;

const LONG: Duration = Duration::from_mins(2);
/// Of each table.
const OLD: usize = 20_000;
/// `janitor.batch` as it comes.
const BATCH: usize = 500;

/// Each deletion notes how much it was.
const NOTE: &str = "
    create table deletions (of_table text, rows bigint);
    create function note() returns trigger language plpgsql as $$
    begin
        insert into deletions select tg_table_name, count(*) from gone;
        return null;
    end $$;
    create trigger note after delete on sessions
        referencing old table as gone for each statement execute function note();
    create trigger note after delete on outbox
        referencing old table as gone for each statement execute function note();
    create trigger note after delete on audit
        referencing old table as gone for each statement execute function note()";

/// What is past its age, of a user who is there.
fn old() -> String {
    format!(
        "insert into sessions
         select gen_random_uuid(), u.id, 1, 0, now() - interval '90 d', now() - interval '90 d',
                now() - interval '80 d', null, null, null
         from users u, generate_series(1, {OLD});
         insert into outbox (id, user_id, shard, kind, payload, status, attempts, created_at,
                             delivered_at)
         select gen_random_uuid(), u.id, 0, 'registration', '', 'Success', 1,
                now() - interval '90 d', now() - interval '90 d'
         from users u, generate_series(1, {OLD});
         insert into audit (at, action, result, actor, times)
         select now() - interval '500 d', 'login', 'success', 'operator', 1
         from generate_series(1, {OLD})"
    )
}

/// Two instances, each with a janitor.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_that_is_old_is_deleted_in_small_batches_that_nobody_waits_for() -> Result<()> {
    let name = "janitor";
    let server = Postgres::shared().await?;
    let url = server.database(name).await?;
    let start = async |mut site: Site| {
        site.set("SSO__JANITOR__INTERVAL", "1s")
            .set("SSO__THROTTLE__ENABLED", false);
        Instance::start(site).await
    };
    let (one, two) = (start(on(&url)?).await?, start(unmigrated(&url)?).await?);
    let mut alice = Persona::register(&one.server.http, "alice").await?;
    server.node.execute_in(name, NOTE).await?;
    server.node.execute_in(name, &old()).await?;

    // Somebody has one of the rows, all the time.
    let (mut holder, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);
    let holding = holder.transaction().await?;
    let one_of_them = "select id from sessions where expires_at < now() limit 1 for update";
    let kept = holding.query(one_of_them, &[]).await?.len();
    let left = format!(
        "select (select count(*) from sessions where expires_at < now()) || '|' ||
                (select count(*) from outbox where created_at < now() - interval '80 d') || '|' ||
                (select count(*) from audit where at < now() - interval '450 d') = '{kept}|0|0'"
    );
    let over = AtomicBool::new(false);
    let swept = async {
        let swept = eventually_within(LONG, "the end of what is old", async || {
            Ok(server.node.execute_in(name, &left).await? == "t")
        })
        .await;
        over.store(true, Ordering::Release);
        swept
    };
    let lived = async {
        let waiting = format!(
            "select count(*) from pg_stat_activity
             where datname = '{name}' and wait_event_type = 'Lock'"
        );
        while !over.load(Ordering::Acquire) {
            alice = alice.at(&two.server.http);
            ensure!(alice.login().await?.status == 200);
            alice = alice.at(&one.server.http);
            ensure!(alice.refresh().await?.status == 200);
            let waiting = server.node.execute_in(name, &waiting).await?;
            ensure!(waiting == "0", "{waiting} wait for a lock");
        }
        Ok(())
    };
    tokio::try_join!(swept, lived)?;

    holding.rollback().await?;
    eventually_within(LONG, "the end of the row that was held", async || {
        let old = "select count(*) from sessions where expires_at < now()";
        Ok(server.node.execute_in(name, old).await? == "0")
    })
    .await?;
    let deletions = "select of_table, max(rows), sum(rows) from deletions
                     where rows > 0 group by 1 order by 1";
    let deletions = server.node.execute_in(name, deletions).await?;
    let each = |table: &str| format!("{table}|{BATCH}|{OLD}");
    let wanted = ["audit", "outbox", "sessions"].map(each).join("\n");
    ensure!(deletions == wanted, "{deletions}");
    Ok(())
}
