//! The data folder, the database, the keys, the outbox.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, SystemTime},
};

use sso_store_sqlite::{DATABASE, check_integrity};
use time::OffsetDateTime;

use super::{AS_THE_SERVICE, Finding, REFUSED, RESTORE};
use crate::{
    config::Config,
    exit::{Exit, Failed},
    wiring::{self, Examined, MigrationStatus, NotOpened, exit_of},
};

/// An event that is not delivered after this long needs a look.
const OLD_EVENT: Duration = Duration::from_mins(5);
/// Clocks of one machine that differ by more were set.
const SKEW: Duration = Duration::from_mins(5);

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !config.database.url.is_embedded() {
        servers(config, &mut findings);
        return findings;
    }
    rights(config, &mut findings);
    let file = config.data_dir.join(DATABASE);
    match file.try_exists() {
        Ok(true) => {}
        Ok(false) => {
            let what = format!(
                "{} is not there yet: the first start makes it",
                file.display()
            );
            findings.push(Finding::ok("database", what));
            return findings;
        }
        // Nobody can tell from here, and what is in the way is told with the rights.
        Err(_) => return findings,
    }
    clock("database", written(&file), &mut findings);
    if database(config, &mut findings) {
        match wiring::examine(config) {
            Ok(found) => stored(&found, &mut findings),
            Err(failed) => findings.push(unusable("database", &failed)),
        }
    }
    findings
}

/// Who else can read what lies there.
fn rights(config: &Config, findings: &mut Vec<Finding>) {
    let before = findings.len();
    let folder = &config.data_dir;
    if let Some(file) = folder.ancestors().find(|path| path.is_file()) {
        let what = format!("{} is a file where a folder is needed", file.display());
        findings.push(Finding::error("data_dir", what, "choose another data_dir"));
        return;
    }
    private("data_dir", folder, "700", findings);
    private("database", &folder.join(DATABASE), "600", findings);
    if let Some(file) = wiring::master_key_file(config) {
        private("keys.master_key", &file, "600", findings);
    }
    if findings.len() == before {
        let what = format!("{} is its owner's only", folder.display());
        findings.push(Finding::ok("data_dir", what));
    }
}

/// Who else can read it. Of what is not there nothing is said.
pub(super) fn private(check: &'static str, path: &Path, mode: &str, findings: &mut Vec<Finding>) {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => {
            findings.push(Finding::error(
                check,
                format!("{}: {error}", path.display()),
                AS_THE_SERVICE,
            ));
            return;
        }
    };
    let path = path.display();
    let me = rustix::process::geteuid().as_raw();
    // As Kubernetes mounts a secret, and Debian keeps keys: it is root's, and its group may read it.
    let is_given = metadata.uid() == 0;
    let others = if is_given { 0o037 } else { 0o077 };
    if metadata.mode() & others != 0 {
        findings.push(Finding::error(
            check,
            format!(
                "{path} can be read by other users (mode {:03o})",
                metadata.mode() & 0o777
            ),
            format!("chmod {mode} {path}"),
        ));
    }
    if !is_given && metadata.uid() != me && me != 0 {
        findings.push(Finding::warning(
            check,
            format!("{path} belongs to the user {}, not to {me}", metadata.uid()),
            AS_THE_SERVICE,
        ));
    }
}

/// Whether it can be looked into.
fn database(config: &Config, findings: &mut Vec<Finding>) -> bool {
    let folder = &config.data_dir;
    let Some(status) = schema_of(config, findings) else {
        return false;
    };
    match check_integrity(folder) {
        Ok(damage) if damage.is_empty() => findings.push(Finding::ok("database", "is whole")),
        Ok(damage) => findings.push(Finding::error(
            "database",
            format!("is damaged: {}", damage.join("; ")),
            RESTORE,
        )),
        Err(error) => {
            findings.push(unusable("database", &wiring::of_sqlite(&error)));
            return false;
        }
    }
    is_current(config, &status, findings)
}

/// PostgreSQL: who answers was found out by the time that the schema is known.
fn servers(config: &Config, findings: &mut Vec<Finding>) {
    if let Some(file) = wiring::master_key_file(config) {
        private("keys.master_key", &file, "600", findings);
    }
    if let Some(file) = &config.database.password_file {
        private("database.password", file, "600", findings);
    }
    let status = match wiring::block_on(wiring::migration_status(config)) {
        Ok(status) => status,
        Err(failed) => {
            findings.push(unusable("database", &failed));
            return;
        }
    };
    findings.push(Finding::ok(
        "database",
        format!("{} answers", config.database.url),
    ));
    if is_current(config, &status, findings) {
        match wiring::examine(config) {
            Ok(found) => stored(&found, findings),
            Err(failed) => findings.push(unusable("database", &failed)),
        }
    }
}

fn schema_of(config: &Config, findings: &mut Vec<Finding>) -> Option<MigrationStatus> {
    match wiring::block_on(wiring::migration_status(config)) {
        Ok(status) => Some(status),
        Err(failed) => {
            findings.push(unusable("database", &failed));
            None
        }
    }
}

fn is_current(config: &Config, status: &MigrationStatus, findings: &mut Vec<Finding>) -> bool {
    if status.pending.is_empty() {
        let what = format!("version {} of {}", status.current, status.latest);
        findings.push(Finding::ok("schema", what));
        return true;
    }
    let what = format!(
        "version {}, and this program needs {}",
        status.current, status.latest
    );
    findings.push(if config.database.migrate {
        Finding::warning("schema", what, "the next start brings it up to date")
    } else {
        Finding::error("schema", what, "run `sso migrate up`")
    });
    false
}

fn stored(found: &Examined, findings: &mut Vec<Finding>) {
    findings.push(match &found.keys {
        Ok(0) => Finding::ok("keys", "there are none yet: the first start makes them"),
        Ok(count) => Finding::ok("keys", format!("{count} open under the master key")),
        Err(why) => not_opened(why),
    });
    match &found.backlog {
        Ok(backlog) => {
            let age = backlog.oldest.and_then(since);
            findings.push(if backlog.failed > 0 {
                Finding::error(
                    "events",
                    format!(
                        "{} could not be delivered, and hold back later ones",
                        backlog.failed
                    ),
                    "see `sso events list --status Failed`; then `sso events resend` or `skip`",
                )
            } else if age.is_some_and(|age| age > OLD_EVENT) {
                Finding::warning(
                    "events",
                    format!("{} wait, the oldest for long", backlog.in_progress),
                    "see whether a server runs and its sink can be reached",
                )
            } else {
                Finding::ok(
                    "events",
                    format!("{} wait, none has failed", backlog.in_progress),
                )
            });
        }
        Err(error) => {
            let failed = Failed::from_error(exit_of(error), error);
            findings.push(unusable("events", &failed));
        }
    }
    clock("audit log", found.newest, findings);
}

fn not_opened(why: &NotOpened) -> Finding {
    match why {
        NotOpened::Unreadable(error) => {
            unusable("keys", &Failed::from_error(exit_of(error), error))
        }
        NotOpened::NoMasterKey(failed) => Finding::error(
            "keys",
            failed.message(),
            "restore its file from a backup, for the user that the service runs as, or set \
             keys.master_key to the one that this database was made with",
        ),
        NotOpened::WrongMasterKey(error) => Finding::error(
            "keys",
            error.to_string(),
            "give the master key that this database was made with (keys.master_key), or restore \
             master.key from a backup",
        ),
        NotOpened::Damaged(error) => Finding::error(
            "keys",
            error.to_string(),
            "restore a backup of the database; a key of an unknown algorithm needs the version of \
             `sso` that made it",
        ),
    }
}

/// What was written in the future tells that the clock was set back.
fn clock(check: &'static str, written: Option<OffsetDateTime>, findings: &mut Vec<Finding>) {
    let ahead = written.is_some_and(|written| written > now() + SKEW);
    if ahead {
        findings.push(Finding::error(
            "clock",
            format!("the {check} was written to in the future: this machine's clock is behind"),
            "set the clock (chrony, systemd-timesyncd); tokens are judged by it",
        ));
    }
}

fn written(file: &Path) -> Option<OffsetDateTime> {
    let modified = fs::metadata(file).and_then(|metadata| metadata.modified());
    modified.ok().map(OffsetDateTime::from)
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is about the machine's clock itself"
)]
pub(super) fn now() -> OffsetDateTime {
    SystemTime::now().into()
}

fn since(time: OffsetDateTime) -> Option<Duration> {
    Duration::try_from(now() - time).ok()
}

fn unusable(check: &'static str, failed: &Failed) -> Finding {
    let remedy = match failed.exit() {
        Exit::Unavailable => {
            "see that the database answers and nobody holds it, then run this again"
        }
        Exit::DataDamaged => RESTORE,
        _ => REFUSED,
    };
    Finding::error(check, failed.message(), remedy)
}
