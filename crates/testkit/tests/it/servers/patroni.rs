//! A cluster that Patroni manages.

use std::time::Duration;

use sso_testkit::servers::{Node, Patroni, patroni};

use super::until;

const COUNT: &str = "select count(*) from noted";

async fn run(node: &Node, sql: &str) -> String {
    node.execute(sql).await.unwrap()
}

async fn note(node: &Node) {
    run(node, "insert into noted values (1)").await;
}

/// A cluster with an empty table that every node shows; the leader.
async fn cluster(options: &patroni::Options) -> (Patroni, usize) {
    let cluster = options.start().await.unwrap();
    let leader = cluster.leader().await.unwrap();
    run(cluster.server(leader), "create table noted (what int)").await;
    for replica in cluster.replicas().await {
        let leader = cluster.server(leader);
        cluster
            .server(replica)
            .caught_up_with(leader)
            .await
            .unwrap();
    }
    (cluster, leader)
}

#[tokio::test]
async fn a_dead_node_is_replaced_and_rejoins() {
    let (mut cluster, first) = cluster(&patroni::Options::new()).await;
    assert_eq!(cluster.replicas().await.len(), 2);
    cluster.kill9_node(first).await.unwrap();
    let second = cluster.leader_after(first).await.unwrap();
    note(cluster.server(second)).await;
    cluster.start_node(first).unwrap();
    cluster.ready().await.unwrap();
    let (old, new) = (cluster.server(first), cluster.server(second));
    old.caught_up_with(new).await.unwrap();
    assert_eq!(run(old, COUNT).await, "1");

    let third = cluster.switchover().await.unwrap();
    assert_ne!(third, second);
    cluster.ready().await.unwrap();

    cluster.kill9_postgres_only(third).await.unwrap();
    cluster.ready().await.unwrap();
    assert_eq!(cluster.leader().await.unwrap(), third);
    assert_eq!(run(cluster.server(third), COUNT).await, "1");

    cluster.kill9_patroni_only(third).unwrap();
    cluster.leader_after(third).await.unwrap();
    assert!(
        !cluster.server(third).is_standby().await.unwrap(),
        "a second primary that nobody manages"
    );
}

#[tokio::test]
async fn commits_that_were_not_shipped_are_lost_when_the_leader_dies() {
    let (mut cluster, first) = cluster(&patroni::Options::new()).await;
    cluster.freeze_senders().await.unwrap();
    note(cluster.server(first)).await;
    cluster.kill9_node(first).await.unwrap();
    let second = cluster.leader_after(first).await.unwrap();
    assert_eq!(run(cluster.server(second), COUNT).await, "0");
    cluster.thaw_senders().unwrap();
}

#[tokio::test]
async fn a_synchronous_cluster_acknowledges_nothing_that_it_could_lose() {
    let (mut cluster, first) = cluster(&patroni::Options::new().synchronous()).await;
    until("synchronous standby", || async {
        let names = "select count(*) from pg_stat_replication where sync_state = 'sync'";
        run(cluster.server(first), names).await == "1"
    })
    .await;
    cluster.freeze_senders().await.unwrap();
    let waiting = cluster
        .server(first)
        .execute("insert into noted values (1)")
        .await;
    let error = waiting.expect_err("it was acknowledged");
    assert!(error.to_string().contains("did not end"), "{error:#}");
    cluster.thaw_senders().unwrap();
    cluster.ready().await.unwrap();
}

#[tokio::test]
async fn a_replica_stays_behind_for_as_long_as_it_is_told() {
    let (cluster, leader) = cluster(&patroni::Options::new().nodes(2)).await;
    let replica = cluster.replicas().await[0];
    cluster.pause_replay(replica).await.unwrap();
    note(cluster.server(leader)).await;
    // Longer than a loop of Patroni, which undoes other ways to pause.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(run(cluster.server(replica), COUNT).await, "0");
    cluster.resume_replay(replica).await.unwrap();
    let shows = cluster.server(replica);
    shows.caught_up_with(cluster.server(leader)).await.unwrap();
    assert_eq!(run(shows, COUNT).await, "1");
}

#[tokio::test]
async fn nobody_leads_while_etcd_is_frozen() {
    let (cluster, leader) = cluster(&patroni::Options::new().nodes(2)).await;
    cluster.freeze_etcd().unwrap();
    until("demotion", || async {
        cluster.server(leader).is_standby().await.unwrap_or(true)
    })
    .await;
    cluster.thaw_etcd().unwrap();
    cluster.ready().await.unwrap();
}
