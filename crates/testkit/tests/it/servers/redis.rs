//! Redis alone and with Sentinel.

use sso_testkit::{
    pki::{Authority, Wanted},
    servers::{
        Redis, RedisSentinel,
        redis::{RedisServer, SentinelOptions},
    },
};
use time::OffsetDateTime;

use super::until;

async fn run(server: &RedisServer, words: &[&str]) -> String {
    server.command(words).await.unwrap()
}

async fn get(server: &RedisServer, key: &str) -> String {
    run(server, &["get", key]).await
}

#[tokio::test]
async fn a_server_alone_keeps_what_it_has_unless_it_is_to_forget() {
    let mut redis = Redis::start().await.unwrap();
    run(&redis.server, &["set", "kept", "yes"]).await;
    redis.server.kill9().unwrap();
    redis.server.command(&["ping"]).await.unwrap_err();
    redis.server.start().await.unwrap();
    assert_eq!(get(&redis.server, "kept").await, "yes");
    redis.server.restart_empty().await.unwrap();
    assert_eq!(get(&redis.server, "kept").await, "");
    redis.server.command(&["incr"]).await.unwrap_err();
}

#[tokio::test]
async fn a_server_with_tls_is_trusted_by_its_authority_alone() {
    let authority = Authority::new().unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "redis-cli goes by the machine's clock"
    )]
    let now = OffsetDateTime::now_utc();
    let issued = authority.issue(&Wanted::of(&["127.0.0.1"], now)).unwrap();
    let redis = Redis::start_with_tls(&authority, &issued).await.unwrap();
    assert!(redis.url().starts_with("rediss://"));
    assert_eq!(run(&redis.server, &["ping"]).await, "PONG");
}

#[tokio::test]
async fn a_dead_master_is_replaced_and_comes_back_as_a_replica() {
    let mut cluster = RedisSentinel::start().await.unwrap();
    let first = cluster.master().await.unwrap();
    run(&cluster.servers[first], &["set", "kept", "yes"]).await;
    assert_eq!(
        run(&cluster.servers[first], &["wait", "2", "5000"]).await,
        "2"
    );
    cluster.servers[first].kill9().unwrap();
    cluster.sentinels[0].kill9().unwrap();
    let second = cluster.master_after(first).await.unwrap();
    assert_eq!(get(&cluster.servers[second], "kept").await, "yes");
    cluster.servers[first].start().await.unwrap();
    cluster.sentinels[0].start().await.unwrap();
    cluster.ready().await.unwrap();
    let third = cluster.failover().await.unwrap();
    assert_ne!(third, second);
    cluster.ready().await.unwrap();
}

#[tokio::test]
async fn what_a_cut_off_master_acknowledged_is_lost_when_it_dies() {
    let mut cluster = RedisSentinel::start().await.unwrap();
    let first = cluster.master().await.unwrap();
    cluster.cut_replication().await.unwrap();
    assert_eq!(
        run(&cluster.servers[first], &["set", "lost", "yes"]).await,
        "OK"
    );
    cluster.servers[first].kill9().unwrap();
    let second = cluster.master_after(first).await.unwrap();
    cluster.mend_replication().await.unwrap();
    assert_eq!(get(&cluster.servers[second], "lost").await, "");
    cluster.servers[first].start().await.unwrap();
    cluster.ready().await.unwrap();
    assert_eq!(get(&cluster.servers[first], "lost").await, "");
}

#[tokio::test]
async fn a_frozen_master_wakes_up_as_a_second_one() {
    let mut cluster = RedisSentinel::start().await.unwrap();
    let first = cluster.master().await.unwrap();
    cluster.servers[first].freeze().unwrap();
    let second = cluster.master_after(first).await.unwrap();
    cluster.servers[first].thaw().unwrap();
    assert_eq!(
        run(&cluster.servers[first], &["set", "split", "yes"]).await,
        "OK"
    );
    cluster.ready().await.unwrap();
    assert_eq!(get(&cluster.servers[second], "split").await, "");
}

#[tokio::test]
async fn a_master_that_needs_replicas_refuses_writes_when_it_is_cut_off() {
    let cluster = SentinelOptions::new()
        .min_replicas(1)
        .start()
        .await
        .unwrap();
    let master = &cluster.servers[cluster.master().await.unwrap()];
    assert_eq!(run(master, &["set", "kept", "yes"]).await, "OK");
    cluster.cut_replication().await.unwrap();
    let refused = master.command(&["set", "lost", "yes"]).await.unwrap_err();
    assert!(refused.to_string().contains("NOREPLICAS"), "{refused:#}");
    cluster.mend_replication().await.unwrap();
    cluster.ready().await.unwrap();
}

#[tokio::test]
async fn an_emptied_master_empties_its_replicas() {
    let mut cluster = RedisSentinel::start().await.unwrap();
    let master = cluster.master().await.unwrap();
    let replica = (master + 1) % 3;
    for round in 0..2 {
        run(&cluster.servers[master], &["set", "gone", "no"]).await;
        until("copy", || async {
            get(&cluster.servers[replica], "gone").await == "no"
        })
        .await;
        if round == 0 {
            cluster.flushall().await.unwrap();
        } else {
            cluster.restart_master_empty().await.unwrap();
        }
        until("emptiness", || async {
            get(&cluster.servers[replica], "gone").await.is_empty()
        })
        .await;
    }
    assert_eq!(cluster.master().await.unwrap(), master);
}
