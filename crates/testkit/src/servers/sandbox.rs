//! A folder with the processes that run in it; none of them outlives its owner.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

/// Who the servers run as when we are root: PostgreSQL refuses root, and one account is enough.
const ACCOUNT: &str = "postgres";

/// Reads its standard input to the end, then ends what runs in the folder, then removes the folder.
const KEEPER: &str = include_str!("keeper.sh");

/// A temporary folder. When it is dropped, every process whose working directory lies in it ends,
/// then it is removed. A keeper, a process of its own, does the same when the owner is killed.
#[derive(Debug)]
pub struct Sandbox {
    room: Room,
    keeper: Child,
}

/// The folder of a sandbox, and how servers run in it.
#[derive(Debug, Clone)]
pub struct Room {
    folder: PathBuf,
    account: Option<Account>,
}

/// Whom root becomes.
#[derive(Debug, Clone, Copy)]
struct Account {
    uid: u32,
    gid: u32,
}

impl Sandbox {
    /// A new folder with its keeper.
    pub fn new() -> Result<Self> {
        let account = Account::needed()?;
        // Short, since the path of a Unix socket has at most 107 bytes.
        let folder = TempDir::with_prefix("sso-")?;
        give(folder.path(), account)?;
        let folder = folder.keep().canonicalize()?;
        let keeper = Command::new("/bin/sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(&folder)
            .current_dir("/")
            // Not of our group: Ctrl-C ends us, and the keeper then does its work.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the keeper of a sandbox")?;
        Ok(Self {
            room: Room { folder, account },
            keeper,
        })
    }

    /// What servers are started with. It may outlive the sandbox, but then starts nothing.
    pub fn room(&self) -> &Room {
        &self.room
    }
}

impl Room {
    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A folder in it that the servers may write to; made if it is not there.
    pub fn subfolder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        give(&folder, self.account)?;
        Ok(folder)
    }

    /// Writes a file that only the servers may read and write; its path.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        write_private(&path, text)?;
        self.give(&path)?;
        Ok(path)
    }

    /// Makes the servers' account the owner of what was written by us.
    pub fn give(&self, path: &Path) -> Result<()> {
        give(path, self.account)
    }

    /// Copies a folder into this one with all that is in it; its path.
    pub fn copy(&self, from: &Path, name: &str) -> Result<PathBuf> {
        let to = self.folder.join(name);
        copy(from, &to, self.account)?;
        Ok(to)
    }

    /// A command that runs in `folder` as the servers' account, and so belongs to this sandbox.
    pub fn command(&self, program: impl AsRef<Path>, folder: &Path) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .current_dir(folder)
            .env("HOME", &self.folder)
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .process_group(0)
            .stdin(Stdio::null());
        if let Some(account) = self.account {
            command
                .uid(account.uid)
                .gid(account.gid)
                .env("USER", ACCOUNT);
        }
        command
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // The keeper bounds its own time, and this is its end of the pipe.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

impl Account {
    /// None if we are not root: everything then runs as ourselves.
    fn needed() -> Result<Option<Self>> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let accounts = fs::read_to_string("/etc/passwd")?;
        let mut fields = accounts
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields[0] == ACCOUNT)
            .with_context(|| {
                format!(
                    "no account {ACCOUNT}: `cargo xtask test` installs PostgreSQL, which makes it"
                )
            })?
            .into_iter()
            .skip(2)
            .map(str::parse);
        let mut number = || fields.next().context("a field is missing in /etc/passwd");
        Ok(Some(Self {
            uid: number()??,
            gid: number()??,
        }))
    }
}

/// The processes whose working directory is `folder` or below it.
pub(super) fn members(folder: &Path) -> Result<Vec<Pid>> {
    let mut found = Vec::new();
    for process in fs::read_dir("/proc")? {
        let process = process?;
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Those of others do not show theirs, and a zombie has none.
        if fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder)) {
            found.extend(Pid::from_raw(pid));
        }
    }
    Ok(found)
}

/// Sends a signal to every process in `folder`; some may be gone by then.
pub(super) fn signal_members(folder: &Path, signal: Signal) -> Result<()> {
    for pid in members(folder)? {
        let _ = kill_process(pid, signal);
    }
    Ok(())
}

fn give(path: &Path, account: Option<Account>) -> Result<()> {
    if let Some(account) = account {
        chown(path, Some(account.uid), Some(account.gid))
            .with_context(|| format!("cannot give {} away", path.display()))?;
    }
    Ok(())
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let mut options = fs::File::options();
    options.create(true).write(true).truncate(true).mode(0o600);
    let mut file = options
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(file.write_all(text.as_bytes())?)
}

fn copy(from: &Path, to: &Path, account: Option<Account>) -> Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target, account)?;
        } else {
            fs::copy(entry.path(), &target)?;
            give(&target, account)?;
        }
    }
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    give(to, account)
}
