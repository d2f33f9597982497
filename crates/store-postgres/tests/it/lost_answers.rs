//! A COMMIT whose answer is lost with its connection.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use sso_core::ports::{
    Store, StoreError,
    store::{
        AuditAction, AuditResult, Freshness, Liveness, NewAudit, NewLogin, NewSession, OutboxStore,
        Until, User, UserStore,
    },
};
use sso_store_postgres::{Limits, PostgresStore, servers::Settings};
use sso_testkit::{
    clock::START,
    contract::Given,
    servers::{Pair, Postgres, Proxy},
};
use tokio::task::JoinHandle;

use crate::support::{Database, LONG, settings};

/// The URL that leads through a network of ours.
fn detour(url: &str, network: &Proxy) -> Result<String> {
    let (before, after) = url.rsplit_once('@').context("no password")?;
    let (_, path) = after.split_once('/').context("no database")?;
    Ok(format!("{before}@{}/{path}", network.address()))
}

/// A store that reaches its database through a network of ours.
async fn through(database: &Database) -> Result<(Arc<PostgresStore>, Proxy)> {
    let network = Proxy::start(Postgres::shared().await?.node.address())?;
    let url = detour(&database.url, &network)?;
    let store = PostgresStore::open(&settings(&url)?, Limits::default(), false).await?;
    Ok((Arc::new(store), network))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_is_answered_so_although_the_answer_was_lost() -> Result<()> {
    let database = Database::migrated().await?;
    let (store, network) = through(&database).await?;
    let new = Given::new().new_user("alice@example.com");
    let mut tx = store.begin().await?;
    tx.insert_user(&new).await?;
    network.freeze_answers();
    let commit = tokio::spawn(tx.commit());
    while database.execute("select count(*) from users").await? != "1" {}
    network.reset();
    // None is left through which the answer could still come.
    database
        .wait_for("backend_type = 'client backend'", |sessions| sessions == 0)
        .await?;
    network.mend();
    commit.await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_committed_is_refused_and_nothing_of_it_is_there() -> Result<()> {
    let database = Database::migrated().await?;
    let (store, network) = through(&database).await?;
    let new = Given::new().new_user("alice@example.com");
    let mut tx = store.begin().await?;
    tx.insert_user(&new).await?;
    network.reset();
    let committed = tx.commit().await;
    assert!(matches!(committed, Err(StoreError::Undone(_))));
    assert_eq!(store.user(new.id, Freshness::Primary).await?, None);
    // With the same ids.
    let mut tx = store.begin().await?;
    tx.insert_user(&new).await?;
    tx.commit().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_off_before_its_commit_is_undone() -> Result<()> {
    let database = Database::migrated().await?;
    let (store, network) = through(&database).await?;
    let given = Given::new();
    let mut tx = store.begin().await?;
    tx.insert_user(&given.new_user("alice@example.com")).await?;
    network.reset();
    let step = tx.insert_user(&given.new_user("bob@example.com")).await;
    assert!(matches!(step, Err(StoreError::Undone(_))), "{step:?}");
    Ok(())
}

/// It is visible on the primary, whose wait for the standby was ended, and a failover loses it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_no_standby_is_not_answered_as_done() -> Result<()> {
    let pair = Pair::start().await?;
    let url = pair.primary.url("postgres");
    let store = PostgresStore::open(&settings(&url)?, Limits::default(), true).await?;
    let given = Given::new();
    let port: Arc<dyn Store> = Arc::new(store.clone());
    let alice = given.user(&port, "alice@example.com").await;
    let primary = &pair.primary;
    primary.set("synchronous_commit", "local").await?;
    primary.set("synchronous_standby_names", "replica1").await?;
    pair.replicas[0].link.cut();
    let limits = Limits {
        commit: LONG,
        lookup: Duration::from_secs(2),
    };
    let network = Proxy::start(primary.address())?;
    let url = detour(&url, &network)?;
    let store = PostgresStore::open(&settings(&url)?, limits, false).await?;
    let mut tx = store.begin().await?;
    tx.set_disabled(alice.id, true).await?;
    network.freeze_answers();
    let commit = tokio::spawn(tx.commit());
    let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity
               where wait_event = 'SyncRep'";
    while primary.execute(end).await? != "1" {}
    network.reset();
    network.mend();
    let committed = commit.await?;
    let Err(StoreError::Unavailable(_)) = committed else {
        bail!("{committed:?}");
    };
    let row = store.user(alice.id, Freshness::Primary).await?;
    assert_eq!(row.map(|row| row.disabled), Some(true));

    // The same again only looks, and waits nevertheless.
    let mut tx = store.begin().await?;
    tx.set_disabled(alice.id, true).await?;
    let commit = tokio::spawn(tx.commit());
    let waits = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'
                 and query like '%COMMIT%'";
    tokio::time::timeout(LONG, async {
        while primary.execute(waits).await? != "1" {}
        anyhow::Ok(())
    })
    .await??;
    pair.replicas[0].link.mend();
    commit.await??;
    Ok(())
}

/// A primary whose commits wait for a standby that hears nothing any more.
struct Unheard {
    pair: Pair,
    network: Proxy,
    store: PostgresStore,
    given: Given,
    alice: User,
}

impl Unheard {
    async fn start() -> Result<Self> {
        let pair = Pair::start().await?;
        let primary = &pair.primary;
        let network = Proxy::start(primary.address())?;
        let url = detour(&primary.url("postgres"), &network)?;
        let limits = Limits {
            commit: LONG,
            ..Limits::default()
        };
        let store = PostgresStore::open(&settings(&url)?, limits, true).await?;
        let port: Arc<dyn Store> = Arc::new(store.clone());
        let given = Given::new();
        let alice = given.user(&port, "alice@example.com").await;
        // Statements are prepared by the first.
        let new = given.new_session(alice.id, START);
        let record = NewAudit::new(START, AuditAction::Login, AuditResult::Success);
        store.log_in(&login(&new, &alice, &record)).await?;
        primary.set("synchronous_standby_names", "replica1").await?;
        pair.replicas[0].link.cut();
        Ok(Self {
            pair,
            network,
            store,
            given,
            alice,
        })
    }

    /// Logs in with a session of its own; answered with that.
    fn log_in(&self) -> JoinHandle<Result<bool, StoreError>> {
        let (store, alice) = (self.store.clone(), self.alice.clone());
        let new = self.given.new_session(alice.id, START);
        tokio::spawn(async move {
            let record = NewAudit::new(START, AuditAction::Login, AuditResult::Success);
            let done = store.log_in(&login(&new, &alice, &record)).await?;
            Ok(done.is_some_and(|done| done.session.id == new.id))
        })
    }

    /// Waits until a commit waits for the standby, and does `what` to it.
    async fn once_it_waits(&self, what: &str) -> Result<()> {
        let sql =
            format!("select count({what}(pid)) from pg_stat_activity where wait_event = 'SyncRep'");
        let waits = async {
            while self.pair.primary.execute(&sql).await? != "1" {}
            anyhow::Ok(())
        };
        tokio::time::timeout(LONG, waits).await?
    }
}

/// PostgreSQL says that it has committed, with a warning: no standby has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_whose_wait_for_the_standby_was_cancelled_is_not_answered_as_done() -> Result<()> {
    let unheard = Box::pin(Unheard::start()).await?;
    let logging_in = unheard.log_in();
    unheard.once_it_waits("pg_cancel_backend").await?;
    let done = logging_in.await?;
    let Err(StoreError::Unavailable(_)) = done else {
        bail!("{done:?}");
    };
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_whose_wait_for_the_standby_was_cancelled_is_not_answered_as_done()
-> Result<()> {
    let unheard = Box::pin(Unheard::start()).await?;
    let mut tx = unheard.store.begin().await?;
    let bob = unheard.given.new_user("bob@example.com");
    tx.insert_user(&bob).await?;
    let commit = tokio::spawn(tx.commit());
    unheard.once_it_waits("pg_cancel_backend").await?;
    let done = commit.await?;
    let Err(StoreError::Unavailable(_)) = done else {
        bail!("{done:?}");
    };
    Ok(())
}

/// Its session is there, and on no standby: finding it is not enough.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_login_that_is_found_waits_for_the_standby() -> Result<()> {
    let unheard = Box::pin(Unheard::start()).await?;
    unheard.network.freeze_answers();
    let logging_in = unheard.log_in();
    unheard.once_it_waits("pg_terminate_backend").await?;
    unheard.network.reset();
    unheard.network.mend();
    unheard.once_it_waits("").await?;
    assert!(!logging_in.is_finished());
    unheard.pair.replicas[0].link.mend();
    assert!(logging_in.await??);
    Ok(())
}

fn login<'a>(new: &'a NewSession, alice: &User, record: &'a NewAudit) -> NewLogin<'a> {
    NewLogin {
        session: new,
        seen: alice.version,
        keep: 5,
        alive: Liveness::at(new.created_at),
        until: Until {
            least: new.created_at,
            from: new.created_at,
        },
        record,
    }
}

/// Sent again with the same ids: its session is there and says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_whose_answer_was_lost_is_answered_as_done() -> Result<()> {
    let database = Database::migrated().await?;
    let (store, network) = through(&database).await?;
    let given = Given::new();
    let port: Arc<dyn Store> = store.clone();
    let alice = given.user(&port, "alice@example.com").await;
    // Its statements are prepared by the first.
    let first = given.new_session(alice.id, START);
    let record = NewAudit::new(START, AuditAction::Login, AuditResult::Success);
    let done = store.log_in(&login(&first, &alice, &record)).await?;
    assert!(done.is_some());
    let new = given.new_session(alice.id, START);
    network.freeze_answers();
    let logging_in = tokio::spawn({
        let (store, new, alice) = (store.clone(), new.clone(), alice.clone());
        async move {
            let record = NewAudit::new(START, AuditAction::Login, AuditResult::Success);
            store.log_in(&login(&new, &alice, &record)).await
        }
    });
    while database.execute("select count(*) from sessions").await? != "2" {}
    network.reset();
    // None is left through which the answer could still come.
    database
        .wait_for("backend_type = 'client backend'", |sessions| sessions == 0)
        .await?;
    network.mend();
    let done = logging_in.await??.context("it is stale")?;
    assert_eq!((done.user, done.session.id), (alice, new.id));
    let written = "select (select count(*) from sessions), (select count(*) from audit)";
    assert_eq!(database.execute(written).await?, "2|2");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_one_round_trip() -> Result<()> {
    /// Each way.
    const FAR: Duration = Duration::from_millis(250);
    let database = Database::migrated().await?;
    let (store, network) = through(&database).await?;
    let given = Given::new();
    let port: Arc<dyn Store> = store.clone();
    let alice = given.user(&port, "alice@example.com").await;
    let record = NewAudit::new(START, AuditAction::Login, AuditResult::Success);
    let mut took = Vec::new();
    for delay in [Duration::ZERO, FAR] {
        // Statements are prepared by the first.
        network.delay(delay);
        let new = given.new_session(alice.id, START);
        let start = Instant::now();
        let done = store.log_in(&login(&new, &alice, &record)).await?;
        took.push(start.elapsed());
        assert!(done.is_some());
    }
    assert!(took[1] >= 2 * FAR && took[1] < 4 * FAR, "{took:?}");
    Ok(())
}

/// Whoever looks for his COMMIT wants a connection himself, and so do all who lost theirs with him.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_lost_commits_leaves_room_to_look_them_up() -> Result<()> {
    const COMMITS: usize = 3;
    let database = Database::migrated().await?;
    let network = Proxy::start(Postgres::shared().await?.node.address())?;
    let url = detour(&database.url, &network)?;
    let settings = Settings {
        max_connections: COMMITS,
        ..settings(&url)?
    };
    let store = PostgresStore::open(&settings, Limits::default(), false).await?;
    let given = Given::new();
    let mut begun = Vec::new();
    for number in 0..COMMITS {
        let mut tx = store.begin().await?;
        let email = format!("user{number}@example.com");
        tx.insert_user(&given.new_user(&email)).await?;
        begun.push(tx);
    }
    network.freeze_answers();
    let commits: Vec<_> = begun
        .into_iter()
        .map(|tx| tokio::spawn(tx.commit()))
        .collect();
    let all = COMMITS.to_string();
    while database.execute("select count(*) from users").await? != all {}
    network.reset();
    // None is left through which the answer could still come.
    database
        .wait_for("backend_type = 'client backend'", |sessions| sessions == 0)
        .await?;
    network.mend();
    for commit in commits {
        commit.await??;
    }
    Ok(())
}

/// A statement that waits for a lock goes on when its caller has left; who comes next must not wait
/// behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_nobody_waits_for_keeps_nobody_waiting() -> Result<()> {
    let database = Database::migrated().await?;
    let settings = Settings {
        max_connections: 1,
        ..settings(&database.url)?
    };
    let store = PostgresStore::open(&settings, Limits::default(), false).await?;
    // Its statement is prepared.
    assert_eq!(store.backlog().await?.failed, 0);
    let mut locker = database.client().await?;
    let lock = locker.transaction().await?;
    lock.batch_execute("lock table outbox in access exclusive mode")
        .await?;
    let patience = Duration::from_millis(300);
    let left = tokio::time::timeout(patience, store.backlog()).await;
    assert!(left.is_err(), "it did not wait");
    let nobody = Given::new().new_user("alice@example.com").id;
    let next = tokio::time::timeout(LONG / 2, store.user(nobody, Freshness::Primary)).await;
    assert_eq!(next.context("it waits behind the one before")??, None);
    Ok(())
}
