//! Refresh against a bare loop of the same update with the same durability.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rusqlite::{Connection, params};
use sso_testkit::{
    persona::{self, Grpc, Persona, auth::RefreshRequest},
    process::Site,
};

use crate::{
    Plan,
    load::{Ask, closed_loop, float},
    report::{Report, Series},
};

/// Sessions that are refreshed at once.
const CLIENTS: usize = 32;

/// A table like that of sessions.
const TABLE: &str = "
    CREATE TABLE session (
      id BLOB PRIMARY KEY, user BLOB NOT NULL, version INTEGER NOT NULL, generation INTEGER NOT NULL,
      created_at INTEGER NOT NULL, rotated_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
      revoked_at INTEGER, address TEXT, agent TEXT) STRICT, WITHOUT ROWID";
const INSERT: &str =
    "INSERT INTO session VALUES (?1, ?1, 1, 0, 0, 0, 9000000000, NULL, '127.0.0.1', 'bench')";
const UPDATE: &str = "
    UPDATE session SET generation = ?2 + 1, rotated_at = ?3
    WHERE id = ?1 AND generation <= ?2 AND revoked_at IS NULL AND expires_at > ?3";

/// Refreshes and updates in turn, on the same disk.
pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let site = Site::new(&plan.binary)?;
    let server = site.serve().await?;
    let channel = persona::channel(server.grpc_address).await?;
    let bare = bare_table(site.folder())?;
    let (mut limit, mut ours, mut p99) = (Series::default(), Series::default(), Series::default());
    for (run, counts) in plan.turns().enumerate() {
        let updates = bare_loop(&bare, plan.run)?;
        let mut tokens = Vec::new();
        for client in 0..CLIENTS {
            let name = format!("user{run}-{client}");
            tokens.push(Persona::register(&server.http, &name).await?.refresh);
        }
        let outcome = closed_loop(CLIENTS, plan.run, server.pid(), |client| Refresh {
            grpc: Grpc::new(channel.clone()),
            token: tokens[client].clone(),
        })
        .await?;
        if counts {
            limit.push(updates);
            ours.push(outcome.rate);
            p99.push(outcome.p99_millis);
        }
    }
    report.figure(
        "bare SQLite loop, one UPDATE and one fsync each",
        "1/s",
        &limit,
    );
    report.figure("Refresh over gRPC, 32 clients", "1/s", &ours);
    report.goal(
        "Refresh / bare SQLite loop",
        "ratio",
        ">= 0.60",
        &ours.over(&limit),
    );
    report.figure("Refresh, p99 of 32 clients", "ms", &p99);
    Ok(())
}

fn bare_table(folder: &Path) -> Result<Connection> {
    let connection = Connection::open(folder.join("bare.db"))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute(TABLE, [])?;
    for client in 0..u8::try_from(CLIENTS)? {
        connection.execute(INSERT, [[client; 16]])?;
    }
    Ok(connection)
}

fn bare_loop(connection: &Connection, run: Duration) -> Result<f64> {
    let mut update = connection.prepare(UPDATE)?;
    let generation = |id: [u8; 16]| -> Result<i64> {
        let read = "SELECT generation FROM session WHERE id = ?1";
        Ok(connection.query_row(read, [id], |row| row.get(0))?)
    };
    let mut generations = Vec::new();
    for client in 0..u8::try_from(CLIENTS)? {
        generations.push(generation([client; 16])?);
    }
    let (started, mut count) = (Instant::now(), 0_u64);
    while started.elapsed() < run {
        let client = u8::try_from(count % u64::try_from(CLIENTS)?)?;
        let known = &mut generations[usize::from(client)];
        let changed = update.execute(params![[client; 16], *known, i64::try_from(count)?])?;
        anyhow::ensure!(changed == 1, "the update found no row");
        *known += 1;
        count += 1;
    }
    Ok(float(count) / started.elapsed().as_secs_f64())
}

pub(crate) struct Refresh {
    pub(crate) grpc: Grpc,
    pub(crate) token: String,
}

impl Ask for Refresh {
    async fn ask(&mut self) -> Result<()> {
        let request = RefreshRequest {
            refresh_token: self.token.clone(),
        };
        let answer = self
            .grpc
            .refresh(request)
            .await
            .context("refused")?
            .into_inner();
        self.token = answer.refresh_token;
        Ok(())
    }
}
