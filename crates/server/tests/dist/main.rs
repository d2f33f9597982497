//! The executable that is shipped, as `cargo xtask dist` builds it: what it needs, what it weighs.
//!
//! `SSO_DIST` names the folder that it lies in; `cargo xtask test` builds it and runs these.

mod everything;
mod footprint;
mod image;

use std::path::PathBuf;

use anyhow::{Context, Result};

/// For what a busy machine does within a second.
const LONG: std::time::Duration = std::time::Duration::from_mins(1);

/// What `cargo xtask dist` has made.
fn dist() -> Result<PathBuf> {
    let folder = std::env::var_os("SSO_DIST");
    Ok(folder
        .context("SSO_DIST: `cargo xtask test --dist`")?
        .into())
}
