//! Replicas that are late, stopped, gone or new: nobody is told what was.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::ensure;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use sso_core::ports::Random;
use sso_crypto::SystemRandom;
use sso_testkit::{
    persona::Persona,
    servers::{Node, Pair, Proxy},
};
use tokio::time::sleep;

use super::{
    cluster::{Instance, Ledger, full_size, instance, pair},
    *,
};
use crate::support::{eventually_within, rounds, unique};

/// A life, each step at one of two instances and the question about it at once at the other.
async fn life(here: &Instance, there: &Instance, ledger: &Ledger) -> Result<()> {
    let mut alice = Persona::register(&here.server.http, &unique()).await?;
    registered(&mut alice, here, there, ledger).await?;
    changes(&mut alice, here, there, ledger).await
}

/// What becomes of one who is there.
async fn changes(
    alice: &mut Persona,
    here: &Instance,
    there: &Instance,
    ledger: &Ledger,
) -> Result<()> {
    another_password(alice, here, there, ledger).await?;
    administrator(alice, here, there, ledger).await?;
    disabled(alice, here, there, ledger).await
}

async fn registered(
    alice: &mut Persona,
    here: &Instance,
    there: &Instance,
    ledger: &Ledger,
) -> Result<()> {
    let no = there.is_admin(&alice.id).await?;
    ledger.expect("is-admin of one who has registered", &no, 200);
    *alice = alice.at(&there.server.http);
    let reply = alice.login().await?;
    ledger.expect("login of one who has registered", &reply, 200);
    let reply = alice.info().await?;
    ledger.expect("info after a login", &reply, 200);
    *alice = alice.at(&here.server.http);
    let reply = alice.refresh().await?;
    ledger.expect("refresh after a login", &reply, 200);
    let reply = alice.info().await?;
    ledger.expect("info after a refresh", &reply, 200);
    Ok(())
}

async fn another_password(
    alice: &mut Persona,
    here: &Instance,
    there: &Instance,
    ledger: &Ledger,
) -> Result<()> {
    let before = alice.at(&there.server.http);
    let changed = alice.change_password("quite another secret").await?;
    ledger.expect("change of a password", &changed, 200);
    for at in [here, there] {
        let alice = alice.at(&at.server.http);
        let reply = alice.try_login(&before.password).await?;
        ledger.expect("login by the old password", &reply, 401);
        let reply = alice.try_login(&alice.password).await?;
        ledger.expect("login by the new password", &reply, 200);
        let reply = alice.info().await?;
        ledger.expect("info by the tokens of the change", &reply, 200);
    }
    let reply = before.use_refresh_token(&before.refresh).await?;
    ledger.expect("refresh of before the change", &reply, 401);
    ledger
        .expect_by("info of before the change", &changed, || async {
            Ok(before.info().await?.status == 401)
        })
        .await
}

async fn administrator(
    alice: &mut Persona,
    here: &Instance,
    there: &Instance,
    ledger: &Ledger,
) -> Result<()> {
    for (set, at, other) in [(true, here, there), (false, there, here)] {
        let before = alice.access.clone();
        let body = json!({ "user_id": alice.id, "is_admin": set });
        let done = at.users("SetAdmin", body).await?;
        ledger.expect("a role", &done, 200);
        if !says(at, alice, set).await? {
            ledger.wrong(format!("is-admin is not {set} where it was set"));
        }
        let of_other = format!("is-admin is not {set} at the other");
        ledger
            .expect_by(&of_other, &done, || says(other, alice, set))
            .await?;
        ledger
            .expect_by("tokens of the role before", &done, || async {
                Ok(other.validate(&before).await?.status == 401)
            })
            .await?;
        *alice = alice.at(&other.server.http);
        let reply = alice.login().await?;
        ledger.expect("login after a change of role", &reply, 200);
        let reply = at.validate(&alice.access).await?;
        ledger.expect("tokens after a change of role", &reply, 200);
        if right(&reply.json()) != set || claims(&alice.access)?["adm"] != adm(set) {
            ledger.wrong(format!("the right of a new token is not {set}"));
        }
        let reply = alice.info().await?;
        if reply.json()["is_admin"] != set {
            ledger.wrong(format!("info does not say {set}: {reply:?}"));
        }
    }
    Ok(())
}

async fn disabled(
    alice: &mut Persona,
    here: &Instance,
    there: &Instance,
    ledger: &Ledger,
) -> Result<()> {
    let id = json!({ "user_id": alice.id });
    let done = here.users("Disable", id).await?;
    ledger.expect("disabling", &done, 200);
    for at in [there, here] {
        let alice = alice.at(&at.server.http);
        let reply = alice.try_login(&alice.password).await?;
        ledger.expect("login of one who is disabled", &reply, 403);
        let reply = alice.use_refresh_token(&alice.refresh).await?;
        ledger.expect("refresh of one who is disabled", &reply, 401);
        ledger
            .expect_by("info of one who is disabled", &done, || async {
                Ok(alice.info().await?.status == 401)
            })
            .await?;
    }
    Ok(())
}

async fn says(at: &Instance, alice: &Persona, set: bool) -> Result<bool> {
    Ok(right(&at.is_admin(&alice.id).await?.json()) == set)
}

/// In JSON what is false is left out.
fn right(body: &Value) -> bool {
    body["isAdmin"] == true
}

fn adm(set: bool) -> Value {
    if set { json!(true) } else { Value::Null }
}

fn claims(token: &str) -> Result<Value> {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    let part = token.split('.').nth(1).context("no claims")?;
    Ok(serde_json::from_slice(
        &BASE64_URL_SAFE_NO_PAD.decode(part)?,
    )?)
}

/// Two instances that answer `everywhere` early.
pub(super) async fn two(pair: &Pair, replicas: &[String]) -> Result<[Arc<Instance>; 2]> {
    let url = pair.primary.url("postgres");
    let start = || async {
        let mut site = instance(&url, replicas)?;
        // Late ones are asked too: their rows are what must not be told.
        site.set("SSO__DATABASE__MAX_LAG", "1m");
        Instance::start(site).await
    };
    let (one, two) = tokio::try_join!(start(), start())?;
    tokio::try_join!(one.settled(), two.settled())?;
    Ok([Arc::new(one), Arc::new(two)])
}

pub(super) async fn lives(
    count: usize,
    instances: &[Arc<Instance>; 2],
    ledger: &Arc<Ledger>,
) -> Result<()> {
    rounds(count, 16, |number| {
        let (here, there) = (
            Arc::clone(&instances[number % 2]),
            Arc::clone(&instances[(number + 1) % 2]),
        );
        let ledger = Arc::clone(ledger);
        async move { life(&here, &there, &ledger).await }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_told_what_was_while_every_replica_stands_still() -> Result<()> {
    let (pair, urls) = pair(2).await?;
    let instances = two(&pair, &urls).await?;
    let (count, ledger) = (if full_size() { 2_000 } else { 200 }, Arc::default());
    // The replicas know every second one, as he was.
    let http = &instances[0].server.http;
    let known = (0..count / 2).map(|_| async { Persona::register(http, &unique()).await });
    let known: Vec<_> = stream::iter(known).buffered(16).try_collect().await?;
    for replica in &pair.replicas {
        replica.node.caught_up_with(&pair.primary).await?;
        replica.node.pause_replay().await?;
    }
    let before = of_replicas(&instances).await?;
    rounds(known.len(), 16, |number| {
        let [one, two] = instances.clone();
        let (mut alice, ledger) = (known[number].clone(), Arc::clone(&ledger));
        async move { changes(&mut alice, &one, &two, &ledger).await }
    })
    .await?;
    let read = of_replicas(&instances).await? - before;
    let least = f64::from(u32::try_from(known.len())?);
    ensure!(read >= least, "{read} reads were of replicas");
    lives(count - known.len(), &instances, &ledger).await?;
    ledger.close()
}

/// How many reads replicas have answered.
async fn of_replicas(instances: &[Arc<Instance>; 2]) -> Result<f64> {
    answered_by("replica", instances).await
}

async fn answered_by(role: &str, instances: &[Arc<Instance>; 2]) -> Result<f64> {
    let series = format!("sso_store_reads_total{{role=\"{role}\"}}");
    Ok(instances[0].server.admin.metric::<f64>(&series).await?
        + instances[1].server.admin.metric::<f64>(&series).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_told_what_was_whatever_happens_to_the_replicas() -> Result<()> {
    let (mut pair, mut urls) = pair(2).await?;
    // Where a third one will be.
    let later = Proxy::start(([127, 0, 0, 1], 9).into())?;
    urls.push(through(&urls[0], later.address())?);
    let instances = two(&pair, &urls).await?;
    let ledger = Arc::default();
    let least = if full_size() { 2_000 } else { 150 };
    let (over, enough) = (AtomicBool::new(false), AtomicBool::new(false));
    let troubled = async {
        let troubled = trouble(&mut pair, &later).await;
        over.store(true, Ordering::Release);
        troubled?;
        while !enough.load(Ordering::Acquire) {
            jitter(&pair).await?;
        }
        anyhow::Ok(())
    };
    let before = of_replicas(&instances).await?;
    let lived = async {
        let mut count = 0;
        while count < least || !over.load(Ordering::Acquire) {
            lives(50, &instances, &ledger).await?;
            count += 50;
        }
        enough.store(true, Ordering::Release);
        Ok(())
    };
    tokio::try_join!(troubled, lived)?;
    let read = of_replicas(&instances).await? - before;
    ensure!(read > 0.0, "no read was of a replica");
    ledger.close()
}

/// Everything once: lag, one more, a walsender that hangs, one less, back again.
async fn trouble(pair: &mut Pair, later: &Proxy) -> Result<()> {
    jitter(pair).await?;
    let added = pair.add_replica().await?.node.address();
    later.set_target(added);
    jitter(pair).await?;
    pair.primary.freeze_senders().await?;
    // Longer than the lease.
    sleep(Duration::from_secs(3)).await;
    pair.primary.thaw_senders()?;
    jitter(pair).await?;
    pair.replicas[0].node.kill9().await?;
    jitter_of(&pair.replicas[1].node).await?;
    pair.replicas[0].node.start().await
}

async fn jitter(pair: &Pair) -> Result<()> {
    for replica in &pair.replicas {
        jitter_of(&replica.node).await?;
    }
    sleep(Duration::from_millis(300)).await;
    Ok(())
}

/// A lag of 0 to 3 seconds.
async fn jitter_of(node: &Node) -> Result<()> {
    let mut random = [0; 2];
    SystemRandom.fill(&mut random);
    let lag = u64::from(u16::from_le_bytes(random)) % 3_001;
    node.delay(Duration::from_millis(lag)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_are_near_carry_four_reads_of_five() -> Result<()> {
    let (pair, urls) = pair(2).await?;
    let instances = two(&pair, &urls).await?;
    let reads = async |role: &str| answered_by(role, &instances).await;
    eventually_within(Duration::from_secs(20), "replicas in use", async || {
        let alice = Persona::register(&instances[0].server.http, &unique()).await?;
        let before = reads("replica").await?;
        alice.try_login(&alice.password).await?;
        Ok(reads("replica").await? > before)
    })
    .await?;
    let before = (reads("replica").await?, reads("primary").await?);
    rounds(60, 8, |number| {
        let (here, there) = (
            Arc::clone(&instances[number % 2]),
            Arc::clone(&instances[(number + 1) % 2]),
        );
        async move {
            let mut alice = Persona::register(&here.server.http, &unique()).await?;
            for at in [&there, &here, &there, &here] {
                alice = alice.at(&at.server.http);
                ensure!(alice.login().await?.status == 200);
                ensure!(alice.info().await?.status == 200);
                ensure!(at.is_admin(&alice.id).await?.status == 200);
                ensure!(alice.refresh().await?.status == 200);
            }
            Ok(())
        }
    })
    .await?;
    let replicas = reads("replica").await? - before.0;
    let share = replicas / (replicas + reads("primary").await? - before.1);
    let lag = "select coalesce(extract(milliseconds from max(replay_lag)), 0)::int
               from pg_stat_replication";
    let lag = pair.primary.execute(lag).await?;
    println!("{share:.3} of all reads were the {replicas} of replicas, at last {lag} ms late");
    ensure!(share >= 0.8, "replicas carry only {share:.3} of the reads");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_hangs_holds_nobody_up() -> Result<()> {
    let (mut pair, urls) = pair(1).await?;
    let [one, _] = two(&pair, &urls).await?;
    let alice = Persona::register(&one.server.http, &unique()).await?;
    let reads = async || {
        one.server
            .admin
            .metric::<f64>("sso_store_reads_total{role=\"replica\"}")
            .await
    };
    eventually_within(Duration::from_secs(20), "a read there", async || {
        let before = reads().await?;
        ensure!(alice.info().await?.status == 200);
        Ok(reads().await? > before)
    })
    .await?;
    pair.replicas[0].node.freeze()?;
    // Until it is noticed, and after that.
    for _ in 0..20 {
        let start = Instant::now();
        let reply = alice.info().await?;
        ensure!(reply.status == 200, "{reply:?}");
        let took = start.elapsed();
        ensure!(took < Duration::from_secs(4), "info took {took:?}");
    }
    pair.replicas[0].node.thaw()?;
    pair.ready().await
}
