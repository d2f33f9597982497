//! What the same costs among ten thousand users and among many.

use std::sync::{Arc, atomic::AtomicU64};

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

use super::{Place, flows::Register, runs};
use crate::{
    Plan,
    load::closed_loop,
    login::Login,
    refresh::Refresh,
    report::{Report, Series},
};

const FEW: u32 = 10_000;
const CLIENTS: u32 = 16;
const SECRET: &str = "a secret for the benchmark";

/// Users with a session each. Ids are spread over their table as time spreads them.
const LOAD: &str = r#"
    COPY users FROM PROGRAM 'awk ''BEGIN { for (n = 0; n < COUNT; n++) printf "01900000-0000-7000-8000-%012x\tuser%d@example.com\tuser%d@example.com\tf\tHASH\t\\N\t\\N\tf\tf\t1\t0\t2026-01-01 00:00:00Z\n", n, n, n }''';
    COPY sessions FROM PROGRAM 'awk ''BEGIN { for (n = 0; n < COUNT; n++) printf "01910000-0000-7000-8000-%012x\t01900000-0000-7000-8000-%012x\t1\t0\t2026-01-01 00:00:00Z\t2026-01-01 00:00:00Z\t2126-01-01 00:00:00Z\t\\N\t127.0.0.1\tbench\n", n, n }''';
    ANALYZE users; ANALYZE sessions"#;

const PLANS: &str = "
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

/// One of the two databases, served.
struct Populated {
    site: Site,
    server: Server,
    count: u32,
    next: Arc<AtomicU64>,
}

/// Both in turn, with the cheapest hashes, so that the database is what is measured.
pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let place = Place::start().await?;
    let hash = hash().await?;
    let few = Populated::load(plan, &place, "few", FEW, &hash).await?;
    let many = Populated::load(plan, &place, "many", plan.users, &hash).await?;
    let mut figures: [(Series, Series); 3] = Default::default();
    for counts in runs(plan) {
        let (small, large) = (few.run(plan).await?, many.run(plan).await?);
        if counts {
            let pairs = [
                (small.login, large.login),
                (small.refresh, large.refresh),
                (small.register, large.register),
            ];
            for ((of_few, of_many), (small, large)) in figures.iter_mut().zip(pairs) {
                of_few.push(small);
                of_many.push(large);
            }
        }
    }
    let names = [
        (
            "Login, 10,000 users",
            "Login, many users",
            "Login: cost among many / among 10,000",
        ),
        (
            "Refresh, 10,000 users",
            "Refresh, many users",
            "Refresh: cost among many / among 10,000",
        ),
        (
            "Register, 10,000 users",
            "Register, many users",
            "Register: cost among many / among 10,000",
        ),
    ];
    for ((small, large, ratio), (of_few, of_many)) in names.into_iter().zip(&figures) {
        report.figure(small, "1/s", of_few);
        report.figure(large, "1/s", of_many);
        // The cost of one is the time of a second over the rate.
        report.goal(ratio, "ratio", "<= 1.2", &of_few.over(of_many));
    }
    let title = format!("plans among {} users", plan.users);
    report.note(title, place.sql("many", PLANS).await?);
    drop((few.site, many.site));
    Ok(())
}

impl Populated {
    async fn load(plan: &Plan, place: &Place, name: &str, count: u32, hash: &str) -> Result<Self> {
        let site = place.site(plan, name).await?;
        // `$` and `%` mean nothing in a hash to awk's strings but `%` to printf, and it has none.
        let load = LOAD
            .replace("COUNT", &count.to_string())
            .replace("HASH", hash);
        for statement in load.split(";\n") {
            place.sql(name, statement).await?;
        }
        let server = site.serve().await?;
        Ok(Self {
            site,
            server,
            count,
            next: Arc::default(),
        })
    }

    async fn run(&self, plan: &Plan) -> Result<Rates> {
        let channel = persona::channel(self.server.grpc_address).await?;
        let grpc = || Grpc::new(channel.clone());
        let (clients, pid) = (usize::try_from(CLIENTS)?, self.server.pid());
        let step = (self.count / CLIENTS).max(1);
        let email = |number: u32| format!("user{}@example.com", number * step);
        let login = closed_loop(clients, plan.run, pid, |number| Login {
            grpc: grpc(),
            email: email(u32::try_from(number).unwrap_or(0)),
            password: SECRET.to_owned(),
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
