//! The two newest schemas: an instance that knows the older one, on a database that is brought to
//! the newer one while it serves.

use std::sync::Arc;

use anyhow::ensure;
use sso_testkit::{persona::Persona, servers::Postgres};

use super::{
    cluster::{Instance, Ledger},
    stale::lives,
    *,
};
use crate::support::callers;

/// As a migration has to be: it adds, with defaults, and takes nothing away.
const NEXT: &str = "
    begin;
    set local lock_timeout = '5s';
    alter table users add column nickname text;
    alter table sessions add column device text not null default 'unknown';
    alter table outbox add column priority smallint not null default 0;
    create table devices (id uuid primary key);
    insert into refinery_schema_history
        select 3, 'adds', applied_on, checksum from refinery_schema_history where version = 1;
    commit";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_of_before_a_migration_go_on_beside_it_and_start_after_it() -> Result<()> {
    let name = "ahead";
    let server = Postgres::shared().await?;
    let url = server.database(name).await?;
    let start = async |mut site: Site| {
        site.set("SSO__THROTTLE__ENABLED", false)
            .set("SSO__REVOCATION__LEASE", "3s")
            .set("SSO__REVOCATION__FENCE", "0s")
            .set("SSO__GRPC__CALLERS", callers());
        Instance::start(site).await
    };
    let (one, two) = (start(on(&url)?).await?, start(unmigrated(&url)?).await?);
    tokio::try_join!(one.settled(), two.settled())?;
    let alice = Persona::register(&one.server.http, "alice").await?;
    let (instances, ledger) = ([Arc::new(one), Arc::new(two)], Arc::<Ledger>::default());
    let migrated = async {
        server.node.execute_in(name, NEXT).await?;
        let index = "create index concurrently users_nickname on users (nickname)";
        server.node.execute_in(name, index).await
    };
    tokio::try_join!(lives(40, &instances, &ledger), migrated)?;
    lives(20, &instances, &ledger).await?;
    ledger.close()?;

    let [one, two] = instances;
    drop(two);
    let again = start(unmigrated(&url)?).await?;
    let alice = alice.at(&again.server.http);
    ensure!(alice.try_login(&alice.password).await?.status == 200);
    let status = again.site.run_ok(&["migrate", "status"])?;
    ensure!(status.starts_with("schema 3 of 2"), "{status}");
    again.site.run_ok(&["doctor"])?;
    again.site.run_ok(&["migrate", "up"])?;
    again.settled().await?;
    let ledger = Arc::<Ledger>::default();
    lives(20, &[one, Arc::new(again)], &ledger).await?;
    ledger.close()
}
