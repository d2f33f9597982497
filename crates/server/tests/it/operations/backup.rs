//! A backup is taken while clients register and log out, and restored elsewhere: whoever was
//! acknowledged before it began is there, and what had ended stays ended.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use http::StatusCode;
use sso_testkit::{
    http::Http,
    persona::Persona,
    process::{Server, Site},
    servers::Postgres,
};
use tokio::task::JoinSet;

use crate::{
    crash::{self, Acknowledged},
    postgres,
    support::{eventually_within, rounds, site},
};

const CLIENTS: usize = 4;
/// How many of each kind a backup must have in it.
const ENOUGH: usize = 20;

/// Clients of a server that is backed up.
struct Load {
    told: Arc<Mutex<Acknowledged>>,
    stop: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

impl Load {
    fn start(server: &Server) -> Self {
        let (told, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let mut load = Self {
            told,
            stop,
            clients: JoinSet::new(),
        };
        for client in 0..CLIENTS {
            let (http, told, stop) = (server.http.clone(), load.told.clone(), load.stop.clone());
            load.clients
                .spawn(async move { crash::work(&http, &told, &stop, 0, client).await });
        }
        load
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Acknowledged> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until so many more of each kind were acknowledged.
    async fn goes_on(&self) -> Result<()> {
        let counts = || {
            let told = self.told();
            (told.alive.len(), told.ended.len())
        };
        let (alive, ended) = counts();
        eventually_within(Duration::from_mins(1), "the load goes on", async || {
            let (more, less) = counts();
            Ok(more >= alive + ENOUGH && less >= ended + ENOUGH)
        })
        .await
    }

    /// Who was acknowledged by now: these must be in a backup that begins now.
    fn so_far(&self) -> Acknowledged {
        self.told().clone()
    }

    /// Ends it; all who were acknowledged.
    async fn end(mut self) -> Result<Acknowledged> {
        self.stop.store(true, Relaxed);
        while let Some(done) = self.clients.join_next().await {
            done?;
        }
        Ok(self.so_far())
    }
}

/// Takes a backup in the middle of a load; who must be in it, and who was acknowledged at all.
async fn under_load<B>(
    server: &Server,
    backup: impl Future<Output = Result<B>>,
) -> Result<(B, Acknowledged, Acknowledged)> {
    let load = Load::start(server);
    load.goes_on().await?;
    let before = load.so_far();
    let backup = backup.await?;
    load.goes_on().await?;
    let all = load.end().await?;
    Ok((backup, before, all))
}

/// What the restored server must know of them; how many that were.
async fn whole(http: &Http, before: &Acknowledged, all: &Acknowledged) -> Result<String> {
    let at = |people: &[Persona]| -> Vec<Persona> {
        people.iter().map(|person| person.at(http)).collect()
    };
    let (alive, ended, later) = (at(&before.alive), at(&before.ended), at(&all.alive));
    rounds(alive.len(), 8, |n| crash::alive(alive[n].clone())).await?;
    rounds(ended.len(), 8, |n| crash::ended(ended[n].clone())).await?;
    // Of a later moment: there or not there, and nothing between.
    rounds(later.len(), 8, |n| there_or_not(later[n].clone())).await?;
    Ok(format!(
        "{} and {} of {} are in the backup",
        alive.len(),
        ended.len(),
        all.alive.len() + all.ended.len()
    ))
}

async fn there_or_not(mut persona: Persona) -> Result<()> {
    let reply = persona.login().await?;
    let known = [StatusCode::OK, StatusCode::UNAUTHORIZED].contains(&reply.status);
    ensure!(known, "{reply:?}");
    Ok(())
}

/// The same issuer wherever it listens: tokens of before the loss are tokens of after it.
fn with_issuer(mut site: Site) -> Site {
    site.set("SSO__HTTP__PUBLIC_URL", "https://sso.example.com")
        // A whole system logs in after a loss, all from one address here.
        .set("SSO__THROTTLE__ENABLED", false);
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_database_is_copied_while_it_is_written_to() -> Result<()> {
    let original = with_issuer(site()?);
    let server = original.serve().await?;
    let restored = with_issuer(site()?);
    let (from, to) = (original.data_dir(), restored.data_dir());
    // As an operator does it: sqlite3 sso.db "VACUUM INTO '..'".
    let copy = move || -> Result<()> {
        std::fs::create_dir(&to)?;
        let database = rusqlite::Connection::open(from.join("sso.db"))?;
        database.busy_timeout(Duration::from_mins(1))?;
        let copied = to.join("sso.db");
        database.execute("VACUUM INTO ?1", [copied.to_string_lossy()])?;
        std::fs::copy(from.join("master.key"), to.join("master.key"))?;
        Ok(())
    };
    // Not before it is polled.
    let copied = async { tokio::task::spawn_blocking(copy).await? };
    let ((), before, all) = under_load(&server, copied).await?;
    drop(server);
    let server = restored.serve().await?;
    println!("{}", whole(&server.http, &before, &all).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_is_copied_whole_while_it_is_written_to() -> Result<()> {
    let original = Postgres::start().await?;
    let site = with_issuer(postgres::on(&original.url())?);
    let server = site.serve().await?;
    let (backup, before, all) = under_load(&server, original.base_backup()).await?;
    drop((server, original));
    let restored = backup.restore().await?;
    let site = with_issuer(postgres::unmigrated(&restored.url())?);
    site.run_ok(&["migrate", "status"])?;
    let server = site.serve().await?;
    println!("{}", whole(&server.http, &before, &all).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_is_dumped_while_it_is_written_to_and_loaded_by_another_server() -> Result<()> {
    let original = Postgres::start().await?;
    let site = with_issuer(postgres::on(&original.database("sso").await?)?);
    let server = site.serve().await?;
    let restored = Postgres::start().await?;
    // The servers' account writes it.
    let file = restored.node.data().join("sso.dump");
    let file = file.to_string_lossy().into_owned();
    let limit = Duration::from_mins(1);
    let dump = ["--format=custom", "--file", &file];
    let dump = original.node.client("pg_dump", "sso", &dump, limit);
    let (_, before, all) = under_load(&server, dump).await?;
    drop(server);
    let url = restored.database("sso").await?;
    let load = ["--exit-on-error", &file];
    restored
        .node
        .client("pg_restore", "sso", &load, limit)
        .await?;
    let site = with_issuer(postgres::unmigrated(&url)?);
    let server = site.serve().await?;
    println!("{}", whole(&server.http, &before, &all).await?);
    Ok(())
}
