//! Primaries that die, standbys that are promoted, commits that are lost: the timelines that need a
//! pair. R reads, W revokes x.

use std::time::Duration;

use anyhow::{Result, ensure};
use sso_core::ports::{TokenRefused, store::Reach};
use sso_store_postgres::servers::Settings;
use sso_testkit::servers::{Options, Pair, Proxy};

use super::{
    BOUND, LEASE, QUIET, eventually,
    instance::{Instance, a_session},
    world::{Database, connect, database_on},
};

pub(super) const SOON: Duration = Duration::from_millis(150);

/// A pair, a database on it, and the way that instances take: to the primary of the moment.
pub(super) struct World {
    pub(super) pair: Pair,
    pub(super) database: Database,
    way: Proxy,
}

impl World {
    async fn start(options: &Options) -> Result<Self> {
        let pair = Pair::with_replicas(1, options).await?;
        let database = database_on(&pair).await?;
        let way = Proxy::start(pair.primary.address())?;
        Ok(Self {
            pair,
            database,
            way,
        })
    }

    pub(super) async fn asynchronous() -> Result<Self> {
        Self::start(&Options::new()).await
    }

    /// Behind one named standby; what the server is told otherwise, a beat says for itself.
    async fn synchronous() -> Result<Self> {
        let world = Self::start(&Options::new()).await?;
        let primary = &world.pair.primary;
        primary.set("synchronous_commit", "local").await?;
        primary.set("synchronous_standby_names", "replica1").await?;
        eventually("the synchronous standby", async || {
            let sync = "select count(*) from pg_stat_replication where sync_state = 'sync'";
            Ok(primary.execute(sync).await? == "1")
        })
        .await?;
        Ok(world)
    }

    pub(super) fn url(&self) -> Result<String> {
        super::beats::through(&self.database.url, &self.way)
    }

    pub(super) async fn instances<const N: usize>(&self) -> Result<[Instance; N]> {
        let url = self.url()?;
        Instance::all([url.as_str(); N]).await
    }

    /// Nothing more reaches the standby.
    pub(super) async fn stop_shipping(&mut self) -> Result<()> {
        self.pair.primary.freeze_senders().await
    }

    /// The primary dies, the standby takes its place, and everybody is led there.
    pub(super) async fn fail_over(&mut self) -> Result<()> {
        self.pair.primary.kill9().await?;
        let standby = &self.pair.replicas[0].node;
        standby.promote().await?;
        self.way.set_target(standby.address());
        self.way.reset();
        self.database.url = standby.url(&self.database.name);
        self.database.sql = connect(&self.database.url).await?;
        Ok(())
    }
}

/// Until it has registered where it is led to.
pub(super) async fn back(instance: &Instance, timeline: u32) -> Result<()> {
    eventually("a beat on the new timeline", async || {
        let answered = instance.beat().await.is_ok();
        Ok(answered && instance.revocations.timeline() == timeline)
    })
    .await
}

/// Before the lease is over there may be time for one beat: the one that waits while there is no
/// primary registers with the new one, over its first connection.
#[tokio::test]
async fn a_beat_that_waits_for_a_new_primary_registers_there() -> Result<()> {
    let mut world = World::asynchronous().await?;
    let long = Duration::from_mins(1);
    let mut settings = Settings::new(world.url()?.parse()?);
    settings.acquire_timeout = long / 2;
    let r = Instance::with(&settings, long).await?;
    r.beat().await?;
    let before = r.revocations.timeline();
    world.pair.primary.kill9().await?;
    // It was sent over what is broken.
    ensure!(r.beat().await.is_err(), "a dead primary has answered");
    eventually("the loss of the primary", async || {
        Ok(r.servers.changes().borrow().is_none())
    })
    .await?;
    let waiting = r.start_beat();
    tokio::time::sleep(SOON).await;
    ensure!(!waiting.is_finished(), "{:?}", waiting.await?);
    let standby = &world.pair.replicas[0].node;
    standby.promote().await?;
    world.way.set_target(standby.address());
    waiting.await??;
    assert_eq!(r.revocations.timeline(), before + 1);
    Ok(())
}

/// 1: x commits, R sends nothing for the bound; were W to answer by its clock alone, the failover
/// would lose what was answered `everywhere`.
#[tokio::test]
async fn what_no_standby_has_is_not_everywhere_however_long_it_takes() -> Result<()> {
    let mut world = World::asynchronous().await?;
    let [r, w] = world.instances().await?;
    world.stop_shipping().await?;
    let x = a_session();
    let entry = w.revoke(x).await?;
    for _ in 0..2 {
        r.beat().await?;
    }
    assert_eq!(r.check(x), Err(TokenRefused::Revoked));
    let waiting = w.start_waiting(entry, BOUND * 4).await;
    tokio::time::sleep(SOON).await;
    assert!(!waiting.is_finished());
    w.clock.jump(BOUND);
    tokio::time::sleep(SOON).await;
    assert!(!waiting.is_finished());
    world.pair.primary.thaw_senders()?;
    assert_eq!(waiting.await?, Reach::Everywhere);
    Ok(())
}

/// On a deposed primary, or while the standby is cut off, none is every standby.
#[tokio::test]
async fn a_standby_that_is_missed_withholds_everywhere_until_it_follows() -> Result<()> {
    let world = World::asynchronous().await?;
    let [r, w] = world.instances().await?;
    let replica = &world.pair.replicas[0];
    replica.link.cut();
    let primary = &world.pair.primary;
    eventually("the end of the stream", async || {
        Ok(primary.streaming().await? == 0)
    })
    .await?;
    let entry = w.revoke(a_session()).await?;
    for _ in 0..2 {
        r.beat().await?;
    }
    let waiting = w.start_waiting(entry, BOUND * 4).await;
    w.clock.jump(BOUND);
    tokio::time::sleep(SOON).await;
    assert!(!waiting.is_finished());
    replica.link.mend();
    assert_eq!(waiting.await?, Reach::Everywhere);
    Ok(())
}

/// Its standby held no slot and was promoted: nothing on the old primary tells that somebody is
/// missed, but that he was there. It answers for 1.2 leases and `fence` after that: nothing.
#[tokio::test]
async fn a_primary_whose_standby_has_left_answers_nothing_until_it_cannot_be_deposed() -> Result<()>
{
    let world = World::asynchronous().await?;
    let (primary, standby) = (&world.pair.primary, &world.pair.replicas[0].node);
    standby.set("primary_slot_name", "").await?;
    eventually("the stream without a slot", async || {
        let idle = "select count(*) from pg_replication_slots where not active";
        Ok(primary.execute(idle).await? == "1" && primary.streaming().await? == 1)
    })
    .await?;
    primary
        .execute("select pg_drop_replication_slot('replica1')")
        .await?;
    let [r, w] = world.instances().await?;
    let everywhere = async || -> Result<bool> {
        let entry = w.revoke(a_session()).await?;
        for _ in 0..2 {
            r.beat().await?;
        }
        Ok(w.announce(entry).await == Reach::Everywhere)
    };
    assert!(everywhere().await?);

    standby.promote().await?;
    eventually("the end of the stream", async || {
        Ok(primary.streaming().await? == 0)
    })
    .await?;
    assert!(!everywhere().await?);
    Instance::settle(&[&r, &w]).await?;
    assert!(everywhere().await?);
    Ok(())
}

/// The other standby goes on confirming to a deposed primary: so each must have it.
#[tokio::test]
async fn with_a_quorum_every_standby_must_have_it() -> Result<()> {
    let pair = Pair::with_replicas(2, &Options::new()).await?;
    let database = database_on(&pair).await?;
    let quorum = "ANY 1 (replica1, replica2)";
    pair.primary
        .set("synchronous_standby_names", quorum)
        .await?;
    let [r, w] = Instance::all([&database.url; 2]).await?;
    pair.replicas[1].link.freeze();
    let entry = w.revoke(a_session()).await?;
    for _ in 0..2 {
        r.beat().await?;
    }
    assert_eq!(w.announce(entry).await, Reach::Pending);
    let waiting = w.start_waiting(entry, BOUND * 4).await;
    w.clock.jump(BOUND);
    tokio::time::sleep(SOON).await;
    assert!(!waiting.is_finished());
    pair.replicas[1].link.mend();
    assert_eq!(waiting.await?, Reach::Everywhere);
    Ok(())
}

/// A deposed primary renews R for as long as `fence`, and R's lease runs for the bound after that.
#[tokio::test]
async fn just_after_a_failover_the_bound_alone_is_not_everywhere() -> Result<()> {
    let mut world = World::asynchronous().await?;
    let [r, w] = world.instances().await?;
    let standby = &world.pair.replicas[0].node;
    standby.caught_up_with(&world.pair.primary).await?;
    world.fail_over().await?;
    back(&w, 2).await?;
    let entry = w.revoke(a_session()).await?;
    let waiting = w.start_waiting(entry, BOUND * 4).await;
    w.clock.jump(BOUND);
    tokio::time::sleep(SOON).await;
    assert!(!waiting.is_finished());
    w.clock.jump(QUIET.saturating_sub(BOUND));
    assert_eq!(waiting.await?, Reach::Everywhere);
    drop(r);
    Ok(())
}

#[tokio::test]
async fn a_standby_that_follows_delays_nobody() -> Result<()> {
    let world = World::asynchronous().await?;
    let [r, w] = world.instances().await?;
    let entry = w.revoke(a_session()).await?;
    for _ in 0..2 {
        r.beat().await?;
    }
    assert_eq!(w.announce(entry).await, Reach::Everywhere);
    Ok(())
}

/// 2, synchronous: a deposed primary that still answers renews nobody.
#[tokio::test]
async fn behind_a_synchronous_standby_a_deposed_primary_gives_no_lease() -> Result<()> {
    let world = World::synchronous().await?;
    let settings = Settings::new(world.database.url.parse()?);
    let r = Instance::with(&settings, Duration::from_secs(4)).await?;
    r.beat().await?;
    // The standby is promoted elsewhere; whoever knows only the old one is not told.
    world.pair.replicas[0].link.cut();
    world.pair.replicas[0].node.promote().await?;
    let left = r.revocations.lease_left();
    let error = r.beat().await.unwrap_err().to_string();
    ensure!(error.contains("no answer within"), "{error}");
    assert!(r.revocations.lease_left() < left);
    r.clock.jump(Duration::from_secs(4));
    assert_eq!(r.check(a_session()), Err(TokenRefused::Unknowable));
    Ok(())
}

/// And when somebody ends that wait, the server says that it has committed, with a warning.
#[tokio::test]
async fn a_commit_whose_wait_for_the_standby_was_cancelled_gives_no_lease() -> Result<()> {
    let world = World::synchronous().await?;
    let r = Instance::new(&world.url()?).await?;
    r.beat().await?;
    world.pair.replicas[0].link.cut();
    let left = r.revocations.lease_left();
    let beat = r.start_beat();
    let cancelled = "select count(pg_cancel_backend(pid)) from pg_stat_activity
                     where wait_event = 'SyncRep'";
    eventually("the cancellation", async || {
        Ok(world.database.number(cancelled).await? == 1)
    })
    .await?;
    let error = beat.await?.unwrap_err().to_string();
    ensure!(error.contains("may not have reached a standby"), "{error}");
    assert!(r.revocations.lease_left() <= left);
    Ok(())
}

/// 4: R's registration reaches the standby, its load does not. Were the load a mere read, R would
/// trust what a deposed primary shows.
#[tokio::test]
async fn a_load_that_reaches_no_standby_gives_no_lease() -> Result<()> {
    let world = World::synchronous().await?;
    let settings = Settings::new(world.database.url.parse()?);
    let r = Instance::with(&settings, Duration::from_secs(6)).await?;
    let gate = world.database.close_gate().await?;
    let load = r.start_beat();
    world.database.held_at_gate(1).await?;
    let rows = "select count(*) from readers";
    assert_eq!(world.database.number(rows).await?, 1);
    world.pair.replicas[0].link.cut();
    gate.open().await?;
    load.await?.unwrap_err();
    assert_eq!(r.check(a_session()), Err(TokenRefused::Unknowable));
    Ok(())
}

/// 3: the question names the timeline of its snapshot; another one answers nothing to it.
#[tokio::test]
async fn a_question_of_the_old_timeline_gives_no_lease_on_the_new_one() -> Result<()> {
    let mut world = World::asynchronous().await?;
    let [r] = world.instances().await?;
    world.pair.ready().await?;
    let standby = &world.pair.replicas[0].node;
    standby.caught_up_with(&world.pair.primary).await?;
    world.fail_over().await?;
    // Its row is there too, and the number of its next beat fits it.
    let beat = world.database.number("select beat from readers").await?;
    back(&r, 2).await?;
    let row = "select beat from readers where timeline = 2";
    assert!(world.database.number(row).await? > beat);
    let old = "select count(*) from readers where timeline = 1";
    assert_eq!(
        world.database.number(old).await?,
        0,
        "it is registered twice"
    );
    Ok(())
}

/// Also: numbers of transactions are used again, and early answers wait until no lease of the old
/// timeline can run any more.
#[tokio::test]
async fn what_a_failover_lost_is_written_back_and_nothing_is_answered_early() -> Result<()> {
    let mut world = World::asynchronous().await?;
    let [r, w] = world.instances().await?;
    world.stop_shipping().await?;
    let (x, kept) = (a_session(), a_session());
    let entry = w.revoke(x).await?;
    assert_eq!(w.announce(entry).await, Reach::Pending);
    world.fail_over().await?;
    let lost = "select count(*) from revocations";
    assert_eq!(world.database.number(lost).await?, 0);

    // R comes first and knows nothing of x: it trusts, and that is what `pending` says.
    back(&r, 2).await?;
    assert!(r.accepts(x));
    back(&w, 2).await?;
    let row = world
        .database
        .sql
        .query_one("select id, timeline from revocations", &[])
        .await?;
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (entry.id, 2));
    r.beat().await?;
    assert_eq!(r.check(x), Err(TokenRefused::Revoked));

    // Both obey at once, and it takes the whole time to say so.
    let entry = w.revoke(kept).await?;
    for _ in 0..2 {
        r.beat().await?;
    }
    assert_eq!(r.check(kept), Err(TokenRefused::Revoked));
    assert_eq!(w.announce(entry).await, Reach::Pending);
    Instance::settle(&[&r, &w]).await?;
    let entry = w.revoke(a_session()).await?;
    for _ in 0..2 {
        r.beat().await?;
    }
    assert_eq!(w.announce(entry).await, Reach::Everywhere);
    Ok(())
}

#[tokio::test]
async fn a_lease_that_runs_survives_a_failover_that_is_shorter() -> Result<()> {
    let mut world = World::asynchronous().await?;
    let [r] = world.instances().await?;
    let session = a_session();
    world.fail_over().await?;
    assert!(r.accepts(session));
    back(&r, 2).await?;
    assert!(r.accepts(session) && r.revocations.lease_left() > LEASE / 2);
    Ok(())
}
