//! The timelines of executions that taught the rules, as far as one server can stage them. R reads,
//! W revokes x.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use sso_core::ports::{TokenRefused, store::Reach};
use sso_store_postgres::servers::Settings;
use sso_testkit::servers::Proxy;

use super::{
    BOUND, LEASE,
    beats::{address, through},
    eventually,
    instance::{Instance, a_session},
    world::database,
};

const SOON: Duration = Duration::from_millis(150);

/// 5 and 6: R has been silent for the bound, thaws and sends a beat whose snapshot precedes x. x
/// commits. R is about to be fenced: the deletion queues behind the lock of that beat.
#[tokio::test]
async fn what_was_seen_before_the_commit_counts_for_nothing_and_a_renewed_row_is_not_deleted()
-> Result<()> {
    let database = database().await?;
    let [r, w] = Instance::all([&database.url; 2]).await?;
    // W has seen R's row, and by W's clock it does not change for longer than the bound.
    w.announce(w.revoke(a_session()).await?).await;
    // A look that was asked for last is over.
    tokio::time::sleep(SOON).await;
    w.clock.jump(BOUND);
    let gate = database.close_gate().await?;
    let beat = r.start_beat();
    database.held_at_gate(1).await?;

    let x = a_session();
    let entry = w.revoke(x).await?;
    let waiting = w.start_waiting(entry, BOUND * 2).await;
    let deleting = "select count(*) from pg_stat_activity where datname = current_database()
                    and wait_event_type = 'Lock' and query like 'DELETE FROM readers%'";
    eventually("the deletion behind the beat", async || {
        Ok(database.number(deleting).await? == 1)
    })
    .await?;
    assert!(!waiting.is_finished());
    gate.open().await?;
    beat.await??;
    // R trusts for a lease and has not heard of x.
    assert!(r.accepts(x));
    tokio::time::sleep(SOON).await;
    assert!(!waiting.is_finished());
    assert_eq!(database.number("select count(*) from readers").await?, 2);
    r.beat().await?;
    assert_eq!(r.check(x), Err(TokenRefused::Revoked));
    r.beat().await?;
    assert_eq!(waiting.await?, Reach::Everywhere);
    Ok(())
}

/// 7: R loads; x commits; were there no row of R by then, W would be done.
#[tokio::test]
async fn who_loads_is_registered_already() -> Result<()> {
    let database = database().await?;
    let w = Instance::running(&database.url).await?;
    let gate = database.close_gate().await?;
    let r = Instance::new(&database.url).await?;
    let load = r.start_beat();
    database.held_at_gate(1).await?;
    let x = a_session();
    let entry = w.revoke(x).await?;
    let waiting = w.start_waiting(entry, BOUND * 2).await;
    gate.open().await?;
    load.await??;
    // Its load precedes x.
    assert!(r.accepts(x));
    tokio::time::sleep(SOON).await;
    assert!(!waiting.is_finished());
    r.beat().await?;
    r.beat().await?;
    assert_eq!(waiting.await?, Reach::Everywhere);
    assert!(!r.accepts(x));
    Ok(())
}

/// 7 again: W's last look is from before R was there. R registers and loads, then x commits.
#[tokio::test]
async fn a_look_from_before_the_commit_counts_for_nothing() -> Result<()> {
    let database = database().await?;
    let [w] = Instance::all([&database.url]).await?;
    assert_eq!(
        w.announce(w.revoke(a_session()).await?).await,
        Reach::Everywhere
    );
    let r = Instance::new(&database.url).await?;
    r.beat().await?;
    let x = a_session();
    let entry = w.revoke(x).await?;
    let waiting = w.start_waiting(entry, BOUND * 2).await;
    tokio::time::sleep(SOON).await;
    assert!(r.accepts(x) && !waiting.is_finished());
    for _ in 0..2 {
        r.beat().await?;
    }
    assert_eq!(waiting.await?, Reach::Everywhere);
    Ok(())
}

/// 8: R's beats commit and every answer is lost: its row changes and never shows x.
#[tokio::test]
async fn a_row_that_changes_and_never_shows_it_is_waited_for_no_longer_than_the_bound() -> Result<()>
{
    let database = database().await?;
    let network = Proxy::start(address(&database.url)?)?;
    let detour = through(&database.url, &network)?;
    let [w, r] = Instance::all([&database.url, &detour]).await?;
    let x = a_session();
    let entry = w.revoke(x).await?;
    let waiting = w.start_waiting(entry, BOUND * 2).await;
    let beats = "select sum(beat)::bigint from readers";
    for _ in 0..2 {
        let before = database.number(beats).await?;
        let gate = database.close_gate().await?;
        let beat = r.start_beat();
        database.held_at_gate(1).await?;
        network.freeze_answers();
        gate.open().await?;
        eventually("the beat in the database", async || {
            Ok(database.number(beats).await? > before)
        })
        .await?;
        // What was under way is lost.
        network.cut();
        assert!(beat.await?.is_err());
        network.mend();
    }
    assert!(!waiting.is_finished());
    // It goes on changing, so that nobody takes R for dead.
    for _ in 0..4 {
        database
            .number(
                "with changed as (update readers set beat = beat + 1 returning beat)
                     select count(*) from changed",
            )
            .await?;
        tokio::time::sleep(SOON).await;
        for instance in [&r, &w] {
            instance.clock.jump(BOUND / 4);
        }
    }
    assert_eq!(waiting.await?, Reach::Everywhere);
    assert_eq!(database.number("select count(*) from readers").await?, 2);
    assert_eq!(r.check(x), Err(TokenRefused::Unknowable));
    Ok(())
}

/// A registration is given up in its COMMIT, and R registers again. W, which has not heard of R for
/// the bound, deletes the row; then the first registration commits after all.
#[tokio::test]
async fn a_registration_that_was_given_up_and_commits_late_revives_nothing() -> Result<()> {
    let database = database().await?;
    let gate = database.close_gate_of_the_first().await?;
    let settings = Settings::new(database.url.parse()?);
    let r = Arc::new(Instance::named("held", &settings, LEASE).await?);
    let given_up = r.start_beat();
    database.held_at_gate(1).await?;
    given_up.abort();
    let _ = given_up.await;
    r.beat().await?;
    let rows = "select count(*) from readers";
    assert_eq!(database.number(rows).await?, 1);
    database.sql.execute("delete from readers", &[]).await?;

    gate.open().await?;
    eventually("the late registration", async || {
        Ok(database.number(rows).await? == 1)
    })
    .await?;
    let x = a_session();
    r.revoke(x).await?;
    r.clock.jump(Duration::from_secs(1));
    let left = r.revocations.lease_left();
    let error = r.beat().await.unwrap_err().to_string();
    ensure!(error.contains("not registered"), "{error}");
    assert!(r.revocations.lease_left() <= left);
    // It takes its own leavings with it.
    r.beat().await?;
    assert_eq!(database.number(rows).await?, 1);
    assert_eq!(r.check(x), Err(TokenRefused::Revoked));
    Ok(())
}
