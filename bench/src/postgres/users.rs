//! What the same costs among ten thousand users and among many.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use anyhow::Result;
use sso_core::{
    Network,
    ports::{Hasher, Queue, Work},
    values::Password,
};
use sso_crypto::{Argon2Params, HashPool, HashPoolSettings, SystemRandom};
use sso_testkit::{
    http::Http,
    persona::{self, Grpc},
    process::{Server, Site},
};

use super::{Place, flows::Register};
use crate::{
    Plan,
    load::{Ask, closed_loop},
    login::Login,
    refresh::Refresh,
    report::{Curve, Report},
};

const CLIENTS: u32 = 16;
const SECRET: &str = "a secret for the benchmark";

/// Users with a session each. Ids are spread over their table as time spreads them.
const LOAD: &str = r#"
    COPY users FROM PROGRAM 'awk ''BEGIN { for (n = 0; n < COUNT; n++) printf "01900000-0000-7000-8000-%012x\tuser%d@example.com\tuser%d@example.com\tf\tHASH\t\\N\t\\N\tf\tf\t1\t0\t2026-01-01 00:00:00Z\n", n, n, n }''';
    COPY sessions FROM PROGRAM 'awk ''BEGIN { for (n = 0; n < COUNT; n++) printf "01910000-0000-7000-8000-%012x\t01900000-0000-7000-8000-%012x\t1\t0\t2026-01-01 00:00:00Z\t2026-01-01 00:00:00Z\t2126-01-01 00:00:00Z\t\\N\t127.0.0.1\tbench\n", n, n }''';
    ANALYZE users; ANALYZE sessions"#;

/// With the settings of the service's connections.
const PLANS: &str = "
    SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
    EXPLAIN (COSTS OFF) SELECT * FROM users u WHERE u.email_canonical = 'user77@example.com';
    EXPLAIN (COSTS OFF)
    UPDATE sessions s SET generation = 1, rotated_at = now() FROM users u
    WHERE s.id = '01910000-0000-7000-8000-00000000004d' AND u.id = s.user_id AND s.generation <= 0
      AND s.revoked_at IS NULL AND s.expires_at > now() AND s.version >= u.sessions_from
      AND NOT u.disabled RETURNING u.*, s.*;
    EXPLAIN (COSTS OFF)
    SELECT * FROM users WHERE id = '01900000-0000-7000-8000-00000000004d' AND version = 1
      AND NOT disabled FOR NO KEY UPDATE;
    EXPLAIN (COSTS OFF)
    SELECT s.id FROM sessions s
    WHERE s.user_id = '01900000-0000-7000-8000-00000000004d' AND s.revoked_at IS NULL
    ORDER BY s.created_at DESC";

/// One run's figures.
struct Rates {
    login: f64,
    refresh: f64,
    register: f64,
}

/// A database, served.
struct Populated {
    site: Site,
    server: Server,
    count: u32,
    /// The number of the next user who registers.
    next: Arc<AtomicU64>,
    /// Who logs in next, of all clients.
    turn: Arc<AtomicU32>,
}

/// All sizes in turn, with the cheapest hashes, so that the database is what is measured. Logins are of all
/// users, refreshes of 16 sessions. The time of an operation is a second over the rate of 16 clients
/// together, not how long one of them waits.
pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let place = Place::start().await?;
    let hash = hash().await?;
    let mut databases = Vec::new();
    for &count in &plan.users {
        databases.push(Populated::load(plan, &place, count, &hash).await?);
    }
    let names = ["Login", "Refresh", "Register"];
    let mut curves = names.map(|name| Curve::new(name, "us", "users"));
    for counts in plan.turns() {
        for database in &databases {
            let rates = database.run(plan).await?;
            if counts {
                let rates = [rates.login, rates.refresh, rates.register];
                for (curve, rate) in curves.iter_mut().zip(rates) {
                    curve.push(database.count, 1e6 / rate);
                }
            }
        }
    }
    for (name, curve) in names.into_iter().zip(curves) {
        let growth = curve.growth();
        report.curve(curve);
        let what = format!("{name}: cost among most users / among fewest");
        report.goal(what, "ratio", "<= 1.2", &growth);
    }
    if let Some(most) = databases.iter().max_by_key(|database| database.count) {
        let title = format!("plans among {} users", most.count);
        report.note(title, place.sql(&name(most.count), PLANS).await?);
    }
    drop(
        databases
            .into_iter()
            .map(|one| one.site)
            .collect::<Vec<_>>(),
    );
    Ok(())
}

/// Of the database.
fn name(count: u32) -> String {
    format!("users{count}")
}

impl Populated {
    async fn load(plan: &Plan, place: &Place, count: u32, hash: &str) -> Result<Self> {
        let name = name(count);
        let site = place.site(plan, &name).await?;
        // `$` and `%` mean nothing in a hash to awk's strings but `%` to printf, and it has none.
        let load = LOAD
            .replace("COUNT", &count.to_string())
            .replace("HASH", hash);
        for statement in load.split(";\n") {
            place.sql(&name, statement).await?;
        }
        let server = site.serve().await?;
        Ok(Self {
            site,
            server,
            count,
            next: Arc::default(),
            turn: Arc::default(),
        })
    }

    async fn run(&self, plan: &Plan) -> Result<Rates> {
        let channel = persona::channel(self.server.grpc_address).await?;
        let grpc = || Grpc::new(channel.clone());
        let (clients, pid) = (usize::try_from(CLIENTS)?, self.server.pid());
        let step = (self.count / CLIENTS).max(1);
        let email = |number: u32| format!("user{}@example.com", number * step);
        let login = closed_loop(clients, plan.run, pid, |_| Anyone {
            login: Login {
                grpc: grpc(),
                email: String::new(),
                password: SECRET.to_owned(),
            },
            of: self.count,
            turn: Arc::clone(&self.turn),
        });
        let login = login.await?.rate;
        let mut tokens = Vec::new();
        for number in 0..CLIENTS {
            tokens.push(refresh_token(&self.server.http, &email(number)).await?);
        }
        let refresh = closed_loop(clients, plan.run, pid, |number| Refresh {
            grpc: grpc(),
            token: tokens[number].clone(),
        });
        let refresh = refresh.await?.rate;
        let register = closed_loop(clients, plan.run, pid, |_| Register {
            grpc: grpc(),
            next: Arc::clone(&self.next),
        });
        let register = register.await?.rate;
        Ok(Rates {
            login,
            refresh,
            register,
        })
    }
}

/// Logs in another user each time, of all that there are: what is asked for was not asked for before.
struct Anyone {
    login: Login,
    of: u32,
    turn: Arc<AtomicU32>,
}

impl Ask for Anyone {
    async fn ask(&mut self) -> Result<()> {
        // A prime: it goes through all of them, and no two that follow each other lie on a page.
        let turn = u64::from(self.turn.fetch_add(1, Ordering::Relaxed));
        let user = turn * 7919 % u64::from(self.of);
        self.login.email = format!("user{user}@example.com");
        self.login.ask().await
    }
}

async fn refresh_token(http: &Http, email: &str) -> Result<String> {
    let body = serde_json::json!({ "email": email, "password": SECRET });
    let reply = http.post("/auth/login", &body).await?;
    let token = reply.json()["refresh_token"].as_str().map(str::to_owned);
    token.ok_or_else(|| anyhow::anyhow!("no token: {reply:?}"))
}

/// Of [`SECRET`], as the servers make it.
async fn hash() -> Result<String> {
    let settings = HashPoolSettings {
        argon2: Argon2Params {
            memory_kib: 64,
            iterations: 1,
            ..Argon2Params::default()
        },
        ..HashPoolSettings::default()
    };
    let pool = HashPool::start(settings, Arc::new(SystemRandom))?;
    let password = Password::parse("password", SECRET).map_err(|bad| anyhow::anyhow!("{bad:?}"))?;
    let work = Work {
        queue: Queue::Login,
        network: Network::UNKNOWN,
    };
    Ok(pool.rehash(work, password).await?.as_str().to_owned())
}
