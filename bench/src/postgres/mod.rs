//! The same on PostgreSQL, a server of its own with the settings of Debian and fsync.

pub(crate) mod beats;
pub(crate) mod everywhere;
pub(crate) mod flows;
pub(crate) mod instances;
mod proxy;
pub(crate) mod revocations;
pub(crate) mod round_trips;
pub(crate) mod users;

use std::time::Duration;

use anyhow::{Context, Result};
use sso_testkit::{
    process::Site,
    servers::{Options, Postgres},
};

use crate::Plan;

/// Loading millions of rows takes minutes.
const LOADING: Duration = Duration::from_hours(1);

const MASTER_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// What Debian's package sets, and PostgreSQL's own defaults, where tests have it otherwise.
const DEFAULTS: [(&str, &str); 7] = [
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("shared_buffers", "128MB"),
    ("min_wal_size", "80MB"),
    ("max_wal_size", "1GB"),
    ("wal_log_hints", "off"),
    ("jit", "on"),
];

/// A server of PostgreSQL.
struct Place {
    server: Postgres,
}

impl Place {
    async fn start() -> Result<Self> {
        let options = DEFAULTS
            .iter()
            .fold(Options::new(), |options, (parameter, value)| {
                options.setting(parameter, value)
            });
        Ok(Self {
            server: options.start().await?,
        })
    }

    /// A site on a new database with the schema.
    async fn site(&self, plan: &Plan, name: &str) -> Result<Site> {
        let url = self.server.database(name).await?;
        let site = site(plan, &url)?;
        site.run_ok(&["migrate", "up"])?;
        Ok(site)
    }

    async fn sql(&self, database: &str, sql: &str) -> Result<String> {
        let arguments = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql];
        let node = &self.server.node;
        node.client("psql", database, &arguments, LOADING).await
    }

    async fn number(&self, database: &str, sql: &str) -> Result<f64> {
        let text = self.sql(database, sql).await?;
        text.trim()
            .parse()
            .with_context(|| format!("{sql}: {text}"))
    }
}

/// A site on this database.
fn site(plan: &Plan, url: &str) -> Result<Site> {
    let mut site = Site::new(&plan.binary)?;
    site.set("SSO__DATABASE__URL", url)
        .set("SSO__KEYS__MASTER_KEY", MASTER_KEY)
        .set("SSO__THROTTLE__ENABLED", false)
        .set("SSO__HTTP__PUBLIC_URL", "https://sso.example.com");
    Ok(site)
}
