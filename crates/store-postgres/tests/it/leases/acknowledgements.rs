//! Several instances that wait for each other.

use std::time::{Duration, Instant};

use anyhow::Result;
use sso_core::ports::{TokenRefused, store::Reach};
use sso_testkit::servers::Proxy;

use super::{
    BOUND, LEASE, QUIET,
    beats::{address, through},
    eventually,
    instance::{Instance, a_session},
    world::database,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_instances_obey_each_other_at_the_next_beat_and_within_milliseconds_when_told_of_it()
-> Result<()> {
    let database = database().await?;
    let [mut one, mut other] = Instance::all([&database.url; 2]).await?;
    one.keep_beating();
    other.keep_beating();
    let (mut slowest, mut hinted) = (Duration::ZERO, Vec::new());
    for turn in 0..20 {
        let (from, to) = if turn % 2 == 0 {
            (&one, &other)
        } else {
            (&other, &one)
        };
        let session = a_session();
        let entry = from.revoke(session).await?;
        let committed = Instant::now();
        let is_hinted = turn >= 10;
        if is_hinted {
            to.revocations.hint(&[entry]);
            assert_eq!(to.check(session), Err(TokenRefused::Revoked));
        }
        assert_eq!(from.announce(entry).await, Reach::Everywhere);
        if is_hinted {
            hinted.push(committed.elapsed());
        } else {
            slowest = slowest.max(committed.elapsed());
        }
        assert_eq!(to.check(session), Err(TokenRefused::Revoked));
    }
    hinted.sort();
    assert!(slowest < Duration::from_millis(400), "{slowest:?}");
    // A busy machine may hold up the one or the other.
    assert!(
        hinted[hinted.len() / 2] < Duration::from_millis(100),
        "{hinted:?}"
    );
    Ok(())
}

#[tokio::test]
async fn nothing_is_answered_early_at_first() -> Result<()> {
    let database = database().await?;
    let one = Instance::new(&database.url).await?;
    one.beat().await?;
    let entry = one.revoke(a_session()).await?;
    // There is nobody else, as far as it can know.
    assert_eq!(one.announce(entry).await, Reach::Pending);
    Instance::settle(&[&one]).await?;
    let entry = one.revoke(a_session()).await?;
    assert_eq!(one.announce(entry).await, Reach::Everywhere);
    Ok(())
}

#[tokio::test]
async fn a_process_that_sends_no_beats_waits_for_those_that_do() -> Result<()> {
    let database = database().await?;
    let server = Instance::running(&database.url).await?;
    let command = Instance::new(&database.url).await?;
    let session = a_session();
    let entry = command.revoke(session).await?;
    let waiting = command.start_waiting(entry, BOUND * 2).await;
    assert!(server.accepts(session));
    server.beat().await?;
    server.beat().await?;
    // It has just started, so it takes the whole time.
    command.clock.jump(BOUND);
    assert_eq!(waiting.await?, Reach::Everywhere);
    assert_eq!(database.number("select count(*) from readers").await?, 1);
    Ok(())
}

#[tokio::test]
async fn who_is_frozen_for_less_than_his_lease_is_waited_for() -> Result<()> {
    let database = database().await?;
    let [one, frozen] = Instance::all([&database.url; 2]).await?;
    let session = a_session();
    let entry = one.revoke(session).await?;
    let waiting = one.start_waiting(entry, BOUND * 2).await;
    // Half of a lease passes for both; that one still trusts what it holds.
    for instance in [&one, &frozen] {
        instance.clock.jump(LEASE / 2);
    }
    assert!(frozen.accepts(session));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished());
    frozen.beat().await?;
    assert!(!frozen.accepts(session));
    tokio::time::sleep(Duration::from_millis(100)).await;
    // It obeys, but nobody knows yet.
    assert!(!waiting.is_finished());
    frozen.beat().await?;
    assert_eq!(waiting.await?, Reach::Everywhere);
    Ok(())
}

#[tokio::test]
async fn who_is_frozen_for_longer_than_his_lease_accepts_nothing_when_he_thaws() -> Result<()> {
    let database = database().await?;
    let [one, frozen] = Instance::all([&database.url; 2]).await?;
    let session = a_session();
    let entry = one.revoke(session).await?;
    let waiting = one.start_waiting(entry, BOUND * 2).await;
    for instance in [&one, &frozen] {
        instance.clock.jump(BOUND);
    }
    assert_eq!(waiting.await?, Reach::Everywhere);
    assert_eq!(frozen.check(session), Err(TokenRefused::Unknowable));
    eventually("a beat", async || Ok(frozen.beat().await.is_ok())).await?;
    assert_eq!(frozen.check(session), Err(TokenRefused::Revoked));
    Ok(())
}

#[tokio::test]
async fn an_answer_that_was_under_way_while_he_was_frozen_gives_no_lease_of_then() -> Result<()> {
    let database = database().await?;
    let network = Proxy::start(address(&database.url)?)?;
    let detour = through(&database.url, &network)?;
    let [one, frozen] = Instance::all([&database.url, &detour]).await?;
    let beats = "select sum(beat)::bigint from readers";
    let before = database.number(beats).await?;
    network.freeze_answers();
    let beat = frozen.start_beat();
    eventually("the beat in the database", async || {
        Ok(database.number(beats).await? > before)
    })
    .await?;
    let session = a_session();
    let entry = one.revoke(session).await?;
    let waiting = one.start_waiting(entry, BOUND * 2).await;
    for instance in [&one, &frozen] {
        instance.clock.jump(BOUND);
    }
    assert_eq!(waiting.await?, Reach::Everywhere);
    network.mend();
    beat.await??;
    assert_eq!(frozen.check(session), Err(TokenRefused::Unknowable));
    Ok(())
}

#[tokio::test]
async fn who_crashed_is_waited_for_once_and_then_fenced() -> Result<()> {
    let database = database().await?;
    let [one, crashed] = Instance::all([&database.url; 2]).await?;
    drop(crashed);
    let entry = one.revoke(a_session()).await?;
    assert_eq!(one.announce(entry).await, Reach::Pending);
    let waiting = one.start_waiting(entry, BOUND * 2).await;
    one.clock.jump(BOUND);
    assert_eq!(waiting.await?, Reach::Everywhere);
    one.beat().await?;
    let rows = "select count(*) from readers";
    eventually("the fence", async || Ok(database.number(rows).await? == 1)).await?;
    let entry = one.revoke(a_session()).await?;
    assert_eq!(one.announce(entry).await, Reach::Everywhere);
    Ok(())
}

#[tokio::test]
async fn who_was_fenced_in_error_gets_no_lease_before_he_has_loaded_everything() -> Result<()> {
    let database = database().await?;
    let [one, other] = Instance::all([&database.url; 2]).await?;
    // By the clock of the one the other is silent; by his own no time has passed at all.
    one.beat().await?;
    let rows = "select count(*) from readers";
    for _ in 0..3 {
        one.clock.jump(QUIET);
        one.beat().await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    eventually("the fence", async || Ok(database.number(rows).await? == 1)).await?;
    let session = a_session();
    one.revoke(session).await?;
    let left = other.revocations.lease_left();
    other.beat().await.unwrap_err();
    assert!(other.revocations.lease_left() <= left);
    other.beat().await?;
    assert_eq!(other.check(session), Err(TokenRefused::Revoked));
    Ok(())
}
