//! A data directory of PostgreSQL that is initialised once and copied for every start.

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, bail, ensure};

use super::sandbox::{Room, Sandbox};

/// Goes up when what [`make`] does changes.
const REVISION: u32 = 2;

/// The passwords of the roles in the template.
pub const SUPERUSER_PASSWORD: &str = "superuser-of-tests";
/// What the server keeps of it. With one iteration instead of 4,096: an unoptimised client takes a
/// fifth of a second for those, per connection, and a failover is a matter of many connections.
const SUPERUSER_VERIFIER: &str = "SCRAM-SHA-256$1:b25seSBmb3IgdGVzdHMhIQ==\
    $+A2/wey0fVC6nuUmbDDJSUTk3qQ7sn1Qjtn4ddRNP7Q=:BqA9PT4TNi0g2BfAFS6KDtkB1Rbk3mVc0DTQiQt7DA4=";
pub(super) const REPLICATOR_PASSWORD: &str = "replicator-of-tests";
pub(super) const REWINDER_PASSWORD: &str = "rewinder-of-tests";

/// Names the folder that an installation of PostgreSQL is in, where servers are not to be Debian's.
const CHOSEN: &str = "SSO_POSTGRES";

/// The folder of PostgreSQL's servers: the ones that were chosen, else where the clients are.
pub(super) fn programs() -> Result<PathBuf> {
    match env::var_os(CHOSEN) {
        None => clients(),
        Some(chosen) => copied(Path::new(&chosen)),
    }
}

/// The programs of a copy that the servers' account can read: it may lie in the home of somebody else.
fn copied(installation: &Path) -> Result<PathBuf> {
    /// Never dropped: its keeper removes it when this process has ended.
    static COPY: Mutex<Option<Sandbox>> = Mutex::new(None);
    let mut copy = COPY.lock().unwrap_or_else(PoisonError::into_inner);
    let sandbox = if let Some(made) = copy.take() {
        made
    } else {
        ensure!(
            installation.join("bin/initdb").exists(),
            "{CHOSEN}: there is no bin/initdb in {}",
            installation.display()
        );
        let made = Sandbox::new()?;
        made.room().copy(installation, "postgresql")?;
        made
    };
    let programs = sandbox.room().folder().join("postgresql/bin");
    *copy = Some(sandbox);
    Ok(programs)
}

/// The folder of PostgreSQL's clients: the newest that Debian has installed, else of the PATH.
pub(super) fn clients() -> Result<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, folder)| folder.join("initdb").exists())
        .collect();
    found.sort();
    let path = env::var_os("PATH").unwrap_or_default();
    found
        .pop()
        .map(|(_, folder)| folder)
        .or_else(|| env::split_paths(&path).find(|folder| folder.join("initdb").exists()))
        .context("PostgreSQL is not installed: `cargo xtask test` does that, or apt install postgresql-15")
}

/// A stopped data directory that nobody changes; made once per target folder and version.
///
/// Its copies have one system identifier and one position in the log, so that a copy can be a
/// standby of another without a base backup.
pub(super) fn template() -> Result<PathBuf> {
    let programs = programs()?;
    let version = Command::new(programs.join("postgres"))
        .arg("--version")
        .output()?;
    // "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
    let version = String::from_utf8_lossy(&version.stdout);
    let version = version
        .split_whitespace()
        .nth(2)
        .context("postgres does not say its version")?;
    let cache = target_folder()?.join("testkit");
    fs::create_dir_all(&cache)?;
    let template = cache.join(format!("postgres-{version}-{REVISION}"));
    let lock = fs::File::create(cache.join("postgres.lock"))?;
    lock.lock()?;
    if !template.exists() {
        // Made where the servers' account may write, and moved when it is complete.
        let sandbox = Sandbox::new()?;
        let made = make(sandbox.room(), &programs)?;
        let unfinished = cache.join("postgres.unfinished");
        let _ = fs::remove_dir_all(&unfinished);
        copy_out(&made, &unfinished)?;
        fs::rename(&unfinished, &template)?;
    }
    Ok(template)
}

/// A new cluster, with a system identifier of its own, in a folder `data`.
pub(super) fn make(room: &Room, programs: &Path) -> Result<PathBuf> {
    let data = room.folder().join("data");
    let mut initdb = room.command(programs.join("initdb"), room.folder());
    initdb
        .args(["--username=postgres", "--encoding=UTF8", "--locale=C"])
        .args(["--data-checksums", "--no-sync", "--auth=trust"])
        // Small segments, small copies.
        .arg("--wal-segsize=1")
        .arg("--pgdata")
        .arg(&data);
    let done = initdb.output().context("cannot run initdb")?;
    if !done.status.success() {
        bail!("initdb failed: {}", String::from_utf8_lossy(&done.stderr));
    }
    let mut single = room.command(programs.join("postgres"), room.folder());
    let mut child = single
        .args(["--single", "-c", "log_checkpoints=off", "-D"])
        .arg(&data)
        .arg("postgres")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut statements = child.stdin.take().context("no pipe")?;
    // A statement per line.
    write!(
        statements,
        "alter role postgres password '{SUPERUSER_VERIFIER}';\n\
         create role replicator login replication password '{REPLICATOR_PASSWORD}';\n\
         create role rewinder login password '{REWINDER_PASSWORD}';\n\
         grant execute on function pg_catalog.pg_ls_dir(text, boolean, boolean) to rewinder;\n\
         grant execute on function pg_catalog.pg_stat_file(text, boolean) to rewinder;\n\
         grant execute on function pg_catalog.pg_read_binary_file(text) to rewinder;\n\
         grant execute on function pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean) to rewinder;\n"
    )?;
    drop(statements);
    let done = child.wait_with_output()?;
    let complaints = String::from_utf8_lossy(&done.stderr);
    if !done.status.success() || complaints.contains("ERROR") {
        bail!("the roles of the template could not be made: {complaints}");
    }
    Ok(data)
}

/// `cp -a`, for it keeps the modes; whoever starts a server copies it on for its account.
fn copy_out(from: &Path, to: &Path) -> Result<()> {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).output()?;
    if !done.status.success() {
        bail!("cp failed: {}", String::from_utf8_lossy(&done.stderr));
    }
    Ok(())
}

/// Cargo's target folder, by the test binary that runs: `target/debug/deps/it-0123`.
fn target_folder() -> Result<PathBuf> {
    let binary = env::current_exe()?;
    let target = binary
        .ancestors()
        .find(|folder| folder.ends_with("deps"))
        .and_then(|deps| deps.parent()?.parent());
    Ok(match target {
        Some(target) => target.to_owned(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
    })
}
