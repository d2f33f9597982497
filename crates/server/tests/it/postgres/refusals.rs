//! What PostgreSQL refuses while everything runs: done again, or refused so that the client comes
//! again; never half done, and nothing is said to be done that is not.
//!
//! Seen red: with contention or a lack of connections taken for damage (500), and with a COMMIT that
//! is sent, and believed, whatever came before (201, and nobody is there).

use std::{sync::Arc, time::Duration};

use anyhow::ensure;
use http::StatusCode;
use serde_json::json;
use sso_testkit::{
    persona::Persona,
    servers::{Options, Postgres},
};
use tokio_postgres::NoTls;

use super::{
    books::{Books, done, nothing_is_half_done},
    cluster::Instance,
    *,
};
use crate::support::{eventually_within, rounds, unique};

const LONG: Duration = Duration::from_mins(1);

/// A database of its own on the shared server, and an instance on it, that is changed before.
async fn instance(name: &str, before: impl FnOnce(&mut Site)) -> Result<Arc<Instance>> {
    let server = Postgres::shared().await?;
    let mut site = on(&server.database(name).await?)?;
    before(&mut site);
    Ok(Arc::new(Instance::start(site).await?))
}

/// Somebody else's transaction holds what a login wants second, and then wants what it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_a_deadlock_undid_is_done_again() -> Result<()> {
    let name = "refusals_deadlock";
    let at = instance(name, |site| {
        site.set("SSO__SESSIONS__MAX_PER_USER", 1);
    })
    .await?;
    let node = &Postgres::shared().await?.node;
    let alice = Persona::register(&at.server.http, "alice").await?;
    // Its own check comes later than that of the login, which waits first.
    let holder = "
        set deadlock_timeout = '30s';
        do $$ begin
            update sessions set agent = 'another';
            insert into refusals_ready values (1);
            while not exists (select from pg_stat_activity
                              where datname = current_database() and wait_event_type = 'Lock') loop
                perform pg_sleep(0.01);
                perform pg_stat_clear_snapshot();
            end loop;
            update users set name = 'Alice';
        end $$";
    node.execute_in(name, "create unlogged table refusals_ready (n int)")
        .await?;
    let (holding, login) = tokio::join!(node.execute_in(name, holder), async {
        let held = "select count(*) from pg_locks l join pg_class c on c.oid = l.relation
                    where c.relname = 'refusals_ready' and l.mode = 'RowExclusiveLock'";
        eventually_within(LONG, "the lock", async || {
            Ok(node.execute_in(name, held).await? == "1")
        })
        .await?;
        alice.try_login(&alice.password).await
    });
    holding?;
    let login = login?;
    ensure!(login.status == StatusCode::OK, "{login:?}");
    let deadlocks = format!("select deadlocks from pg_stat_database where datname = '{name}'");
    eventually_within(LONG, "the count of the deadlock", async || {
        Ok(node.execute_in(name, &deadlocks).await? == "1")
    })
    .await?;
    let rows = "select (select count(*) from sessions where revoked_at is null),
                       (select count(*) from sessions), (select name from users)";
    ensure!(node.execute_in(name, rows).await? == "1|2|Alice");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_serialized_is_done_again_or_refused_and_counts_add_up() -> Result<()> {
    let name = "refusals_serializable";
    let server = Postgres::shared().await?;
    let url = server.database(name).await?;
    let level = format!("alter database {name} set default_transaction_isolation = serializable");
    server.execute(&level).await?;
    let at = Arc::new(Instance::start(on(&url)?).await?);
    let alice = Persona::register(&at.server.http, "alice").await?;
    let opened = Arc::new(std::sync::atomic::AtomicUsize::new(1));
    let books = Arc::<Books>::default();
    let logins = rounds(40, 4, |_| {
        let (alice, opened) = (alice.clone(), Arc::clone(&opened));
        async move {
            if done(&alice.try_login(&alice.password).await?)? {
                opened.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
            Ok(())
        }
    });
    tokio::try_join!(logins, books.register(&at, 40, 4))?;
    let opened = opened.load(std::sync::atomic::Ordering::Relaxed);
    println!("{opened} of 41 sessions, {:?} of 40 users", books.count());
    ensure!(opened > 20, "{opened} of 41 were opened");
    let sessions = format!(
        "select count(*) from sessions where user_id = '{}'",
        alice.id
    );
    let stored = server.node.execute_in(name, &sessions).await?;
    ensure!(stored == opened.to_string(), "{stored}, not {opened}");
    books.agree(&at, (&server.node, name), false).await?;
    let met = format!("@{name} ERROR:  could not serialize access");
    ensure!(server.node.log_text()?.contains(&met), "there was none");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_free_connection_requests_wait_or_come_again() -> Result<()> {
    let server = Options::new()
        .setting("max_connections", "16")
        .setting("superuser_reserved_connections", "0")
        .setting("max_wal_senders", "0")
        .start()
        .await?;
    let mut site = on(&server.url())?;
    site.set("SSO__DATABASE__ACQUIRE_TIMEOUT", "1s");
    let at = Arc::new(Instance::start(site).await?);
    let alice = Persona::register(&at.server.http, "alice").await?;
    // Somebody takes what is free, again and again; what the instance has lies in its pool.
    let mut others = Vec::new();
    while let Ok((client, connection)) = tokio_postgres::connect(&server.url(), NoTls).await {
        others.push((client, tokio::spawn(connection)));
    }
    ensure!(!others.is_empty());
    let books = Arc::<Books>::default();
    books.register(&at, 60, 16).await?;
    // And what it has goes, too: the others are quicker.
    let pool = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                where application_name = 'sso' and state = 'idle'";
    for _ in 0..20 {
        let (client, _) = others.first().context("there are some")?;
        client.query_one(pool, &[]).await?;
        while let Ok((client, connection)) = tokio_postgres::connect(&server.url(), NoTls).await {
            others.push((client, tokio::spawn(connection)));
        }
        books.register(&at, 4, 4).await?;
        if books.count().1 > 0 {
            break;
        }
    }
    ensure!(books.count().1 > 0, "{:?}", books.count());
    drop(others);
    eventually_within(LONG, "a login", async || {
        done(&alice.try_login(&alice.password).await?)
    })
    .await?;
    println!("{:?} with, and without a connection", books.count());
    books.agree(&at, (&server.node, "postgres"), false).await
}

/// As an operator does it, or a disk does that is almost full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_read_only_writes_are_refused_and_then_go_on() -> Result<()> {
    let name = "refusals_read_only";
    let server = Postgres::shared().await?;
    let at = instance(name, |_| ()).await?;
    let alice = Persona::register(&at.server.http, "alice").await?;
    let set = async |to: &str| -> Result<()> {
        let sql = format!("alter database {name} set default_transaction_read_only = {to}");
        server.execute(&sql).await?;
        let end = format!(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = '{name}'"
        );
        server.execute(&end).await?;
        Ok(())
    };
    set("on").await?;
    let books = Arc::<Books>::default();
    eventually_within(LONG, "a refusal", async || {
        books.register(&at, 1, 1).await?;
        Ok(books.count().1 > 0)
    })
    .await?;
    books.register(&at, 8, 4).await?;
    ensure!(!done(&alice.try_login(&alice.password).await?)?);
    ensure!(!done(&alice.use_refresh_token(&alice.refresh).await?)?);
    let stored = books.count().0;
    let users = server
        .node
        .execute_in(name, "select count(*) from users")
        .await?;
    ensure!(
        users == (stored + 1).to_string(),
        "{users}, not {stored} and one"
    );
    // Its connections say so until they are closed: nobody ends them now.
    let sql = format!("alter database {name} set default_transaction_read_only = off");
    server.execute(&sql).await?;
    eventually_within(LONG, "a registration", async || {
        books.register(&at, 1, 1).await?;
        Ok(books.count().0 > stored)
    })
    .await?;
    eventually_within(LONG, "validation", async || {
        Ok(at.validate(&alice.access).await?.status == StatusCode::OK)
    })
    .await?;
    books.agree(&at, (&server.node, name), false).await
}

/// PostgreSQL answers the COMMIT of a failed transaction as it does any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_registration_is_there_whose_last_statement_failed() -> Result<()> {
    let name = "refusals_statement";
    let server = Postgres::shared().await?;
    let at = instance(name, |_| ()).await?;
    let spoil =
        |table: &str| format!("alter table {table} add constraint spoilt check (false) not valid");
    let mend = |table: &str| format!("alter table {table} drop constraint spoilt");
    let email = format!("{}@example.com", unique());
    let body = json!({ "email": email, "password": "a long enough secret" });
    for table in ["outbox", "sessions", "audit"] {
        server.node.execute_in(name, &spoil(table)).await?;
        let reply = at.server.http.post("/auth/registration", &body).await?;
        ensure!(
            reply.status == StatusCode::INTERNAL_SERVER_ERROR,
            "{table}: {reply:?}"
        );
        let stored = "select (select count(*) from users), (select count(*) from sessions),
                             (select count(*) from outbox)";
        let stored = server.node.execute_in(name, stored).await?;
        ensure!(stored == "0|0|0", "{table}: {stored}");
        server.node.execute_in(name, &mend(table)).await?;
    }
    let reply = at.server.http.post("/auth/registration", &body).await?;
    ensure!(reply.status == StatusCode::CREATED, "{reply:?}");
    nothing_is_half_done(&server.node, name).await
}
