//! The primary is away for longer than a lease.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use http::StatusCode;
use serde_json::json;
use sso_testkit::{
    http::Reply,
    persona::{Grpc, Persona, auth::ValidateRequest},
    process::Server,
    servers::{Postgres, Proxy},
};
use tokio::{net::TcpListener, task::JoinSet};
use tonic::Code;

use crate::{full_size, scene::site};

const LEASE: Duration = Duration::from_secs(3);
/// What a beat, and a busy machine, take off and add.
const SLACK: Duration = Duration::from_secs(1);
/// Who asks at once for what needs the primary.
const CROWD: usize = 60;
/// The deadline of a request.
const DEADLINE: Duration = Duration::from_secs(10);
const MIB: u64 = 1024 * 1024;

/// Instead of the primary: takes connections and says nothing, or ends them at once.
struct Nobody {
    address: SocketAddr,
    came: Arc<AtomicU64>,
}

impl Nobody {
    async fn start(silent: bool) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let came = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&came);
        tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                if silent {
                    kept.push(stream);
                }
            }
        });
        Ok(Self { address, came })
    }

    fn came(&self) -> u64 {
        self.came.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_away_for_longer_than_the_lease_costs_answers_and_nothing_else()
-> Result<()> {
    let _alone = crate::ALONE.lock().await;
    let server = Postgres::shared().await?;
    let network = Proxy::start(server.node.address())?;
    let url = server.database("away").await?;
    let (before, after) = url.rsplit_once('@').context("no password")?;
    let (_, database) = after.split_once('/').context("no database")?;
    let mut site = site(&format!("{before}@{}/{database}", network.address()))?;
    site.set("SSO__REVOCATION__LEASE", format!("{}s", LEASE.as_secs()));
    site.run_ok(&["migrate", "up"])?;
    let serving = site.serve().await?;
    let alice = Persona::register(&serving.http, "alice").await?;
    let mut before = None;
    for silent in [false, true] {
        let nobody = Nobody::start(silent).await?;
        network.set_target(nobody.address);
        network.reset();
        let done = away(&serving, &alice, &nobody).await;
        network.set_target(server.node.address());
        network.reset();
        done.with_context(|| format!("silent: {silent}"))?;
        back(&serving, &alice).await?;
        // The first time makes what stays: pools, threads, buffers.
        let held = held(&serving)?;
        let (memory, files) = *before.get_or_insert(held);
        ensure!(held.0 < memory + 24 * MIB, "{memory} bytes, then {held:?}");
        ensure!(held.1 < files + 24, "{files} open files, then {held:?}");
    }
    Ok(())
}

/// Memory in bytes, open files.
fn held(serving: &Server) -> Result<(u64, usize)> {
    let files = std::fs::read_dir(format!("/proc/{}/fd", serving.pid()))?;
    Ok((serving.resident_bytes()?, files.count()))
}

async fn away(serving: &Server, alice: &Persona, nobody: &Nobody) -> Result<()> {
    let mut grpc = serving.grpc().await?;
    let started = Instant::now();
    while validates(&mut grpc, alice).await? {
        let late = started.elapsed();
        ensure!(
            late < LEASE + SLACK,
            "accepted {late:?} after the last beat"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let trusted = started.elapsed();
    ensure!(trusted + SLACK > LEASE, "trusted for {trusted:?} only");

    questions(&mut grpc, alice, nobody).await?;
    crowd(serving, alice).await?;
    let rest = if full_size() { 60 } else { 5 };
    while started.elapsed() < Duration::from_secs(rest) {
        ensure!(!validates(&mut grpc, alice).await?);
        for (path, status) in [
            ("/auth/healthz", StatusCode::OK),
            ("/.well-known/jwks.json", StatusCode::OK),
            ("/auth/ready", StatusCode::SERVICE_UNAVAILABLE),
        ] {
            let reply = serving.http.get(path, None).await?;
            ensure!(reply.status == status, "{path}: {reply:?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Whether the token is accepted; anything but UNAVAILABLE otherwise is an error.
async fn validates(grpc: &mut Grpc, alice: &Persona) -> Result<bool> {
    let token = alice.access.clone();
    match grpc.validate(ValidateRequest { token }).await {
        Ok(_) => Ok(true),
        Err(status) if status.code() == Code::Unavailable => Ok(false),
        Err(status) => Err(status.into()),
    }
}

/// However many tokens are validated, the primary is asked by the beats and the probes only.
async fn questions(grpc: &mut Grpc, alice: &Persona, nobody: &Nobody) -> Result<()> {
    let (before, started) = (nobody.came(), Instant::now());
    let mut asked = 0;
    while started.elapsed() < Duration::from_secs(2) {
        ensure!(!validates(grpc, alice).await?);
        asked += 1;
    }
    let came = nobody.came() - before;
    eprintln!("{asked} validations, {came} connections in 2 s");
    ensure!(asked > 200, "{asked} validations say nothing");
    ensure!(came <= 60, "{came} connections for {asked} validations");
    Ok(())
}

/// What needs the primary is refused in time, and says when to come again.
async fn crowd(serving: &Server, alice: &Persona) -> Result<()> {
    let mut asking = JoinSet::new();
    for number in 0..CROWD {
        let (http, alice) = (serving.http.clone(), alice.clone());
        asking.spawn(async move {
            let started = Instant::now();
            let reply = if number % 2 == 0 {
                alice.try_login(&alice.password).await?
            } else {
                let email = format!("nobody{number}@example.com");
                let body = json!({ "email": email, "password": "a long enough one" });
                http.post("/auth/registration", &body).await?
            };
            anyhow::Ok((reply, started.elapsed()))
        });
    }
    while let Some(answered) = asking.join_next().await {
        let (reply, took): (Reply, Duration) = answered??;
        ensure!(
            reply.status == StatusCode::SERVICE_UNAVAILABLE,
            "{reply:?} after {took:?}"
        );
        ensure!(!reply.header("retry-after").is_empty(), "{reply:?}");
        ensure!(took < DEADLINE, "refused after {took:?}");
    }
    Ok(())
}

/// Everything is as before, by itself.
async fn back(serving: &Server, alice: &Persona) -> Result<()> {
    let mut grpc = serving.grpc().await?;
    let started = Instant::now();
    loop {
        let login = alice.try_login(&alice.password).await?;
        if login.status == StatusCode::OK && validates(&mut grpc, alice).await? {
            eprintln!("back after {:?}", started.elapsed());
            return Ok(());
        }
        ensure!(
            started.elapsed() < Duration::from_secs(5),
            "not back: {login:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
