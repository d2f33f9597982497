//! The disk, the limits of the process, and the server itself.

use std::{io, path::Path, time::Duration};

use rustix::{
    fs::statvfs,
    process::{Resource, getrlimit},
};
use sso_web::probe;

use super::{super::healthcheck, AS_THE_SERVICE, Finding};
use crate::config::Config;

const MIB: u64 = 1024 * 1024;
/// Below this a write may fail at any time.
const DISK_FULL: u64 = 100 * MIB;
/// Below this it is time.
const DISK_LOW: u64 = 1024 * MIB;
/// Files beside connections: the database, logs, listeners.
const OTHER_FILES: u64 = 64;
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = vec![server(config)];
    if config.database.url.is_embedded() {
        findings.extend(disk(&config.data_dir));
    }
    findings.push(files(config));
    findings
}

fn disk(folder: &Path) -> Option<Finding> {
    // Where the folder will be, if it is not there yet.
    let existing = folder.ancestors().find(|path| path.exists())?;
    let disk = statvfs(existing).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let what = format!("{} MiB are free for {}", free / MIB, folder.display());
    let remedy = "make room, or shorten audit.retention and events.retention";
    Some(if free < DISK_FULL {
        Finding::error("disk", what, remedy)
    } else if free < DISK_LOW {
        Finding::warning("disk", what, remedy)
    } else {
        Finding::ok("disk", what)
    })
}

/// The hard limit: the server raises its own to that.
fn files(config: &Config) -> Finding {
    let connections: u64 = config.connections().map(|most| most as u64).iter().sum();
    let needed = connections + OTHER_FILES;
    match getrlimit(Resource::Nofile).maximum {
        Some(limit) if limit < needed => Finding::warning(
            "open files",
            format!("{limit} can be had here, and {needed} may be needed for all connections"),
            "raise the hard limit for the service (ulimit -Hn, LimitNOFILE=), or lower \
             http.max_connections and grpc.max_connections",
        ),
        _ => Finding::ok("open files", "enough for all connections"),
    }
}

fn server(config: &Config) -> Finding {
    let address = probe::loopback(config.http.listen);
    let scheme = if config.http.tls_cert.is_some() {
        "https"
    } else {
        "http"
    };
    let embedded = config.database.url.is_embedded();
    let served = if embedded {
        sso_store_sqlite::is_served(&config.data_dir)
    } else {
        Ok(false)
    };
    match healthcheck::ask(&config.http, address, PATIENCE) {
        Ok(answer) if probe::ready(&answer).is_ok() => {
            Finding::ok("server", format!("{scheme}://{address} is ready"))
        }
        Ok(answer) => Finding::error(
            "server",
            format!(
                "{scheme}://{address} answers {}",
                healthcheck::said(&answer)
            ),
            "see its log, and /auth/ready for what it depends on",
        ),
        Err(error) => unanswered(&format!("{scheme}://{address}"), embedded, served, &error),
    }
}

/// Nobody answers there.
fn unanswered(url: &str, embedded: bool, served: io::Result<bool>, error: &io::Error) -> Finding {
    match served {
        Ok(true) => Finding::error(
            "server",
            format!("one runs on this data folder, but {url} does not answer: {error}"),
            "see its log; is it started with this configuration?",
        ),
        Ok(false) if embedded => Finding::ok("server", "none runs on this data folder"),
        Ok(false) => Finding::ok("server", format!("none runs on {url}")),
        Err(error) => Finding::warning(
            "server",
            format!("whether one runs on this data folder cannot be seen: {error}"),
            AS_THE_SERVICE,
        ),
    }
}
