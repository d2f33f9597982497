//! An upgrade without downtime: the database is migrated beside the running instances, and one
//! after the other is replaced behind the balancer, under load. No request fails.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use sso_testkit::{
    http::Http,
    persona::{self, Persona},
    process::{Server, Site},
    servers::{Backend, Balancer, Port, Postgres, Sandbox},
};
use tokio::task::JoinSet;

use crate::{
    postgres,
    support::{eventually_within, unique, validate},
};

const CLIENTS: usize = 4;
const LONG: Duration = Duration::from_mins(1);

/// A later program's migration: it only adds, and lets programs of before go on.
const AHEAD: &str = "alter table users add column of_a_later_version text;
    insert into refinery_schema_history
    select max(version) + 1, 'later', max(applied_on), max(checksum) from refinery_schema_history";

/// How often what was asked, and who goes on asking.
#[derive(Debug, Default)]
struct Count {
    stop: AtomicBool,
    rounds: AtomicUsize,
}

fn instance(url: &str) -> Result<Site> {
    let mut site = postgres::unmigrated(url)?;
    site.set("SSO__HTTP__TRUSTED_PROXIES", "127.0.0.1")
        .set("SSO__THROTTLE__ENABLED", false)
        // The balancer asks each quarter of a second.
        .set("SSO__SHUTDOWN__DELAY", "2s");
    Ok(site)
}

/// Registers, logs in, asks by HTTP and by gRPC, refreshes and logs out; the first failure ends it.
async fn client(http: Http, grpc: std::net::SocketAddr, count: Arc<Count>) -> Result<()> {
    let mut service = persona::connect(grpc).await?;
    while !count.stop.load(Relaxed) {
        let mut somebody = Persona::register(&http, &unique()).await?;
        let login = somebody.login().await?;
        ensure!(login.status == 200, "login: {login:?}");
        let info = somebody.info().await?;
        ensure!(info.status == 200, "info: {info:?}");
        let valid = service.validate(validate(&somebody.access)).await;
        valid.context("validate")?;
        let refreshed = somebody.refresh().await?;
        ensure!(refreshed.status == 200, "refresh: {refreshed:?}");
        let ended = somebody.logout(&somebody.access, false).await?;
        ensure!(ended.status == 200, "logout: {ended:?}");
        let refused = somebody.info().await?;
        ensure!(refused.code() == "token_revoked", "after it: {refused:?}");
        count.rounds.fetch_add(1, Relaxed);
    }
    Ok(())
}

/// Waits until clients have gone through so many more rounds.
async fn goes_on(count: &Count, clients: &mut JoinSet<Result<()>>) -> Result<()> {
    let wanted = count.rounds.load(Relaxed) + 10;
    let more = eventually_within(LONG, "the load goes on", async || {
        Ok(count.rounds.load(Relaxed) >= wanted)
    });
    tokio::select! {
        done = more => done,
        Some(ended) = clients.join_next() => {
            ended??;
            anyhow::bail!("a client has ended")
        }
    }
}

/// SIGTERM, its end, and the next program in its place.
async fn replaced(mut server: Server, site: &Site) -> Result<Server> {
    server.terminate()?;
    ensure!(server.wait(LONG).await?.success(), "{}", site.log()?);
    site.serve().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_versions_roll_behind_the_balancer_and_no_request_fails() -> Result<()> {
    let database = Postgres::shared().await?;
    let url = database.database("rolling").await?;
    let sites = [instance(&url)?, instance(&url)?];
    sites[0].run_ok(&["migrate", "up"])?;
    let [one, two] = [sites[0].serve().await?, sites[1].serve().await?];
    let sandbox = Sandbox::new()?;
    let backends = [&one, &two].map(|server| Backend {
        http: server.http_address,
        grpc: server.grpc_address,
    });
    let ports = (Port::free()?, Port::free()?);
    let balancer = Balancer::start(sandbox.room(), ports, &backends)?;
    let http = Http::new(balancer.http.address());
    eventually_within(LONG, "the balancer hands on", async || {
        let reply = http.get("/auth/ready", None).await;
        Ok(reply.is_ok_and(|reply| reply.status == 200))
    })
    .await?;

    let count = Arc::new(Count::default());
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let http = Http::new(balancer.http.address());
        clients.spawn(client(http, balancer.grpc.address(), count.clone()));
    }
    goes_on(&count, &mut clients).await?;
    database.node.execute_in("rolling", AHEAD).await?;
    goes_on(&count, &mut clients).await?;
    let _one = replaced(one, &sites[0]).await?;
    goes_on(&count, &mut clients).await?;
    let _two = replaced(two, &sites[1]).await?;
    goes_on(&count, &mut clients).await?;
    count.stop.store(true, Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    println!("{} rounds, none failed", count.rounds.load(Relaxed));

    Ok(())
}
