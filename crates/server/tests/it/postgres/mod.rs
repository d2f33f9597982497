//! The binary on PostgreSQL.

mod ahead;
mod away;
mod balanced;
mod books;
mod clocks;
mod cluster;
mod conflicts;
mod copy;
mod deposed;
mod disk;
mod faults;
mod given_up;
mod guard;
mod instances;
mod janitor;
mod patience;
mod races;
mod refusals;
mod revoked;
mod sentences;
mod stale;
mod start;
mod told;
mod topology;

use anyhow::{Context, Result};
use sso_testkit::process::Site;

use crate::support::site;

/// 32 bytes in base64: instances share it.
const MASTER_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// A site on this database, which is migrated.
pub(crate) fn on(url: &str) -> Result<Site> {
    let site = unmigrated(url)?;
    site.run_ok(&["migrate", "up"])?;
    Ok(site)
}

/// A site on this database as it is.
pub(crate) fn unmigrated(url: &str) -> Result<Site> {
    let mut site = site()?;
    site.set("SSO__DATABASE__URL", url)
        .set("SSO__KEYS__MASTER_KEY", MASTER_KEY)
        .set("SSO__HTTP__PUBLIC_URL", "https://sso.example.com");
    Ok(site)
}

/// The same URL by way of `address`.
fn through(url: &str, address: std::net::SocketAddr) -> Result<String> {
    let (before, after) = url.rsplit_once('@').context("no password")?;
    let (_, path) = after.split_once('/').context("no database")?;
    Ok(format!("{before}@{address}/{path}"))
}
