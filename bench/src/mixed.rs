//! A mixed day: 95 % validate, 3 % refresh, 1.5 % login, 0.5 % registration, begun at a fixed rate
//! over a number of connections, against the weighted sum of what each costs at least.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use sso_core::{
    Network,
    ports::{Hasher, Queue, Work},
    values::Password,
};
use sso_crypto::{HashPool, HashPoolSettings, SystemRandom};
use sso_testkit::{
    persona::{
        self, Grpc, Persona,
        auth::{LoginRequest, RefreshRequest, RegisterRequest, ValidateRequest},
    },
    process::{Server, Site},
};
use tokio::sync::Mutex;
use tonic::transport::Channel;

use crate::{
    Plan,
    load::{closed_loop, cpu_micros, float},
    open_loop::{Outcome, open_loop},
    report::{Report, Series},
    validate::Empty,
};

/// Operations of a day by kind, in a thousand.
const REFRESHES: u64 = 30;
const LOGINS: u64 = 15;
const REGISTRATIONS: u64 = 5;
const ALL: u64 = 1000;

/// Users, each with a session that is refreshed.
const USERS: usize = 200;
const CONNECTIONS: usize = 8;
/// Hashes that the limit is the mean of.
const HASHES: u32 = 40;

/// Runs the day and its limits in turn.
pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let mut site = Site::new(&plan.binary)?;
    site.unset("SSO__PASSWORDS__ARGON2_MEMORY")
        .unset("SSO__PASSWORDS__ARGON2_ITERATIONS");
    let server = site.serve().await?;
    let day = Arc::new(Day::prepare(&server).await?);
    let hashing = Hashing::start().await?;
    let (mut limit, mut ours) = (Series::default(), Series::default());
    let mut times: [Series; 3] = Default::default();
    for counts in plan.turns() {
        let empty = empty(plan, &server, &day.channels).await?;
        let hash = hashing.micros().await?;
        let outcome = Day::run(&day, plan, &server).await?;
        if counts {
            let hashed = float(LOGINS + REGISTRATIONS) / float(ALL);
            limit.push(empty + hashed * hash);
            ours.push(outcome.server_micros);
            for (series, quantile) in times.iter_mut().zip([0.5, 0.99, 0.999]) {
                series.push(outcome.millis(quantile));
            }
        }
    }
    report.note(
        "mixed day",
        format!(
            "{} operations a second over {CONNECTIONS} connections: 95 % validate, 3 % refresh, \
             1.5 % login, 0.5 % registration",
            plan.rate
        ),
    );
    let what = "mixed day: weighted sum of empty RPCs and hashes, processor time";
    report.figure(what, "us", &limit);
    report.figure("mixed day: processor time of the server", "us", &ours);
    let goal = "mixed day / weighted sum of the limits";
    report.goal(goal, "ratio", "<= 1.3", &ours.over(&limit));
    let names = ["mixed day, p50", "mixed day, p99", "mixed day, p99.9"];
    for (what, series) in names.into_iter().zip(&times) {
        report.figure(what, "ms", series);
    }
    Ok(())
}

/// What an empty RPC costs the server, in microseconds of processor time.
async fn empty(plan: &Plan, server: &Server, channels: &[Channel]) -> Result<f64> {
    let clients = channels.len() * 4;
    let limit = closed_loop(clients, plan.run, server.pid(), |number| {
        Empty::new(channels[number % channels.len()].clone())
    });
    Ok(limit.await?.server_micros)
}

/// Hashes in this process.
struct Hashing {
    pool: HashPool,
    password: Password,
}

impl Hashing {
    async fn start() -> Result<Self> {
        let pool = HashPool::start(HashPoolSettings::default(), Arc::new(SystemRandom))?;
        let password = Password::parse("password", "a secret for the benchmark");
        let password = password.map_err(|bad| anyhow::anyhow!("{bad:?}"))?;
        let hashing = Self { pool, password };
        hashing.micros().await?;
        Ok(hashing)
    }

    /// Processor time of one, in microseconds.
    async fn micros(&self) -> Result<f64> {
        let before = cpu_micros(std::process::id())?;
        for _ in 0..HASHES {
            let work = Work {
                queue: Queue::Login,
                network: Network::UNKNOWN,
            };
            self.pool.rehash(work, self.password.clone()).await?;
        }
        Ok((cpu_micros(std::process::id())? - before) / f64::from(HASHES))
    }
}

/// Who takes part.
struct Day {
    channels: Vec<Channel>,
    users: Vec<Persona>,
    /// Each user's newest refresh token; who holds it refreshes.
    sessions: Vec<Mutex<String>>,
    newcomers: AtomicU64,
}

impl Day {
    async fn prepare(server: &Server) -> Result<Self> {
        let mut day = Self {
            channels: Vec::new(),
            users: Vec::new(),
            sessions: Vec::new(),
            newcomers: AtomicU64::new(0),
        };
        for _ in 0..CONNECTIONS {
            let channel = persona::channel(server.grpc_address).await?;
            day.channels.push(channel);
        }
        for number in 0..USERS {
            let user = Persona::register(&server.http, &format!("user{number}")).await?;
            day.sessions.push(Mutex::new(user.refresh.clone()));
            day.users.push(user);
        }
        Ok(day)
    }

    async fn run(day: &Arc<Self>, plan: &Plan, server: &Server) -> Result<Outcome> {
        // Twice as long as others: the seldom operations count too.
        let run = plan.run.max(Duration::from_secs(1)) * 2;
        open_loop(plan.rate, run, server.pid(), |number| {
            let day = Arc::clone(day);
            async move { day.operation(number).await }
        })
        .await
    }

    /// The kinds follow each other evenly: 613 and a thousand have no common divisor.
    async fn operation(&self, number: u64) -> Result<()> {
        let at = usize::try_from(number)?;
        let grpc = Grpc::new(self.channels[at % self.channels.len()].clone());
        match number * 613 % ALL {
            kind if kind < REFRESHES => self.refresh(grpc, at).await,
            kind if kind < REFRESHES + LOGINS => self.login(grpc, at).await,
            kind if kind < REFRESHES + LOGINS + REGISTRATIONS => self.register(grpc).await,
            _ => self.validate(grpc, at).await,
        }
    }

    async fn validate(&self, mut grpc: Grpc, at: usize) -> Result<()> {
        let token = self.users[at % USERS].access.clone();
        let request = ValidateRequest { token };
        grpc.validate(request).await.context("validate refused")?;
        Ok(())
    }

    async fn refresh(&self, mut grpc: Grpc, at: usize) -> Result<()> {
        let mut session = self.sessions[at * 7 % USERS].lock().await;
        let request = RefreshRequest {
            refresh_token: session.clone(),
        };
        let answer = grpc.refresh(request).await.context("refresh refused")?;
        *session = answer.into_inner().refresh_token;
        Ok(())
    }

    async fn login(&self, mut grpc: Grpc, at: usize) -> Result<()> {
        let user = &self.users[at * 11 % USERS];
        let request = LoginRequest {
            email: user.email.clone(),
            password: user.password.clone(),
        };
        grpc.login(request).await.context("login refused")?;
        Ok(())
    }

    async fn register(&self, mut grpc: Grpc) -> Result<()> {
        let number = self.newcomers.fetch_add(1, Ordering::Relaxed);
        let request = RegisterRequest {
            email: format!("newcomer{number}@example.org"),
            password: "a secret for the benchmark".to_owned(),
        };
        grpc.register(request).await.context("register refused")?;
        Ok(())
    }
}
