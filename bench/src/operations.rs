//! Each operation by itself, begun at a fixed rate on the embedded database: what it costs the server,
//! and how long its users wait.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use sso_testkit::{
    http::Http,
    persona::{
        self, Grpc, Persona,
        auth::{
            IsAdminRequest, LoginRequest, LogoutRequest, RefreshRequest, RegisterRequest,
            ValidateRequest,
        },
    },
    process::{Server, Site},
};
use tokio::sync::Mutex;
use tonic::transport::Channel;

use crate::{
    Plan,
    load::Ask,
    open_loop::open_loop,
    report::{Report, Series},
    validate::Empty,
};

const USERS: usize = 64;
const CONNECTIONS: usize = 8;
/// Operations with a hash that begin each second: two fifths of what two cores hash.
const HASHED: u32 = 50;
/// Sessions that end each second: each is begun before.
const ENDED: u32 = 200;

#[derive(Debug, Clone, Copy)]
enum Operation {
    EmptyRpc,
    EmptyRoute,
    Validate,
    IsAdmin,
    Refresh,
    Logout,
    Login,
    Register,
}

/// In the order of the report.
const ALL: [(Operation, &str); 8] = [
    (Operation::EmptyRpc, "empty RPC"),
    (Operation::EmptyRoute, "empty HTTP route (/auth/healthz)"),
    (Operation::Validate, "Validate"),
    (Operation::IsAdmin, "IsAdmin"),
    (Operation::Refresh, "Refresh"),
    (Operation::Logout, "Logout"),
    (Operation::Login, "Login"),
    (Operation::Register, "Register"),
];

impl Operation {
    const fn is_hashed(self) -> bool {
        matches!(self, Self::Login | Self::Register)
    }

    fn rate(self, plan: &Plan) -> u32 {
        match self {
            Self::Logout => ENDED,
            hashed if hashed.is_hashed() => HASHED,
            _ => plan.rate,
        }
    }
}

/// One after the other, and all of them again for the next run.
pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let quick = World::start(plan, false).await?;
    let hashing = World::start(plan, true).await?;
    let mut figures: [[Series; 3]; ALL.len()] = Default::default();
    for counts in plan.turns() {
        for ((operation, _), series) in ALL.into_iter().zip(&mut figures) {
            let world = if operation.is_hashed() {
                &hashing
            } else {
                &quick
            };
            let run = world.run(plan, operation).await?;
            if counts {
                for (series, figure) in series.iter_mut().zip(run) {
                    series.push(figure);
                }
            }
        }
    }
    for ((operation, name), [cost, p50, p99]) in ALL.into_iter().zip(&figures) {
        let rate = operation.rate(plan);
        report.figure(
            format!("{name}, {rate} a second, processor time"),
            "us",
            cost,
        );
        report.figure(format!("{name}, p50"), "ms", p50);
        report.figure(format!("{name}, p99"), "ms", p99);
    }
    Ok(())
}

/// A server, and who asks it.
struct World(Arc<Inner>);

struct Inner {
    server: Server,
    channels: Vec<Channel>,
    users: Vec<Persona>,
    /// Each user's newest refresh token; who holds it refreshes.
    sessions: Vec<Mutex<String>>,
    /// Refresh tokens of sessions that are to end.
    ending: Mutex<Vec<String>>,
    newcomers: AtomicU64,
    // After its server.
    _site: Site,
}

impl World {
    /// With the default hashes, or the least.
    async fn start(plan: &Plan, hashes: bool) -> Result<Self> {
        let mut site = Site::new(&plan.binary)?;
        if hashes {
            site.unset("SSO__PASSWORDS__ARGON2_MEMORY")
                .unset("SSO__PASSWORDS__ARGON2_ITERATIONS");
        }
        let server = site.serve().await?;
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            channels.push(persona::channel(server.grpc_address).await?);
        }
        let (mut users, mut sessions) = (Vec::new(), Vec::new());
        for number in 0..USERS {
            let user = Persona::register(&server.http, &format!("user{number}")).await?;
            sessions.push(Mutex::new(user.refresh.clone()));
            users.push(user);
        }
        Ok(Self(Arc::new(Inner {
            server,
            channels,
            users,
            sessions,
            ending: Mutex::default(),
            newcomers: AtomicU64::new(0),
            _site: site,
        })))
    }

    /// Processor time of the server for each in microseconds, p50 and p99 in milliseconds.
    async fn run(&self, plan: &Plan, operation: Operation) -> Result<[f64; 3]> {
        let (rate, run) = (operation.rate(plan), plan.run.max(Duration::from_secs(1)));
        if let Operation::Logout = operation {
            let count = u64::from(rate) * run.as_secs();
            self.0.begin(usize::try_from(count)?).await?;
        }
        let outcome = open_loop(rate, run, self.0.server.pid(), |number| {
            let inner = Arc::clone(&self.0);
            async move { inner.ask(operation, usize::try_from(number)?).await }
        });
        let outcome = outcome.await?;
        Ok([
            outcome.server_micros,
            outcome.millis(0.5),
            outcome.millis(0.99),
        ])
    }
}

impl Inner {
    /// Begins as many sessions, to be ended. Each user may have only some at once, so they are of many.
    async fn begin(&self, count: usize) -> Result<()> {
        let mut tokens = Vec::with_capacity(count);
        for number in 0..count {
            let name = self.newcomers.fetch_add(1, Ordering::Relaxed);
            let name = format!("ending{name}-{number}");
            tokens.push(Persona::register(&self.server.http, &name).await?.refresh);
        }
        *self.ending.lock().await = tokens;
        Ok(())
    }

    async fn ask(&self, operation: Operation, number: usize) -> Result<()> {
        let channel = self.channels[number % CONNECTIONS].clone();
        let mut grpc = Grpc::new(channel.clone());
        let user = &self.users[number % USERS];
        let refused = || format!("{operation:?} was refused");
        match operation {
            Operation::EmptyRpc => Empty::new(channel).ask().await?,
            Operation::EmptyRoute => live(&self.server.http).await?,
            Operation::Validate => {
                let token = user.access.clone();
                let asked = grpc.validate(ValidateRequest { token }).await;
                asked.with_context(refused)?;
            }
            Operation::IsAdmin => {
                let user_id = user.id.clone();
                let asked = grpc.is_admin(IsAdminRequest { user_id }).await;
                asked.with_context(refused)?;
            }
            Operation::Refresh => {
                let mut session = self.sessions[number % USERS].lock().await;
                let refresh_token = session.clone();
                let asked = grpc.refresh(RefreshRequest { refresh_token }).await;
                *session = asked.with_context(refused)?.into_inner().refresh_token;
            }
            Operation::Logout => {
                let token = self.ending.lock().await.pop().context("too few sessions")?;
                let asked = grpc.logout(LogoutRequest { token }).await;
                asked.with_context(refused)?;
            }
            Operation::Login => {
                let request = LoginRequest {
                    email: user.email.clone(),
                    password: user.password.clone(),
                };
                grpc.login(request).await.with_context(refused)?;
            }
            Operation::Register => {
                let number = self.newcomers.fetch_add(1, Ordering::Relaxed);
                let request = RegisterRequest {
                    email: format!("newcomer{number}@example.org"),
                    password: "a secret for the benchmark".to_owned(),
                };
                grpc.register(request).await.with_context(refused)?;
            }
        }
        Ok(())
    }
}

async fn live(http: &Http) -> Result<()> {
    let reply = http.get("/auth/healthz", None).await?;
    ensure!(reply.status.is_success(), "{reply:?}");
    Ok(())
}
