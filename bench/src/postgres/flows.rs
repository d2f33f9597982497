//! Registration and login against the hash that they need; refresh against pgbench.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
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
    persona::{self, Grpc, Persona, auth::RegisterRequest},
    process::Server,
};

use super::Place;
use crate::{
    Plan,
    load::{Ask, Outcome, closed_loop},
    login::{self, CLIENTS, Login},
    refresh::Refresh,
    report::{Report, Series},
};

const REFRESHING: usize = 32;

/// Each in turn with its limit, so that a busy moment hits both.
pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let place = Place::start().await?;
    let mut site = place.site(plan, "flows").await?;
    site.unset("SSO__PASSWORDS__ARGON2_MEMORY")
        .unset("SSO__PASSWORDS__ARGON2_ITERATIONS");
    let server = site.serve().await?;
    hashing(plan, report, &place, &server).await?;
    refreshing(plan, report, &place, &server).await?;
    rows(report, &place).await
}

/// Bytes of the log for each answer of a loop.
struct Log<'a> {
    place: &'a Place,
    before: f64,
}

impl<'a> Log<'a> {
    async fn open(place: &'a Place) -> Result<Self> {
        let before = Self::end(place).await?;
        Ok(Self { place, before })
    }

    async fn end(place: &Place) -> Result<f64> {
        let end = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')";
        place.number("flows", end).await
    }

    async fn each(self, plan: &Plan, of: &Outcome) -> Result<f64> {
        let written = Self::end(self.place).await? - self.before;
        Ok(written / (of.rate * plan.run.as_secs_f64()))
    }
}

/// What a row takes on the disk, with its indexes.
async fn rows(report: &mut Report, place: &Place) -> Result<()> {
    for table in ["users", "sessions", "audit", "outbox"] {
        let mut series = Series::default();
        let size = format!(
            "SELECT pg_total_relation_size('{table}')::float8 / greatest(count(*), 1) FROM {table}"
        );
        series.push(place.number("flows", &size).await?);
        report.figure(
            format!("a row of {table} with its indexes"),
            "bytes",
            &series,
        );
    }
    Ok(())
}

async fn hashing(plan: &Plan, report: &mut Report, place: &Place, server: &Server) -> Result<()> {
    let mut users = Vec::new();
    for number in 0..CLIENTS {
        users.push(Persona::register(&server.http, &format!("user{number}")).await?);
    }
    let channel = persona::channel(server.grpc_address).await?;
    let pool = HashPool::start(HashPoolSettings::default(), Arc::new(SystemRandom))?;
    let pool = Arc::new(pool);
    let password = Password::parse("password", &users[0].password)
        .map_err(|bad| anyhow::anyhow!("{bad:?}"))?;
    let work = Work {
        queue: Queue::Login,
        network: Network::UNKNOWN,
    };
    let hash = pool.rehash(work, password.clone()).await?;
    let next = Arc::new(AtomicU64::new(0));
    let (mut pure, mut logins, mut registrations) =
        (Series::default(), Series::default(), Series::default());
    let (mut login_log, mut register_log) = (Series::default(), Series::default());
    for counts in plan.turns() {
        let limit = login::hashes(&pool, &password, &hash, plan).await?;
        let log = Log::open(place).await?;
        let login = closed_loop(CLIENTS, plan.run, server.pid(), |number| Login {
            grpc: Grpc::new(channel.clone()),
            email: users[number].email.clone(),
            password: users[number].password.clone(),
        });
        let login = login.await?;
        let login_bytes = log.each(plan, &login).await?;
        let log = Log::open(place).await?;
        let register = closed_loop(CLIENTS, plan.run, server.pid(), |_| Register {
            grpc: Grpc::new(channel.clone()),
            next: Arc::clone(&next),
        });
        let register = register.await?;
        let register_bytes = log.each(plan, &register).await?;
        if counts {
            login_log.push(login_bytes);
            register_log.push(register_bytes);
            pure.push(limit);
            logins.push(login.rate);
            registrations.push(register.rate);
        }
    }
    report.figure("PostgreSQL: pure argon2id on the pool", "1/s", &pure);
    report.figure("PostgreSQL: Login, 16 clients", "1/s", &logins);
    let goal = "PostgreSQL: Login / pure argon2id";
    report.goal(goal, "ratio", ">= 0.95", &logins.over(&pure));
    report.figure("PostgreSQL: Register, 16 clients", "1/s", &registrations);
    let goal = "PostgreSQL: Register / pure argon2id";
    report.goal(goal, "ratio", ">= 0.90", &registrations.over(&pure));
    report.figure("PostgreSQL: log of a login", "bytes", &login_log);
    report.figure("PostgreSQL: log of a registration", "bytes", &register_log);
    Ok(())
}

/// A row for each client, as a refresh finds it.
const TABLE: &str = "
    CREATE TABLE bench_users (LIKE users INCLUDING ALL);
    CREATE TABLE bench_sessions (LIKE sessions INCLUDING ALL) WITH (fillfactor = 80);
    INSERT INTO bench_users
    SELECT bench_id, n || '@example.com', n || '@example.com', false, 'x', NULL, NULL, false, false,
           1, 0, now()
    FROM generate_series(0, 31) n, LATERAL (SELECT lpad(n::text, 32, '0')::uuid bench_id) i;
    INSERT INTO bench_sessions
    SELECT id, id, 1, 0, now(), now(), now() + interval '10 days', NULL, '127.0.0.1', 'bench'
    FROM bench_users";

/// As `sessions::ROTATE`, for the client's own row.
const SCRIPT: &str = "
UPDATE bench_sessions s SET generation = s.generation + 1, rotated_at = now()
FROM bench_users u
WHERE s.id = lpad(:client_id::text, 32, '0')::uuid AND u.id = s.user_id AND s.revoked_at IS NULL
  AND s.expires_at > now() AND s.version >= u.sessions_from AND NOT u.disabled
RETURNING u.*, s.*;
";

async fn refreshing(
    plan: &Plan,
    report: &mut Report,
    place: &Place,
    server: &Server,
) -> Result<()> {
    place.sql("flows", TABLE).await?;
    // The account of the servers reads it.
    let readable = Permissions::from_mode(0o644);
    let script = tempfile::Builder::new().permissions(readable).tempfile()?;
    std::fs::write(script.path(), SCRIPT)?;
    let channel = persona::channel(server.grpc_address).await?;
    let (mut limit, mut ours) = (Series::default(), Series::default());
    let mut log_of = Series::default();
    for (run, counts) in plan.turns().enumerate() {
        let bare = pgbench(place, script.path(), plan.run).await?;
        let mut tokens = Vec::new();
        for client in 0..REFRESHING {
            let name = format!("refresh{run}-{client}");
            tokens.push(Persona::register(&server.http, &name).await?.refresh);
        }
        let log = Log::open(place).await?;
        let outcome = closed_loop(REFRESHING, plan.run, server.pid(), |client| Refresh {
            grpc: Grpc::new(channel.clone()),
            token: tokens[client].clone(),
        });
        let outcome = outcome.await?;
        let bytes = log.each(plan, &outcome).await?;
        if counts {
            limit.push(bare);
            ours.push(outcome.rate);
            log_of.push(bytes);
        }
    }
    report.figure("pgbench, the same UPDATE, 32 clients", "1/s", &limit);
    report.figure("PostgreSQL: Refresh, 32 clients", "1/s", &ours);
    let goal = "PostgreSQL: Refresh / pgbench";
    report.goal(goal, "ratio", ">= 0.60", &ours.over(&limit));
    report.figure("PostgreSQL: log of a refresh", "bytes", &log_of);
    // Backends report when they are idle, once a second at most.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let hot = "SELECT n_tup_hot_upd::float8 / greatest(n_tup_upd, 1)
               FROM pg_stat_user_tables WHERE relname = 'sessions'";
    let mut series = Series::default();
    series.push(place.number("flows", hot).await?);
    report.goal(
        "updates of sessions that were HOT",
        "ratio",
        ">= 0.95",
        &series,
    );
    Ok(())
}

async fn pgbench(place: &Place, script: &std::path::Path, run: Duration) -> Result<f64> {
    let (clients, seconds) = (REFRESHING.to_string(), run.as_secs().max(1).to_string());
    let script = script.display().to_string();
    let arguments = [
        "-n", "-M", "prepared", "-j", "2", "-c", &clients, "-T", &seconds, "-f", &script,
    ];
    let node = &place.server.node;
    let limit = run + Duration::from_mins(1);
    let said = node.client("pgbench", "flows", &arguments, limit).await?;
    let rate = said.lines().find_map(|line| line.strip_prefix("tps = "));
    let rate = rate.and_then(|rest| rest.split_whitespace().next());
    Ok(rate.with_context(|| said.clone())?.parse()?)
}

/// Registers somebody new each time.
pub(super) struct Register {
    pub(super) grpc: Grpc,
    pub(super) next: Arc<AtomicU64>,
}

impl Ask for Register {
    async fn ask(&mut self) -> Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let request = RegisterRequest {
            email: format!("new{number}@example.org"),
            password: "a secret for the benchmark".to_owned(),
        };
        self.grpc.register(request).await.context("refused")?;
        Ok(())
    }
}
