//! Login against nothing but the hash that it needs.

use std::{sync::Arc, time::Instant};

use anyhow::{Context, Result};
use sso_core::{
    Network,
    ports::{Hasher, Queue, Work},
    values::{Password, PasswordHash},
};
use sso_crypto::{HashPool, HashPoolSettings, SystemRandom};
use sso_testkit::{
    persona::{self, Grpc, Persona, auth::LoginRequest},
    process::Site,
};
use tokio::task::JoinSet;

use crate::{
    Plan,
    load::{Ask, closed_loop, float},
    report::{Report, Series},
};

/// Logins under way at once.
pub(crate) const CLIENTS: usize = 16;

/// Logs in and hashes in turn, with the default parameters.
pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let mut site = Site::new(&plan.binary)?;
    site.unset("SSO__PASSWORDS__ARGON2_MEMORY")
        .unset("SSO__PASSWORDS__ARGON2_ITERATIONS");
    let server = site.serve().await?;
    // One account has only a few passwords verified at once.
    let mut users = Vec::new();
    for number in 0..CLIENTS {
        users.push(Persona::register(&server.http, &format!("user{number}")).await?);
    }
    let channel = persona::channel(server.grpc_address).await?;
    let pool = Arc::new(HashPool::start(
        HashPoolSettings::default(),
        Arc::new(SystemRandom),
    )?);
    let password = Password::parse("password", &users[0].password)
        .map_err(|bad| anyhow::anyhow!("{bad:?}"))?;
    let hash = pool.rehash(work(), password.clone()).await?;

    let (mut pure, mut login, mut p50) = (Series::default(), Series::default(), Series::default());
    for counts in plan.turns() {
        let limit = hashes(&pool, &password, &hash, plan).await?;
        let ours = closed_loop(CLIENTS, plan.run, server.pid(), |number| Login {
            grpc: Grpc::new(channel.clone()),
            email: users[number].email.clone(),
            password: users[number].password.clone(),
        })
        .await?;
        if counts {
            pure.push(limit);
            login.push(ours.rate);
            p50.push(ours.p50_millis);
        }
    }
    report.figure(
        "pure argon2id on the pool (19456 KiB, 2 passes)",
        "1/s",
        &pure,
    );
    report.figure("Login over gRPC, 16 clients", "1/s", &login);
    report.goal(
        "Login / pure argon2id",
        "ratio",
        ">= 0.95",
        &login.over(&pure),
    );
    report.figure("Login, p50 of 16 clients", "ms", &p50);
    Ok(())
}

/// Verifications a second on a pool of its own, by as many clients.
pub(crate) async fn hashes(
    pool: &Arc<HashPool>,
    password: &Password,
    hash: &PasswordHash,
    plan: &Plan,
) -> Result<f64> {
    let (started, mut running, mut count) = (Instant::now(), JoinSet::new(), 0);
    let run = plan.run;
    for _ in 0..CLIENTS {
        let (pool, password, hash) = (pool.clone(), password.clone(), hash.clone());
        running.spawn(async move {
            let mut count = 0;
            loop {
                pool.verify(work(), password.clone(), Some(hash.clone()))
                    .await?;
                if started.elapsed() > run {
                    return anyhow::Ok(count);
                }
                count += 1;
            }
        });
    }
    while let Some(done) = running.join_next().await {
        count += done??;
    }
    Ok(float(count) / run.as_secs_f64())
}

const fn work() -> Work {
    Work {
        queue: Queue::Login,
        network: Network::UNKNOWN,
    }
}

pub(crate) struct Login {
    pub(crate) grpc: Grpc,
    pub(crate) email: String,
    pub(crate) password: String,
}

impl Ask for Login {
    async fn ask(&mut self) -> Result<()> {
        let request = LoginRequest {
            email: self.email.clone(),
            password: self.password.clone(),
        };
        self.grpc.login(request).await.context("refused")?;
        Ok(())
    }
}
