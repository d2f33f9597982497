//! A database with the schema, on a server alone or on a pair.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, ensure};
use sso_testkit::servers::{Node, Pair, Postgres};
use tokio_postgres::{Client, NoTls};

use super::eventually;

const SCHEMA: &str = concat!(
    include_str!("../../../migrations/V1__initial.sql"),
    include_str!("../../../migrations/V2__sweeps.sql"),
    // Before anything that the clocks of the tests can say.
    "update sweeps set until = '-infinity';",
);

/// Beats wait here inside their statement while somebody has it closed. They hold it in common,
/// so they do not wait for each other. The first registration of an instance that is called `held`
/// waits in its COMMIT for a gate of its own.
const GATE: &str = "
create function gate() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(42);
    return new;
end $$;
create trigger gate before update on readers for each row execute function gate();
create function gate_of_the_first() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(43);
    return null;
end $$;
create constraint trigger gate_of_the_first after insert on readers
    deferrable initially deferred for each row
    when (new.beat = 1 and new.name = 'held') execute function gate_of_the_first();";

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Of its own for each test.
fn name() -> String {
    format!("leases{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A database of this name on the server that tests share.
pub(super) async fn database() -> Result<Database> {
    let server = Postgres::shared().await?;
    let name = name();
    let url = server.database(&name).await?;
    Database::prepare(&server.node, name, url).await
}

/// A database on the primary of a pair; the replica has it too.
pub(super) async fn database_on(pair: &Pair) -> Result<Database> {
    let name = name();
    let url = pair.primary.database(&name).await?;
    let database = Database::prepare(&pair.primary, name, url).await?;
    pair.replicas[0].node.caught_up_with(&pair.primary).await?;
    Ok(database)
}

/// Where, and a session of the test's own.
pub(super) struct Database {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) sql: Client,
}

impl Database {
    async fn prepare(node: &Node, name: String, url: String) -> Result<Self> {
        node.execute_in(&name, &format!("{SCHEMA} {GATE}")).await?;
        let sql = connect(&url).await?;
        Ok(Self { name, url, sql })
    }

    /// The gate is closed until the guard is opened.
    pub(super) async fn close_gate(&self) -> Result<Gate> {
        let session = connect(&self.url).await?;
        session.batch_execute("select pg_advisory_lock(42)").await?;
        Ok(Gate(session, 42))
    }

    /// The gate of first registrations is closed until the guard is opened.
    pub(super) async fn close_gate_of_the_first(&self) -> Result<Gate> {
        let session = connect(&self.url).await?;
        session.batch_execute("select pg_advisory_lock(43)").await?;
        Ok(Gate(session, 43))
    }

    /// Waits until so many beats are held inside their statements.
    pub(super) async fn held_at_gate(&self, count: i64) -> Result<()> {
        let waiting = "select count(*) from pg_stat_activity
                       where datname = current_database() and wait_event_type = 'Lock'
                         and wait_event = 'advisory'";
        eventually("a beat at the gate", async || {
            Ok(self.sql.query_one(waiting, &[]).await?.get::<_, i64>(0) == count)
        })
        .await
    }

    /// One number.
    pub(super) async fn number(&self, sql: &str) -> Result<i64> {
        Ok(self.sql.query_one(sql, &[]).await?.get(0))
    }
}

/// A closed gate.
pub(super) struct Gate(Client, i64);

impl Gate {
    pub(super) async fn open(self) -> Result<()> {
        let row = self
            .0
            .query_one("select pg_advisory_unlock($1)", &[&self.1])
            .await?;
        ensure!(row.get::<_, bool>(0), "it was not closed");
        Ok(())
    }
}

pub(super) async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
