//! How many connections the limit of open files leaves room for.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::{DatabaseUrl, section::Database};

/// Kept for what is opened later: the database's files, a signal, a folder that is looked into.
const RESERVE: u64 = 16;
/// An instance's connections to a server of PostgreSQL beside those of its pool.
const OWN: u64 = 4;
/// To Redis and its sentinels, to brokers and their registry, to who collects traces.
const HELPERS: u64 = 64;

/// What a process has open when it has begun to serve, where the system does not tell.
const USUAL: u64 = 48;

/// The limit and what is in use of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Descriptors {
    limit: u64,
    used: u64,
    /// What this process opens later, to others: more clients must not take that away.
    later: u64,
}

/// What is opened later than the connections of clients are shared out.
pub(super) fn later(database: &Database) -> u64 {
    let DatabaseUrl::Postgres(url) = &database.url else {
        return RESERVE;
    };
    let servers = (url.count() + database.replicas.len()) as u64;
    RESERVE + HELPERS + servers * (database.max_connections as u64 + OWN)
}

/// Raises the limit of open files as far as the process may. It is low by default for the sake of
/// programs that use `select`; this is none of them.
pub(super) fn raise_limit() {
    let now = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: now.maximum,
        ..now
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

impl Descriptors {
    /// Of this process, now; `later`: those that it opens beside the connections of clients.
    pub(super) fn of_process(later: u64) -> Self {
        let used = fs::read_dir("/proc/self/fd").map(Iterator::count);
        Self {
            limit: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            used: used.map_or(USUAL, |count| count as u64),
            later,
        }
    }

    /// What can be had of `wanted` connections: all, or each in proportion.
    pub(super) fn share<const N: usize>(self, wanted: [usize; N]) -> [usize; N] {
        let room = self.limit.saturating_sub(self.used + self.later);
        let all: u64 = wanted.iter().map(|&most| most as u64).sum();
        if all <= room {
            return wanted;
        }
        let shared = wanted.map(|most| {
            let part = u128::from(room) * most as u128 / u128::from(all.max(1));
            usize::try_from(part).unwrap_or(most).max(1)
        });
        tracing::warn!(
            limit = self.limit,
            room,
            wanted = all,
            "the limit of open files leaves room for fewer connections than are configured"
        );
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_shared_in_proportion_when_files_are_short() {
        let of = |limit| Descriptors {
            limit,
            used: 24,
            later: RESERVE,
        };
        assert_eq!(
            of(20_140).share([10_000, 10_000, 100]),
            [10_000, 10_000, 100]
        );
        assert_eq!(of(20_139).share([10_000, 10_000, 100]), [9_999, 9_999, 99]);
        assert_eq!(of(64).share([10_000, 10_000, 100]), [11, 11, 1]);
        assert_eq!(of(8).share([10_000, 10_000, 100]), [1, 1, 1]);
    }
}
