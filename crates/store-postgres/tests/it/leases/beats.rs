//! One instance and its beats.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use sso_core::ports::{Clock as _, TokenRefused};
use sso_store_postgres::servers::Settings;
use sso_testkit::servers::Proxy;
use tokio::task::JoinSet;

use super::{
    LEASE, eventually,
    instance::{Instance, a_session, fresh_uuid},
    world::{connect, database},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_thousand_commits_that_interleave_with_beats_none_is_skipped() -> Result<()> {
    const COMMITTERS: usize = 20;
    const EACH: usize = 50;
    let database = database().await?;
    let mut reader = Instance::running(&database.url).await?;
    reader.keep_beating();
    let mut committers = JoinSet::new();
    for committer in 0..COMMITTERS {
        let mut session = connect(&database.url).await?;
        committers.spawn(async move {
            let mut ended = Vec::new();
            for turn in 0..EACH {
                let one = a_session();
                let tx = session.transaction().await?;
                tx.execute(
                    "insert into revocations (kind, subject, until)
                     values ('session', $1, '2100-01-01')",
                    &[&one.as_uuid()],
                )
                .await?;
                // Numbers are given in one order and become visible in another.
                let pause = (committer * 7 + turn * 13) % 29;
                tokio::time::sleep(Duration::from_millis(pause as u64)).await;
                tx.commit().await?;
                ended.push(one);
            }
            Ok::<_, anyhow::Error>(ended)
        });
    }
    let mut ended = Vec::new();
    while let Some(some) = committers.join_next().await {
        ended.extend(some??);
    }
    reader.freeze();
    // Two, in case one was cut off: a question of its own, not a load.
    reader.beat().await?;
    reader.beat().await?;
    assert_eq!(ended.len(), COMMITTERS * EACH);
    assert_eq!(reader.revocations.entries(), ended.len());
    for session in ended {
        assert_eq!(reader.check(session), Err(TokenRefused::Revoked));
    }
    Ok(())
}

#[tokio::test]
async fn a_beat_that_finds_no_row_gives_no_lease_and_makes_none() -> Result<()> {
    let database = database().await?;
    let reader = Instance::running(&database.url).await?;
    let before = reader.revocations.lease_left();
    database.sql.execute("delete from readers", &[]).await?;
    let missed = a_session();
    let other = Instance::new(&database.url).await?;
    other.revoke(missed).await?;
    reader.clock.jump(Duration::from_secs(1));

    let error = reader.beat().await.unwrap_err().to_string();
    ensure!(error.contains("not registered on timeline 1"), "{error}");
    assert_eq!(database.number("select count(*) from readers").await?, 0);
    assert!(reader.revocations.lease_left() < before);
    // Registered, then everything is loaded.
    let left = reader.revocations.lease_left();
    reader.beat().await?;
    assert_eq!(database.number("select count(*) from readers").await?, 1);
    assert!(reader.revocations.lease_left() > left);
    assert_eq!(reader.check(missed), Err(TokenRefused::Revoked));
    Ok(())
}

#[tokio::test]
async fn a_lease_runs_from_the_moment_the_question_was_sent() -> Result<()> {
    let database = database().await?;
    let gate = database.close_gate().await?;
    let reader = Instance::new(&database.url).await?;
    let beat = reader.start_beat();
    database.held_at_gate(1).await?;
    reader.clock.jump(LEASE);
    gate.open().await?;
    beat.await??;
    // It was answered, and it is of a lease ago.
    assert!(!reader.revocations.is_trusted());
    assert_eq!(reader.check(a_session()), Err(TokenRefused::Unknowable));
    reader.beat().await?;
    assert!(reader.accepts(a_session()));
    Ok(())
}

#[tokio::test]
async fn a_beat_past_its_deadline_is_given_up_with_its_connection() -> Result<()> {
    let database = database().await?;
    let network = Proxy::start(address(&database.url)?)?;
    let settings = Settings::new(through(&database.url, &network)?.parse()?);
    let reader = Instance::with(&settings, Duration::from_secs(6)).await?;
    reader.beat().await?;
    let left = reader.revocations.lease_left();
    network.freeze_answers();
    let error = reader.beat().await.unwrap_err().to_string();
    ensure!(error.contains("no answer within"), "{error}");
    assert!(reader.revocations.lease_left() < left);
    network.mend();
    eventually("a beat over another connection", async || {
        Ok(reader.beat().await.is_ok())
    })
    .await?;
    assert!(reader.accepts(a_session()));
    Ok(())
}

#[tokio::test]
async fn a_beat_that_was_given_up_changes_nothing_when_it_comes_late() -> Result<()> {
    let database = database().await?;
    let reader = Arc::new(Instance::running(&database.url).await?);
    let gate = database.close_gate().await?;
    let given_up = reader.start_beat();
    database.held_at_gate(1).await?;
    // Whoever drops a beat closes its connection; the server goes on with the statement.
    given_up.abort();
    let _ = given_up.await;
    let next = reader.start_beat();
    let behind = "select count(*) from pg_stat_activity where datname = current_database()
                  and wait_event_type = 'Lock' and wait_event in ('tuple', 'transactionid')";
    eventually("the next beat behind the first", async || {
        Ok(database.number(behind).await? == 1)
    })
    .await?;
    gate.open().await?;
    next.await??;
    let beat = "select beat from readers";
    let last = database.number(beat).await?;
    reader.beat().await?;
    assert_eq!(database.number(beat).await?, last + 1);
    assert!(reader.accepts(a_session()));
    Ok(())
}

#[tokio::test]
async fn a_row_from_before_what_was_answered_gives_no_lease() -> Result<()> {
    let database = database().await?;
    let reader = Instance::running(&database.url).await?;
    reader.beat().await?;
    // As a restored copy of the database shows it.
    let old = "update readers set beat = beat - 1";
    database.sql.execute(old, &[]).await?;
    reader.clock.jump(Duration::from_secs(1));
    let left = reader.revocations.lease_left();
    let error = reader.beat().await.unwrap_err().to_string();
    ensure!(error.contains("not registered"), "{error}");
    assert!(reader.revocations.lease_left() <= left);
    reader.beat().await?;
    assert!(reader.revocations.lease_left() > left);
    Ok(())
}

#[tokio::test]
async fn a_long_transaction_hides_nothing_and_delays_nobody() -> Result<()> {
    let database = database().await?;
    let [reader, other] = Instance::all([&database.url; 2]).await?;
    let mut long = connect(&database.url).await?;
    let tx = long.transaction().await?;
    let last = a_session();
    tx.execute(
        "insert into revocations (kind, subject, until) values ('session', $1, '2100-01-01')",
        &[&last.as_uuid()],
    )
    .await?;
    for _ in 0..3 {
        let session = a_session();
        let entry = other.revoke(session).await?;
        reader.beat().await?;
        reader.beat().await?;
        assert_eq!(other.announce(entry).await.as_str(), "everywhere");
        assert!(reader.accepts(last) && !reader.accepts(session));
    }
    tx.commit().await?;
    reader.beat().await?;
    assert!(!reader.accepts(last));
    assert_eq!(reader.revocations.entries(), 4);
    Ok(())
}

#[tokio::test]
async fn who_leaves_is_waited_for_by_nobody() -> Result<()> {
    let database = database().await?;
    let [staying, leaving] = Instance::all([&database.url; 2]).await?;
    leaving.revocations.leave().await?;
    assert_eq!(leaving.check(a_session()), Err(TokenRefused::Unknowable));
    assert_eq!(database.number("select count(*) from readers").await?, 1);
    let entry = staying.revoke(a_session()).await?;
    assert_eq!(staying.announce(entry).await.as_str(), "everywhere");
    leaving.beat().await?;
    assert_eq!(database.number("select count(*) from readers").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_process_loads_what_others_committed_before_it_was_there() -> Result<()> {
    let database = database().await?;
    let first = Instance::running(&database.url).await?;
    let (ended, alive) = (a_session(), a_session());
    first.revoke(ended).await?;
    // What does not matter any more is not told.
    let old = "insert into revocations (kind, subject, until) values ('session', $1, '2001-01-01')";
    database.sql.execute(old, &[&fresh_uuid()]).await?;
    let second = Instance::new(&database.url).await?;
    second.beat().await?;
    assert_eq!(second.revocations.entries(), 1);
    assert!(second.accepts(alive) && !second.accepts(ended));
    let status = second.revocations.status();
    assert_eq!((status.trusted, status.timeline), (true, 1));
    Ok(())
}

/// This instance's wall clock stands still, years ago.
#[tokio::test]
async fn the_time_is_the_primarys_whatever_the_clock_of_the_instance_says() -> Result<()> {
    let database = database().await?;
    let reader = Instance::new(&database.url).await?;
    assert_eq!(reader.revocations.primary_now(), reader.clock.now());
    reader.beat().await?;
    let row = database.sql.query_one("select now()", &[]).await?;
    let theirs: time::OffsetDateTime = row.get(0);
    let told = reader.revocations.primary_now();
    assert!((told - theirs).abs() < time::Duration::MINUTE, "{told}");
    // It runs on between beats.
    reader.clock.jump(LEASE);
    assert!(reader.revocations.primary_now() >= told + LEASE);
    Ok(())
}

/// Where the server of this URL listens.
pub(super) fn address(url: &str) -> Result<std::net::SocketAddr> {
    let (_, after) = url.rsplit_once('@').context("no password")?;
    let (address, _) = after.split_once('/').context("no database")?;
    Ok(address.parse()?)
}

/// A URL that leads through a network of its own.
pub(super) fn through(url: &str, network: &Proxy) -> Result<String> {
    let (before, after) = url.rsplit_once('@').context("no password")?;
    let (_, database) = after.split_once('/').context("no database")?;
    Ok(format!("{before}@{}/{database}", network.address()))
}
