//! Three instances: what is over is over everywhere when somebody was told so, and 1.2 leases
//! after the answer in any case, whatever happens to an instance meanwhile.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::ensure;
use http::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use sso_testkit::{
    persona::Persona,
    process::Server,
    servers::{Pair, Proxy},
};
use tokio::task::JoinSet;

use super::{
    cluster::{BOUND, Instance, LEASE, full_size, is_everywhere, pair},
    guard::{Guard, Kind, PATIENCE, site},
    *,
};
use crate::support::{eventually_within, rounds, unique};

/// Three instances, the third by way of a network that can fail.
struct Three {
    pair: Pair,
    urls: Vec<String>,
    network: Proxy,
    all: Vec<Arc<Instance>>,
    guard: Arc<Guard>,
    patrols: JoinSet<Result<()>>,
}

impl Three {
    async fn start() -> Result<Self> {
        let (pair, urls) = pair(1).await?;
        let url = pair.primary.url("postgres");
        let network = Proxy::start(pair.primary.address())?;
        let far = through(&url, network.address())?;
        let mut all = Vec::new();
        for url in [&url, &url, &far] {
            all.push(Arc::new(Instance::start(site(url, &urls)?).await?));
        }
        for one in &all {
            one.settled().await?;
        }
        let guard = Guard::new(&all);
        for _ in 0..8 {
            let alive = Persona::register(&all[0].server.http, &unique()).await?;
            guard
                .alive
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(alive.access);
        }
        let patrols = guard.patrol();
        Ok(Self {
            pair,
            urls,
            network,
            all,
            guard,
            patrols,
        })
    }
}

fn signal(server: &Server, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(server.pid())?).context("no pid")?;
    Ok(kill_process(pid, signal)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_passes_anywhere_after_everywhere_under_load() -> Result<()> {
    let three = Three::start().await?;
    let count = if full_size() { 1_000 } else { 150 };
    let answers = Arc::new(Mutex::new(Vec::new()));
    // A long write elsewhere in the cluster holds back what every snapshot shows.
    let write = "select pg_current_xact_id(), pg_sleep(8)";
    let held = three.pair.primary.execute(write);
    let revoked = rounds(count, 6, |number| {
        let (guard, all) = (Arc::clone(&three.guard), three.all.clone());
        let answers = Arc::clone(&answers);
        async move {
            let kind = Kind::ALL[number % Kind::ALL.len()];
            let answer = guard.revoke(kind, &all[number % all.len()], &all).await?;
            answers
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(kind.is_told().then_some(answer));
            Ok(())
        }
    });
    let (held, revoked) = tokio::join!(held, revoked);
    held?;
    revoked?;
    let (told, mut took): (_, Vec<_>) = {
        let answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
        let everywhere = answers.iter().filter(|(_, everywhere)| *everywhere);
        (answers.len(), everywhere.map(|(took, _)| *took).collect())
    };
    // A machine that is shared may be slow for a moment.
    ensure!(took.len() * 100 >= told * 95, "only {}", took.len());
    took.sort_unstable();
    let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!(
        "{} of {told} everywhere: p50 {p50:?}, p99 {p99:?}",
        took.len()
    );
    three.guard.all_over(&three.all).await?;
    three.guard.end(three.patrols).await?;
    let limit = if full_size() { 600 } else { 2_000 };
    ensure!(p99 <= Duration::from_millis(limit), "p99 {p99:?}");
    Ok(())
}

/// Rows of readers that were silent for too long.
const FENCED: &str = "sso_revocation_readers_fenced_total";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_hangs_accepts_nothing_when_it_goes_on() -> Result<()> {
    let three = Three::start().await?;
    let (two, third) = (&three.all[..2], &three.all[2].server);
    let mut silent = 0;
    for (pause, answer_under_way) in [
        (LEASE / 2, false),
        (LEASE * 2, false),
        (LEASE / 2, true),
        (LEASE * 2, true),
    ] {
        if answer_under_way {
            // Its beat is at the server, the answer is on its way.
            three.network.freeze_answers();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        signal(third, Signal::STOP)?;
        let thaw = Instant::now() + pause;
        three.network.mend();
        while Instant::now() < thaw {
            three.guard.each(two).await?;
        }
        let fenced = two[0].server.admin.metric::<u64>(FENCED).await?
            + two[1].server.admin.metric::<u64>(FENCED).await?;
        silent += u64::from(pause > LEASE);
        ensure!(fenced == silent, "{fenced} rows deleted of {silent}");
        signal(third, Signal::CONT)?;
        // At once, before its next beat.
        let dead = three
            .guard
            .dead
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for dead in dead.iter().rev().take(20) {
            three.guard.must_refuse(&three.all[2], dead).await;
        }
        three.guard.recovered(&three.all).await?;
    }
    three.guard.end(three.patrols).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_is_cut_off_accepts_for_its_lease_and_comes_back() -> Result<()> {
    let three = Three::start().await?;
    let (two, third) = (&three.all[..2], &three.all[2]);
    let alive = Persona::register(&three.all[0].server.http, &unique()).await?;
    for frozen in [false, true] {
        if frozen {
            three.network.freeze();
        } else {
            three.network.cut();
        }
        let since = Instant::now();
        let end = eventually_within(LEASE * 2, "the end of the lease", async || {
            let reply = third.validate(&alive.access).await?;
            ensure!(reply.status != StatusCode::UNAUTHORIZED, "{reply:?}");
            Ok(reply.status == StatusCode::SERVICE_UNAVAILABLE)
        });
        let end = async { end.await.map(|()| since.elapsed()) };
        let (lasted, ()) = tokio::try_join!(end, three.guard.each(two))?;
        // The beat that was answered last was sent a while before the cut.
        ensure!(lasted > LEASE / 4 && lasted < BOUND, "{lasted:?}");
        three.guard.each(two).await?;
        three.network.mend();
        eventually_within(PATIENCE, "validation", async || {
            Ok(third.validate(&alive.access).await?.status == StatusCode::OK)
        })
        .await?;
        three.guard.recovered(&three.all).await?;
    }
    three.guard.end(three.patrols).await
}

/// Whoever logs out again is told the truth, not that there was nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_that_is_repeated_is_answered_no_sooner_than_the_first() -> Result<()> {
    let three = Three::start().await?;
    let alice = Persona::register(&three.all[0].server.http, &unique()).await?;
    ensure!(three.all[2].validate(&alice.access).await?.status == StatusCode::OK);
    // The third keeps its row and its lease, and is told nothing.
    three.network.freeze();
    let since = Instant::now();
    let mut pending = 0;
    while since.elapsed() < LEASE / 2 {
        for at in &three.all[..2] {
            let again = alice
                .at(&at.server.http)
                .logout(&alice.access, false)
                .await?;
            ensure!(again.status == StatusCode::OK, "{again:?}");
            let third = three.all[2].validate(&alice.access).await?;
            if third.status == StatusCode::OK {
                let late = since.elapsed();
                ensure!(!is_everywhere(&again), "after {late:?}: {again:?}");
                pending += 1;
            }
        }
    }
    ensure!(pending > 1, "the third never accepted");
    eventually_within(PATIENCE, "the truth", async || {
        let again = alice.logout(&alice.access, false).await?;
        Ok(is_everywhere(&again))
    })
    .await?;
    for at in &three.all {
        let reply = at.validate(&alice.access).await?;
        ensure!(reply.status != StatusCode::OK, "{reply:?}");
    }
    three.network.mend();
    three.guard.recovered(&three.all).await?;
    three.guard.end(three.patrols).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_dies_or_starts_meanwhile_accepts_nothing_that_is_over() -> Result<()> {
    let mut three = Three::start().await?;
    let url = three.pair.primary.url("postgres");
    for _ in 0..if full_size() { 20 } else { 3 } {
        let start = Instance::start(site(&url, &three.urls)?);
        tokio::pin!(start);
        // Revocations commit before, while and after it registers.
        let started = loop {
            let each = three.guard.each(&three.all);
            tokio::pin!(each);
            tokio::select! {
                started = &mut start => {
                    let started = Arc::new(started?);
                    let dead = three.guard.dead.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    for dead in dead.iter().rev().take(40) {
                        three.guard.must_refuse(&started, dead).await;
                    }
                    each.await?;
                    break started;
                }
                done = &mut each => { done?; }
            }
        };
        three
            .guard
            .instances
            .lock()
            .unwrap()
            .push(Arc::clone(&started));
        three.guard.each(&three.all).await?;
        // It is in nobody's list any more but the database's.
        signal(&started.server, Signal::KILL)?;
        three
            .guard
            .instances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        three.guard.each(&three.all).await?;
    }
    three.guard.recovered(&three.all).await?;
    three.guard.end(std::mem::take(&mut three.patrols)).await
}
