//! Reads near, and what a failover leaves.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, bail};
use sso_core::{
    ports::{
        Store,
        store::{Freshness, Rotate, Rotation, Session, User, UserStore},
    },
    values::Email,
};
use sso_store_postgres::{Limits, PostgresStore};
use sso_testkit::{clock::START, contract::Given, servers::Pair};
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::support::{LONG, settings};

const GRACE: Duration = Duration::from_secs(30);

/// A primary, a replica, and an instance that reads from it however far behind it is.
struct Room {
    pair: Pair,
    store: Arc<PostgresStore>,
    given: Given,
    beating: JoinHandle<()>,
}

impl Room {
    async fn open() -> Result<Self> {
        let pair = Pair::start().await?;
        let mut settings = settings(&pair.primary.url("postgres"))?;
        let replica = pair.replicas[0].node.url("postgres");
        settings.replicas.push(replica.parse()?);
        settings.max_lag = LONG;
        let store = Arc::new(PostgresStore::open(&settings, Limits::default(), true).await?);
        let beating = beat(store.clone()).await?;
        let room = Self {
            pair,
            store,
            given: Given::new(),
            beating,
        };
        while room.store.servers().replica().await.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(room)
    }

    fn port(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// What the replica knows, too.
    async fn user(&self, email: &str) -> Result<User> {
        let user = self.given.user(&self.port(), email).await;
        self.caught_up().await?;
        Ok(user)
    }

    async fn caught_up(&self) -> Result<()> {
        self.pair.replicas[0]
            .node
            .caught_up_with(&self.pair.primary)
            .await
    }

    /// The primary dies, and the replica takes its place.
    async fn fail_over(&mut self) -> Result<()> {
        self.caught_up().await?;
        self.pair.primary.kill9().await?;
        self.pair.replicas[0].node.promote().await
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.beating.abort();
    }
}

/// Beats as an instance does.
async fn beat(store: Arc<PostgresStore>) -> Result<JoinHandle<()>> {
    let reader = Uuid::from_u128(7);
    let servers = store.servers().clone();
    let primary = servers.primary().await?;
    primary
        .execute("insert into readers (id) values ($1)", &[&reader])
        .await?;
    drop(primary);
    Ok(tokio::spawn(async move {
        for beat in 1_i64.. {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let Ok(primary) = servers.primary().await else {
                continue;
            };
            servers.beat_sent(reader, beat);
            let update = "update readers set beat = $2 where id = $1";
            if let Err(error) = primary.execute(update, &[&reader, &beat]).await {
                primary.failed(&error);
            }
        }
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_read_near_if_it_is_fresh_enough_and_else_from_the_primary() -> Result<()> {
    let room = Room::open().await?;
    let before = room.user("alice@example.com").await?;
    room.pair.replicas[0].node.pause_replay().await?;

    let mut tx = room.store.begin().await?;
    let after = tx.set_admin(before.id, true).await?.unwrap();
    tx.commit().await?;
    let read = async |fresh| room.store.user(before.id, fresh).await;
    // The replica does not know better: so it was the replica.
    assert_eq!(read(Freshness::Any).await?, Some(before.clone()));
    let seen = Freshness::AtLeast(before.version);
    assert_eq!(read(seen).await?, Some(before.clone()));
    let fresh = Freshness::AtLeast(after.version);
    assert_eq!(read(fresh).await?, Some(after.clone()));
    assert_eq!(read(Freshness::Primary).await?, Some(after));

    // Who is not there yet is looked for on the primary.
    let bob = room.given.user(&room.port(), "bob@example.com").await;
    let email = Email::parse("bob@example.com").unwrap();
    let found = room.store.user_by_email(&email, Freshness::Any).await?;
    assert_eq!(found.as_ref(), Some(&bob));
    let found = room.store.user(bob.id, Freshness::Any).await?;
    assert_eq!(found, Some(bob));
    Ok(())
}

async fn rotate(
    store: &PostgresStore,
    session: &Session,
    generation: u64,
    now: OffsetDateTime,
) -> Result<Rotation> {
    use sso_core::ports::store::SessionStore;
    let rotate = Rotate {
        session: session.id,
        generation,
        now,
        used_after: None,
        grace: GRACE,
    };
    Ok(store.rotate(rotate).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_uses_no_version_twice_and_makes_nobody_a_thief() -> Result<()> {
    let mut room = Room::open().await?;
    let alice = room.user("alice@example.com").await?;
    let session = room.given.session(&room.port(), &alice).await;
    let rotated = rotate(&room.store, &session, 0, START).await?;
    assert!(matches!(rotated, Rotation::Rotated(_)));
    // Long after the rotation on its own timeline: theft.
    let late = START + 2 * GRACE;
    let reused = rotate(&room.store, &session, 0, late).await?;
    assert!(matches!(reused, Rotation::Reused(_)), "{reused:?}");

    room.fail_over().await?;
    let mut tx = room.store.begin().await?;
    let changed = tx.set_admin(alice.id, true).await?.unwrap();
    tx.commit().await?;
    assert_eq!(changed.version.get(), 2 << 32);
    assert_eq!(alice.version.get(), 1 << 32);

    // Just after the failover: its answer may have been lost with the old primary.
    let replayed = rotate(&room.store, &session, 0, late).await?;
    assert!(matches!(replayed, Rotation::Replayed(_)), "{replayed:?}");
    // The grace counts from when the timeline was met, by the servers' clock, and ends, too.
    let since = format!("update timelines set since = '{late}' where timeline = 2");
    room.pair.replicas[0].node.execute(&since).await?;
    let reused = rotate(&room.store, &session, 0, late + 2 * GRACE).await?;
    let Rotation::Reused(_) = reused else {
        bail!("{reused:?}");
    };
    Ok(())
}
