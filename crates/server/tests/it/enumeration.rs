//! Whether an account exists, and how its password is stored, shows in no answer.

#![expect(clippy::print_stdout, reason = "figures, for who asks for them")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use http::StatusCode;
use serde_json::json;
use sso_core::ports::Random;
use sso_testkit::{
    http::{Http, Reply},
    persona::Persona,
    process::{Server, Site},
    random::SeededRandom,
};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::support::site;

/// bcrypt as the first users have it: cost 10, of another password than any that is tried.
const BCRYPT: &str = "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";
/// What an account can be to somebody who guesses.
const KINDS: [&str; 4] = ["wrong", "unknown", "bcrypt", "disabled"];

/// A server with an account of each kind, as many as asked for.
async fn given(site: &Site, each: usize) -> Result<Server> {
    let server = site.serve().await?;
    for number in 0..each {
        Persona::register(&server.http, &format!("wrong{number}")).await?;
        let disabled = Persona::register(&server.http, &format!("disabled{number}")).await?;
        site.run_ok(&["user", "disable", &disabled.email, "--no-wait"])?;
        let bcrypt = Persona::register(&server.http, &format!("bcrypt{number}")).await?;
        import(site, &bcrypt)?;
    }
    Ok(server)
}

/// As an import leaves a user: with the hash that he had.
fn import(site: &Site, user: &Persona) -> Result<()> {
    let database = rusqlite::Connection::open(site.data_dir().join("sso.db"))?;
    database.busy_timeout(Duration::from_secs(5))?;
    let changed = database.execute(
        "UPDATE users SET password_hash = ?1 WHERE email = ?2",
        (BCRYPT, &user.email),
    )?;
    ensure!(changed == 1, "no such user");
    Ok(())
}

async fn guess(http: &Http, kind: &str, number: usize) -> Result<Reply> {
    let email = format!("{kind}{number}@example.com");
    let body = json!({ "email": email, "password": "not the secret" });
    http.post("/auth/login", &body).await
}

/// All of an answer but what is another one in each: the id, the time.
fn shape(reply: &Reply) -> String {
    let id = reply.header("x-request-id").to_owned();
    let mut headers: Vec<_> = reply
        .headers
        .iter()
        .filter(|(name, _)| *name != "date")
        .map(|(name, value)| format!("{name}: {value:?}").replace(&id, "ID"))
        .collect();
    headers.sort();
    let body = String::from_utf8_lossy(&reply.bytes).replace(&id, "ID");
    format!("{} {headers:?} {body}", reply.status)
}

#[tokio::test]
async fn every_wrong_guess_has_the_same_status_headers_body_and_throttling() -> Result<()> {
    let site = site()?;
    let server = given(&site, 1).await?;
    for attempt in 0..7 {
        let first = shape(&guess(&server.http, KINDS[0], 0).await?);
        let expected = if attempt < 5 { "401" } else { "429" };
        assert!(first.starts_with(expected), "{attempt}: {first}");
        for kind in &KINDS[1..] {
            let reply = guess(&server.http, kind, 0).await?;
            assert_eq!(shape(&reply), first, "{kind}, attempt {attempt}");
        }
    }
    Ok(())
}

/// The area under the curve of the best threshold: 0.5 is chance (Mann and Whitney's U).
fn area(one: &[Duration], other: &[Duration]) -> f64 {
    let mut all: Vec<_> = one.iter().map(|time| (*time, true)).collect();
    all.extend(other.iter().map(|time| (*time, false)));
    all.sort_unstable();
    let (mut rank_sum, mut at) = (0.0, 0);
    while at < all.len() {
        let tied = all[at..].iter().take_while(|it| it.0 == all[at].0).count();
        // Ranks count from 1; those who tie share their mean.
        let rank = float(2 * at + tied + 1) / 2.0;
        let ours = all[at..at + tied].iter().filter(|it| it.1).count();
        rank_sum += rank * float(ours);
        at += tied;
    }
    let (n, m) = (float(one.len()), float(other.len()));
    (rank_sum - n * (n + 1.0) / 2.0) / (n * m)
}

#[expect(clippy::cast_precision_loss, reason = "figures below 2^53")]
fn float(number: usize) -> f64 {
    number as f64
}

/// How far chance alone moves the area, as a standard deviation.
fn deviation(n: usize) -> f64 {
    (float(2 * n + 1) / (12.0 * float(n) * float(n))).sqrt()
}

#[test]
fn the_area_tells_chance_from_knowledge() {
    let times = |from: u64| {
        (from..from + 100)
            .map(Duration::from_millis)
            .collect::<Vec<_>>()
    };
    assert!((area(&times(0), &times(0)) - 0.5).abs() < 1e-9);
    assert!((area(&times(100), &times(0)) - 1.0).abs() < 1e-9);
    assert!(area(&times(0), &times(100)).abs() < 1e-9);
    assert!((area(&times(50), &times(0)) - 0.875).abs() < 0.01);
}

/// Guesses at each kind in random order, `width` at once, and how long each took.
async fn measured(http: &Http, calls: usize, width: usize) -> Result<[Vec<Duration>; 4]> {
    let mut order: Vec<usize> = (0..4 * calls).map(|number| number % 4).collect();
    let random = SeededRandom::new(7);
    for at in (1..order.len()).rev() {
        let mut bytes = [0; 8];
        random.fill(&mut bytes);
        order.swap(at, usize::from_le_bytes(bytes) % (at + 1));
    }
    let room = Arc::new(Semaphore::new(width));
    let mut running = JoinSet::new();
    for (number, at) in order.into_iter().enumerate() {
        let permit = Arc::clone(&room).acquire_owned().await?;
        let http = http.clone();
        running.spawn(async move {
            let asked = Instant::now();
            let reply = guess(&http, KINDS[at], number % 4).await?;
            let took = asked.elapsed();
            drop(permit);
            ensure!(reply.status == StatusCode::UNAUTHORIZED, "{reply:?}");
            Ok((at, took))
        });
    }
    let mut times = [const { Vec::new() }; 4];
    while let Some(done) = running.join_next().await {
        let (at, took) = done??;
        times[at].push(took);
    }
    Ok(times)
}

fn no_better_than_chance(times: &[Vec<Duration>; 4], band: f64, when: &str) -> Result<()> {
    for (kind, of_kind) in KINDS.iter().zip(times).skip(1) {
        let area = area(of_kind, &times[0]);
        println!(
            "{when}: {kind} against {}: {area:.4} (band {band:.4})",
            KINDS[0]
        );
        ensure!(
            (area - 0.5).abs() <= band,
            "{when}: {kind} is told from {} with an area of {area}",
            KINDS[0]
        );
    }
    Ok(())
}

/// By default 80 calls of each kind and a band of 4 standard deviations (about 0.18): a kind that
/// skips the hash or the floor has an area near 0 or 1. With `SSO_FULL_SIZE=1` the full size: 2,000
/// interleaved calls of each kind against 0.48 to 0.52, or what chance alone makes of 2,000.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_classifier_of_times_does_no_better_than_chance_idle_and_under_load() -> Result<()> {
    let full = std::env::var_os("SSO_FULL_SIZE").is_some();
    let calls = if full { 2000 } else { 80 };
    let deviations = if full { 3.0 } else { 4.0 };
    let band = f64::max(0.02, deviations * deviation(calls));
    let mut site = site()?;
    site.set("SSO__THROTTLE__ENABLED", false)
        .set("SSO__LOGIN__FAILURE_FLOOR", "1s")
        .set("SSO__HASHING__QUEUE_DEADLINE", "1m")
        .set("SSO__HTTP__REQUEST_TIMEOUT", "2m");
    let server = given(&site, 4).await?;
    // What a first call does is done.
    measured(&server.http, 8, 4).await?;
    // Nothing waits: the floor hides it all.
    let idle = measured(&server.http, calls, 16).await?;
    no_better_than_chance(&idle, band, "idle")?;
    // The pool is never idle: nearly every call waits for its turn.
    let others = server.http.from_address([127, 0, 9, 1].into());
    let load = tokio::spawn(async move { measured(&others, 100_000, 24).await.map(drop) });
    let loaded = measured(&server.http, calls, 16).await?;
    ensure!(!load.is_finished(), "the load has ended: {:?}", load.await);
    load.abort();
    no_better_than_chance(&loaded, band, "under load")
}
