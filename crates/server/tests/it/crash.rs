//! kill -9 under full load.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use http::StatusCode;
use sso_testkit::{http::Http, persona::Persona};

use crate::support::{rounds, site};

const ROUNDS: usize = 5;
const CLIENTS: usize = 16;

/// What the clients of one round were told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Acknowledged {
    /// Registered, with the newest tokens that an answer brought.
    pub(crate) alive: Vec<Persona>,
    /// Logged out.
    pub(crate) ended: Vec<Persona>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_nothing_revoked_returns() -> Result<()> {
    let site = site()?;
    let mut total = 0;
    for round in 0..ROUNDS {
        let mut server = site.serve().await?;
        let told = Arc::new(Mutex::new(Acknowledged::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (http, told, stop) = (server.http.clone(), told.clone(), stop.clone());
                tokio::spawn(async move { work(&http, &told, &stop, round, client).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        server.kill()?;
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.await?;
        }

        let _server = site.serve().await?;
        let told = std::mem::take(&mut *told.lock().unwrap_or_else(PoisonError::into_inner));
        ensure!(
            told.alive.len() > CLIENTS && told.ended.len() > CLIENTS,
            "no load"
        );
        total += told.alive.len() + told.ended.len();
        rounds(told.alive.len(), 32, |n| alive(told.alive[n].clone())).await?;
        rounds(told.ended.len(), 32, |n| ended(told.ended[n].clone())).await?;
    }
    println!("{total} acknowledged users checked after {ROUNDS} kills");
    Ok(())
}

/// Registers, refreshes, logs every other one out, and remembers only what was acknowledged.
pub(crate) async fn work(
    http: &Http,
    told: &Mutex<Acknowledged>,
    stop: &AtomicBool,
    round: usize,
    client: usize,
) {
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let name = format!("u{round}-{client}-{number}");
        let Ok(mut persona) = Persona::register(http, &name).await else {
            return;
        };
        let refreshed = persona.refresh().await;
        if number % 2 == 0 && refreshed.is_ok() {
            let reply = persona.logout(&persona.access, false).await;
            if !reply.is_ok_and(|reply| reply.status == StatusCode::OK) {
                // Unknown: it may or may not have been done.
                return;
            }
            told.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .ended
                .push(persona);
        } else {
            told.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .alive
                .push(persona);
        }
    }
}

/// His password, his session and his tokens are good.
pub(crate) async fn alive(mut persona: Persona) -> Result<()> {
    let reply = persona.info().await?;
    ensure!(
        reply.status == StatusCode::OK,
        "an acknowledged user is lost: {reply:?}"
    );
    let reply = persona.refresh().await?;
    ensure!(
        reply.status == StatusCode::OK,
        "an acknowledged session is lost: {reply:?}"
    );
    let reply = persona.login().await?;
    ensure!(
        reply.status == StatusCode::OK,
        "an acknowledged password is lost: {reply:?}"
    );
    Ok(())
}

/// His session is over, by each of its tokens.
pub(crate) async fn ended(persona: Persona) -> Result<()> {
    let reply = persona.info().await?;
    ensure!(
        reply.code() == "token_revoked",
        "a revoked token returned: {reply:?}"
    );
    let reply = persona.use_refresh_token(&persona.refresh).await?;
    ensure!(
        reply.code() == "token_revoked",
        "an ended session returned: {reply:?}"
    );
    Ok(())
}
