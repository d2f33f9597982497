//! Refreshes that meet, and are one statement.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use sso_core::ports::{
    Store,
    store::{Rotate, Rotation, Session, SessionStore},
};
use sso_store_postgres::PostgresStore;
use sso_testkit::{clock::START, contract::Given};
use tokio::{task::JoinSet, time::timeout};

use crate::support::{Database, LONG};

/// Fewer than go together at most.
const SESSIONS: usize = 40;
const HELD: usize = 5;

struct Room {
    database: Database,
    store: Arc<PostgresStore>,
    sessions: Vec<Session>,
}

impl Room {
    async fn open() -> Result<Self> {
        let database = Database::migrated().await?;
        let store = database.open().await?;
        let port: Arc<dyn Store> = store.clone();
        let given = Given::new();
        let user = given.user(&port, "alice@example.com").await;
        let mut sessions = Vec::new();
        for _ in 0..SESSIONS {
            sessions.push(given.session(&port, &user).await);
        }
        Ok(Self {
            database,
            store,
            sessions,
        })
    }

    /// Each session's first refresh token is used, all at once.
    fn refresh(&self, sessions: &[Session]) -> JoinSet<Result<Rotation>> {
        let mut uses = JoinSet::new();
        for session in sessions {
            let store = Arc::clone(&self.store);
            let rotate = Rotate {
                session: session.id,
                generation: 0,
                now: START,
                used_after: None,
                grace: Duration::from_secs(30),
            };
            uses.spawn(async move { Ok(store.rotate(rotate).await?) });
        }
        uses
    }
}

async fn all_rotated(uses: JoinSet<Result<Rotation>>) -> Result<()> {
    for rotation in timeout(LONG, uses.join_all()).await? {
        let rotation = rotation?;
        assert!(matches!(rotation, Rotation::Rotated(_)), "{rotation:?}");
    }
    Ok(())
}

/// The two that come first go by themselves; whoever comes while they are under way goes with the
/// others.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_are_committed_together() -> Result<()> {
    let room = Room::open().await?;
    let beside = room.database.client().await?;
    let lock = "BEGIN; LOCK TABLE sessions IN SHARE MODE";
    beside.batch_execute(lock).await?;
    let uses = room.refresh(&room.sessions);
    let two = "wait_event_type = 'Lock'";
    room.database.wait_for(two, |waiting| waiting == 2).await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    beside.batch_execute("COMMIT").await?;
    all_rotated(uses).await?;
    let transactions = "select count(distinct xmin::text) from sessions";
    let transactions: usize = room.database.execute(transactions).await?.parse()?;
    assert!(transactions <= 4, "{transactions}");
    Ok(())
}

/// A row that somebody holds is waited for by its own refresh, and by no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_held_holds_up_no_other() -> Result<()> {
    let room = Room::open().await?;
    let beside = room.database.client().await?;
    let (held, free) = room.sessions.split_at(HELD);
    beside.batch_execute("BEGIN").await?;
    let ids: Vec<_> = held.iter().map(|session| session.id.as_uuid()).collect();
    let lock = "SELECT FROM sessions WHERE id = ANY($1) FOR UPDATE";
    beside.execute(lock, &[&ids]).await?;
    let waiting = room.refresh(held);
    let all = "wait_event_type = 'Lock'";
    room.database.wait_for(all, |waiting| waiting == 5).await?;
    all_rotated(room.refresh(free)).await?;
    beside.batch_execute("COMMIT").await?;
    all_rotated(waiting).await
}

/// Who does not wait for the answer leaves nothing behind that others would wait for.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_leave_hold_up_nobody() -> Result<()> {
    let room = Room::open().await?;
    let beside = room.database.client().await?;
    let lock = "BEGIN; LOCK TABLE sessions IN SHARE MODE";
    beside.batch_execute(lock).await?;
    let mut uses = room.refresh(&room.sessions);
    let two = "wait_event_type = 'Lock'";
    room.database.wait_for(two, |waiting| waiting == 2).await?;
    uses.shutdown().await;
    beside.batch_execute("COMMIT").await?;
    let again = timeout(LONG, room.refresh(&room.sessions).join_all()).await?;
    for rotation in again {
        let rotation = rotation?;
        // Some were under way, and were moved for nobody.
        let has_tokens = matches!(rotation, Rotation::Rotated(_) | Rotation::Replayed(_));
        assert!(has_tokens, "{rotation:?}");
    }
    Ok(())
}
