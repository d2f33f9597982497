//! A primary and standbys.

use std::time::{Duration, Instant};

use sso_testkit::servers::{Node, Options, Pair};

use super::until;

const COUNT: &str = "select count(*) from noted";

async fn pair(replicas: usize) -> Pair {
    let pair = Pair::with_replicas(replicas, &Options::new())
        .await
        .unwrap();
    run(&pair.primary, "create table noted (what int)").await;
    for replica in &pair.replicas {
        replica.node.caught_up_with(&pair.primary).await.unwrap();
    }
    pair
}

async fn run(node: &Node, sql: &str) -> String {
    node.execute(sql).await.unwrap()
}

async fn note(node: &Node) {
    run(node, "insert into noted values (1)").await;
}

#[tokio::test]
async fn a_paused_replica_shows_what_was_until_its_replay_is_resumed() {
    let pair = pair(2).await;
    let (paused, other) = (&pair.replicas[0].node, &pair.replicas[1].node);
    paused.pause_replay().await.unwrap();
    note(&pair.primary).await;
    other.caught_up_with(&pair.primary).await.unwrap();
    assert_eq!(run(other, COUNT).await, "1");
    assert_eq!(run(paused, COUNT).await, "0");
    paused.resume_replay().await.unwrap();
    paused.caught_up_with(&pair.primary).await.unwrap();
    assert_eq!(run(paused, COUNT).await, "1");
}

#[tokio::test]
async fn a_delayed_replica_shows_a_commit_that_much_later() {
    let pair = pair(1).await;
    let replica = &pair.replicas[0].node;
    replica.delay(Duration::from_secs(1)).await.unwrap();
    let started = Instant::now();
    note(&pair.primary).await;
    until("delayed row", || async { run(replica, COUNT).await == "1" }).await;
    assert!(started.elapsed() >= Duration::from_secs(1));
    replica.delay(Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn what_frozen_senders_did_not_ship_is_lost_by_a_promotion() {
    let mut pair = pair(1).await;
    note(&pair.primary).await;
    pair.replicas[0]
        .node
        .caught_up_with(&pair.primary)
        .await
        .unwrap();
    pair.primary.freeze_senders().await.unwrap();
    note(&pair.primary).await;
    pair.primary.kill9().await.unwrap();
    let replica = &pair.replicas[0].node;
    replica.promote().await.unwrap();
    note(replica).await;
    assert_eq!(run(replica, COUNT).await, "2");
    pair.primary.start().await.unwrap();
    assert_eq!(run(&pair.primary, COUNT).await, "2");
}

#[tokio::test]
async fn thawed_senders_ship_what_they_have_missed() {
    let mut pair = pair(1).await;
    pair.primary.freeze_senders().await.unwrap();
    note(&pair.primary).await;
    assert_eq!(run(&pair.replicas[0].node, COUNT).await, "0");
    pair.primary.thaw_senders().unwrap();
    pair.replicas[0]
        .node
        .caught_up_with(&pair.primary)
        .await
        .unwrap();
    assert_eq!(run(&pair.replicas[0].node, COUNT).await, "1");
}

#[tokio::test]
async fn a_replica_behind_a_cut_link_follows_again_when_it_is_mended() {
    let pair = pair(1).await;
    let replica = &pair.replicas[0];
    replica.link.cut();
    until("cut", || async {
        pair.primary.streaming().await.unwrap() == 0
    })
    .await;
    note(&pair.primary).await;
    assert_eq!(run(&replica.node, COUNT).await, "0");
    replica.link.mend();
    replica.node.caught_up_with(&pair.primary).await.unwrap();
    assert_eq!(run(&replica.node, COUNT).await, "1");
}

#[tokio::test]
async fn an_added_replica_has_everything_and_follows() {
    let mut pair = pair(1).await;
    note(&pair.primary).await;
    pair.add_replica().await.unwrap();
    assert_eq!(run(&pair.replicas[1].node, COUNT).await, "1");
    note(&pair.primary).await;
    let added = &pair.replicas[1].node;
    added.caught_up_with(&pair.primary).await.unwrap();
    assert_eq!(run(added, COUNT).await, "2");
}

#[tokio::test]
async fn a_killed_primary_comes_back_with_what_it_acknowledged() {
    let mut pair = pair(1).await;
    note(&pair.primary).await;
    pair.primary.kill9().await.unwrap();
    assert!(pair.primary.execute("select 1").await.is_err());
    pair.primary.start().await.unwrap();
    assert_eq!(run(&pair.primary, COUNT).await, "1");
    pair.ready().await.unwrap();
    pair.primary.restart().await.unwrap();
    pair.ready().await.unwrap();
    pair.replicas[0].node.stop().await.unwrap();
    assert!(pair.replicas[0].node.execute("select 1").await.is_err());
    pair.replicas[0].node.start().await.unwrap();
    pair.ready().await.unwrap();
}
