//! What is announced is heard, and nothing else.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Result;
use sso_core::{
    ports::{
        Announcements,
        store::{Revocation, Revoked, Stamp},
    },
    values::SessionId,
};
use sso_redis::{Redis, RevocationStream, StreamSettings};
use sso_testkit::servers::{Redis as Server, RedisSentinel};
use time::macros::datetime;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::support::{digest, eventually, follow, one, sentinels};

const KEY: &str = "test:revocations";
const KEEP: Duration = Duration::from_mins(10);

/// An instance: it announces, and hears.
struct Instance {
    stream: Arc<RevocationStream>,
    heard: Arc<Mutex<Vec<i64>>>,
    _stop: DropGuard,
}

impl Instance {
    fn start(redis: &Redis, keep: Duration, key: u8) -> Self {
        let settings = StreamSettings {
            prefix: "test".to_owned(),
            keep,
        };
        let stream = RevocationStream::new(redis.clone(), &settings, digest(key));
        let (stream, heard) = (Arc::new(stream), Arc::<Mutex<Vec<i64>>>::default());
        let stop = CancellationToken::new();
        let (append, until) = (stream.clone(), stop.clone());
        tokio::spawn(async move { append.append(until).await });
        let (read, ends, listener) = (stream.clone(), stop.clone(), heard.clone());
        tokio::spawn(async move {
            let hear = |entries: &[Revocation]| {
                let ids = entries.iter().map(|entry| entry.id);
                listener.lock().unwrap().extend(ids);
            };
            read.read(hear, ends).await;
        });
        Self {
            stream,
            heard,
            _stop: stop.drop_guard(),
        }
    }

    fn has_heard(&self, id: i64) -> bool {
        self.heard.lock().unwrap().contains(&id)
    }

    async fn hears(&self, id: i64) -> Result<()> {
        eventually(&format!("entry {id}"), async || Ok(self.has_heard(id))).await
    }
}

fn entry(id: i64) -> Revocation {
    Revocation {
        id,
        revoked: Revoked::Session(SessionId::from_uuid(Uuid::from_u128(
            id.unsigned_abs().into(),
        ))),
        effect: None,
        until: datetime!(2026-01-01 00:00 UTC),
        stamp: Stamp {
            timeline: 1,
            xid: 7,
        },
    }
}

#[tokio::test]
async fn what_one_announces_all_hear_also_who_comes_later() -> Result<()> {
    let redis = Server::start().await?;
    let (client, _guard) = follow(one(redis.server.address())).await?;
    let (one, two) = (
        Instance::start(&client, KEEP, 1),
        Instance::start(&client, KEEP, 1),
    );
    one.stream.announce(&[entry(1), entry(2)]);
    two.stream.announce(&[entry(3)]);
    let three = Instance::start(&client, KEEP, 1);
    for instance in [&one, &two, &three] {
        for id in 1..=3 {
            instance.hears(id).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn nonsense_is_ignored_and_never_keeps_anybody_from_hearing() -> Result<()> {
    let redis = Server::start().await?;
    let server = &redis.server;
    let (client, _guard) = follow(one(server.address())).await?;
    let instance = Instance::start(&client, KEEP, 1);
    let stranger = Instance::start(&client, KEEP, 2);
    server
        .command(&["xadd", KEY, "*", "hello", "world"])
        .await?;
    server
        .command(&["xadd", KEY, "*", "\u{fffd}\n", ""])
        .await?;
    stranger.stream.announce(&[entry(13)]);
    stranger.hears(13).await?;
    instance.stream.announce(&[entry(1)]);
    instance.hears(1).await?;
    assert!(!instance.has_heard(13) && !stranger.has_heard(1));

    // Another type, no ids left, emptied, trimmed.
    server.command(&["set", KEY, "nonsense"]).await?;
    let heard_again = async |id| {
        // The first may be lost: nothing is kept for later.
        eventually("an entry after that", async || {
            instance.stream.announce(&[entry(id)]);
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(instance.has_heard(id))
        })
        .await
    };
    heard_again(2).await?;
    let last = "18446744073709551615-18446744073709551615";
    server.command(&["xadd", KEY, last, "the", "end"]).await?;
    heard_again(3).await?;
    server.command(&["flushall"]).await?;
    heard_again(4).await?;
    server.command(&["xtrim", KEY, "maxlen", "0"]).await?;
    heard_again(5).await
}

#[tokio::test]
async fn what_matters_no_more_is_trimmed_and_an_idle_stream_goes() -> Result<()> {
    let redis = Server::start().await?;
    let server = &redis.server;
    let (client, _guard) = follow(one(server.address())).await?;
    let instance = Instance::start(&client, Duration::from_secs(1), 1);
    let many: Vec<_> = (1..=1_000).map(entry).collect();
    instance.stream.announce(&many);
    instance.hears(1_000).await?;
    let length =
        async || -> Result<u32> { Ok(server.command(&["xlen", KEY]).await?.trim().parse()?) };
    assert_eq!(length().await?, 1_000);
    eventually("the trim", async || {
        instance.stream.announce(&[entry(2_000)]);
        Ok(length().await? < 500)
    })
    .await?;
    eventually("the end", async || Ok(length().await? == 0)).await
}

#[tokio::test]
async fn after_a_failover_that_lost_entries_new_ones_are_heard() -> Result<()> {
    let mut cluster = RedisSentinel::start().await?;
    let (client, _guard) = follow(sentinels(&cluster)).await?;
    let instance = Instance::start(&client, KEEP, 1);
    let other = Instance::start(&client, KEEP, 1);
    instance.stream.announce(&[entry(1)]);
    other.hears(1).await?;
    let master = cluster.master().await?;
    cluster.cut_replication().await?;
    instance.stream.announce(&[entry(2)]);
    other.hears(2).await?;
    cluster.servers[master].kill9()?;
    cluster.master_after(master).await?;
    eventually("an entry by the new master", async || {
        instance.stream.announce(&[entry(3)]);
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(other.has_heard(3))
    })
    .await
}
