//! The disk, the limits of the process, and the server itself.

use std::{path::Path, time::Duration};

use rustix::{
    fs::statvfs,
    process::{Resource, getrlimit},
};
use sso_web::probe;

use super::{super::healthcheck, Finding};
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

fn files(config: &Config) -> Finding {
    let connections = config.http.max_connections + config.grpc.max_connections;
    let needed = connections as u64 + OTHER_FILES;
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < needed => Finding::warning(
            "open files",
            format!("{limit} are allowed here, and {needed} may be needed for all connections"),
            "raise it for the service (ulimit -n, LimitNOFILE=), or lower http.max_connections \
             and grpc.max_connections",
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
    let served = embedded && sso_store_sqlite::is_served(&config.data_dir);
    match healthcheck::ask(&config.http, address, PATIENCE) {
        Ok(answer) if probe::ready(&answer).is_ok() => {
            Finding::ok("server", format!("{scheme}://{address} is ready"))
        }
        Ok(answer) => Finding::error(
            "server",
            format!("{scheme}://{address} answers {}", first_line(&answer)),
            "see its log, and /auth/ready for what it depends on",
        ),
        Err(error) if served => Finding::error(
            "server",
            format!(
                "one runs on this data folder, but {scheme}://{address} does not answer: {error}"
            ),
            "see its log; is it started with this configuration?",
        ),
        Err(_) if embedded => Finding::ok("server", "none runs on this data folder"),
        Err(_) => Finding::ok("server", format!("none runs on {scheme}://{address}")),
    }
}

fn first_line(answer: &str) -> &str {
    answer.lines().next().unwrap_or_default()
}
