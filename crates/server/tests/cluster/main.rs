//! The real binary on a real Patroni cluster to which things happen, and clients who write down
//! what they are told. A few rounds as it is; with `SSO_FULL_SIZE=1` ten of each.

mod away;
mod observer;
mod ready;
mod scene;
mod storm;

use std::time::Duration;

use anyhow::{Result, ensure};
use sso_testkit::{
    history::Durability,
    servers::patroni::{Failover, Options},
};
use tokio::sync::Mutex;

use scene::Scene;

/// One cluster at a time: two would take the time from each other that is measured here. That is
/// also why these tests are a binary of their own: cargo runs one after the other.
static ALONE: Mutex<()> = Mutex::const_new(());

/// How many rounds.
fn rounds(few: usize) -> usize {
    if full_size() { 10 } else { few }
}

fn full_size() -> bool {
    std::env::var_os("SSO_FULL_SIZE").is_some()
}

/// Behind a synchronous standby nothing is lost, whatever happens to the leader, and validation
/// goes on.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_synchronous_standby_no_fault_of_the_leader_loses_what_was_acknowledged()
-> Result<()> {
    let _alone = ALONE.lock().await;
    let cluster = Options::new().synchronous().start().await?;
    let mut scene = Scene::open(cluster, Durability::Synchronous).await?;
    scene.early_answers().await;
    for _ in 0..rounds(1) {
        scene.round(Failover::KillNode).await?;
        if full_size() {
            scene.early_answers().await;
        }
        for fault in [
            Failover::Switchover,
            Failover::KillPostgres,
            Failover::FreezeEtcd,
            Failover::KillPatroni,
        ] {
            scene.round(fault).await?;
        }
    }
    scene.close().await
}

/// Without one the last moments may be lost: they are counted, and nothing comes back whose end was
/// answered `everywhere`.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_synchronous_standby_what_is_lost_is_counted_and_no_ended_access_comes_back()
-> Result<()> {
    let _alone = ALONE.lock().await;
    let cluster = Options::new().start().await?;
    let mut scene = Scene::open(cluster, Durability::Asynchronous).await?;
    scene.early_answers().await;
    for _ in 0..rounds(1) {
        let before = scene.verdict().lost;
        scene.round(Failover::KillNodeUnshipped).await?;
        scene.early_answers().await;
        // Else this round has shown nothing.
        let lost = scene.verdict().lost;
        ensure!(lost.len() > before.len(), "nothing is missed: {lost:?}");
        ensure!(scene.ended_everywhere() > 0, "nothing ended everywhere");
        scene.round(Failover::KillPatroni).await?;
        if full_size() {
            for fault in [
                Failover::KillNode,
                Failover::Switchover,
                Failover::KillPostgres,
                Failover::FreezeEtcd,
            ] {
                scene.round(fault).await?;
            }
        }
    }
    scene.close().await
}

/// How long a wait for what is expected to come may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
