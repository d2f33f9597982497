//! A replica's recovery is in the way of what is read there.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::ensure;
use http::StatusCode;
use sso_testkit::{persona::Persona, servers::Node};

use super::{
    cluster::{Instance, instance, pair},
    *,
};
use crate::support::{eventually_within, unique};

const LONG: Duration = Duration::from_mins(1);

/// On a replica a read of a user takes as long as it needs to be in the way of something.
const SLOW: &str = "
    alter table users rename to users_table;
    create view users as
        select * from users_table
        where case when pg_is_in_recovery() then pg_sleep(0.3) is not null else true end";

/// Removes row versions that a reader there may still see.
async fn clean(primary: &Node, over: &AtomicBool) -> Result<()> {
    while !over.load(Ordering::Acquire) {
        primary
            .execute("update users_table set name = 'Somebody'")
            .await?;
        primary.execute("vacuum users_table").await?;
    }
    Ok(())
}

/// Seen red with the replica's error as the answer: 503.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_a_replicas_recovery_ends_is_asked_of_the_primary() -> Result<()> {
    let (pair, urls) = pair(1).await?;
    let replica = &pair.replicas[0].node;
    // Nobody is waited for.
    replica.set("max_standby_streaming_delay", "0").await?;
    pair.primary.execute(SLOW).await?;
    let mut site = instance(&pair.primary.url("postgres"), &urls)?;
    // The recovery waits for nobody, but it may be late while so much is removed.
    site.set("SSO__DATABASE__MAX_LAG", "30s");
    let at = Arc::new(Instance::start(site).await?);
    let alice = Persona::register(&at.server.http, &unique()).await?;
    let ended = async || -> Result<u64> {
        let count = "select confl_snapshot from pg_stat_database_conflicts
                     where datname = 'postgres'";
        Ok(replica.execute(count).await?.parse()?)
    };
    let before = ended().await?;
    let over = AtomicBool::new(false);
    let asked = async {
        let asked = eventually_within(LONG, "conflicts", async || {
            let info = alice.info().await?;
            ensure!(info.status == StatusCode::OK, "{info:?}");
            let admin = at.is_admin(&alice.id).await?;
            ensure!(admin.status == StatusCode::OK, "{admin:?}");
            let login = alice.try_login(&alice.password).await?;
            ensure!(login.status == StatusCode::OK, "{login:?}");
            Ok(ended().await? >= before + 5)
        })
        .await;
        over.store(true, Ordering::Release);
        asked
    };
    tokio::try_join!(asked, clean(&pair.primary, &over))?;
    Ok(())
}
