//! The disk of PostgreSQL is full. A bound of the size of its files is what PostgreSQL takes for it,
//! needs no privilege, and touches nobody else's disk.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::ensure;
use http::StatusCode;
use sso_testkit::{persona::Persona, servers::Postgres};

use super::{
    books::{Books, done},
    cluster::Instance,
    *,
};
use crate::{
    ready::{DEGRADED, READY, tells},
    support::eventually_within,
};

const LONG: Duration = Duration::from_mins(1);
/// A page of a table: a bound in the midst of one lets PostgreSQL write a part of it.
const PART: u64 = 4_096;
/// A segment of the log (`--wal-segsize` of these servers).
const SEGMENT: u64 = 1024 * 1024;

/// A table has no page left, the log of the transactions has. Seen red with 53100 taken for damage:
/// 500 instead of 503.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_nothing_is_stored_by_halves_and_all_goes_on_when_there_is_room()
-> Result<()> {
    let server = Postgres::start().await?;
    let mut site = on(&server.url())?;
    site.set("SSO__THROTTLE__ENABLED", false);
    let at = Arc::new(Instance::start(site).await?);
    let mut alice = Persona::register(&at.server.http, "alice").await?;
    // It is larger than every other file.
    server
        .execute(
            "insert into sessions
             select gen_random_uuid(), u.id, 1, 0, now() - interval '2 h', now() - interval '2 h',
                    now() + interval '1 d', now(), null, repeat('x', 200)
             from users u, generate_series(1, 8000)",
        )
        .await?;
    let bytes: u64 = server
        .execute("select pg_relation_size('sessions')")
        .await?
        .parse()?;
    ensure!(bytes > 2 * 1024 * 1024, "{bytes}");
    server.node.bound_files(Some(bytes + PART)).await?;

    let books = Arc::<Books>::default();
    let began = Instant::now();
    while books.count().1 < 20 {
        books.register(&at, 20, 8).await?;
        ensure!(began.elapsed() < LONG, "{:?}", books.count());
    }
    ensure!(server.node.log_text()?.contains("could not extend file"));
    ensure!(!done(&alice.try_login(&alice.password).await?)?);
    let valid = at.validate(&alice.access).await?;
    ensure!(valid.status == StatusCode::OK, "{valid:?}");
    // The beats find room where they always write.
    tells(&at.server, DEGRADED, ("database", "down")).await?;

    server.node.bound_files(None).await?;
    println!("{:?} with, and without a place", books.count());
    ensure!(done(&alice.login().await?)?);
    ensure!(done(&alice.refresh().await?)?);
    books.register(&at, 8, 4).await?;
    tells(&at.server, READY, ("database", "up")).await?;
    books.agree(&at, (&server.node, "postgres"), false).await
}

/// PostgreSQL ends, as it must. Who was told that he is registered is so afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_the_log_was_full_is_there_when_there_is_room() -> Result<()> {
    let mut server = Postgres::start().await?;
    let mut site = on(&server.url())?;
    site.set("SSO__DATABASE__ACQUIRE_TIMEOUT", "1s")
        .set("SSO__THROTTLE__ENABLED", false);
    let at = Arc::new(Instance::start(site).await?);
    let alice = Persona::register(&at.server.http, "alice").await?;
    let books = Arc::<Books>::default();
    books.register(&at, 40, 8).await?;
    let panicked = || -> Result<bool> { Ok(server.node.log_text()?.contains("PANIC")) };
    let full = async {
        // Every table is smaller, and no segment of the log can be filled any more.
        server.node.bound_files(Some(SEGMENT - PART)).await?;
        eventually_within(LONG, "the end of PostgreSQL", async || {
            // Writes to the end of the segment, and gets no answer.
            let _ = server.execute("select pg_switch_wal()").await;
            panicked()
        })
        .await
    };
    let busy = async {
        while !panicked()? {
            books.register(&at, 16, 8).await?;
        }
        books.register(&at, 16, 8).await
    };
    tokio::try_join!(full, busy)?;
    let before = books.count();
    tells(&at.server, DEGRADED, ("database", "down")).await?;

    // On a larger disk.
    server.node.kill9().await?;
    server.node.start().await?;
    eventually_within(LONG, "a login", async || {
        done(&alice.try_login(&alice.password).await?)
    })
    .await?;
    println!("{before:?} with, and without a place");
    eventually_within(LONG, "validation", async || {
        Ok(at.validate(&alice.access).await?.status == StatusCode::OK)
    })
    .await?;
    tells(&at.server, READY, ("database", "up")).await?;
    books.agree(&at, (&server.node, "postgres"), true).await
}
