//! The servers of PostgreSQL: who they are, how far behind, what a commit waits for, what we may see.

use std::time::Duration;

use sso_store_postgres::servers::{Found, Instances, Role, Surveyed};

use super::Finding;
use crate::{config::Config, wiring};

const URL: &str = "database.url";
const REPLICAS: &str = "database.replicas";
const SYNCHRONY: &str = "synchronous commit";
const RIGHTS: &str = "rights";
const INSTANCES: &str = "instances";

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let surveyed = match wiring::block_on(wiring::survey(config)) {
        Ok(Some(surveyed)) => surveyed,
        Ok(None) => return Vec::new(),
        Err(failed) => return vec![Finding::error(URL, failed.message(), "correct it")],
    };
    let max_lag = config.database.max_lag;
    let primary = primary(&surveyed);
    let mut findings: Vec<_> = surveyed
        .iter()
        .map(|one| server(one, primary, max_lag))
        .collect();
    if let Some(primary) = primary {
        findings.push(synchrony(primary));
        findings.push(fsync(primary));
        findings.push(rights(primary));
        findings.extend(instances(primary));
    }
    findings
}

/// The one of the highest timeline of those that accept writes, in the cluster of `database.url`.
fn primary(surveyed: &[Surveyed]) -> Option<&Found> {
    let found = |of_url: bool| {
        let of_key = surveyed.iter().filter(move |one| of_url != one.replica);
        of_key.filter_map(|one| one.found.as_ref().ok())
    };
    let system = found(true).next().map(|found| found.system);
    found(true)
        .chain(found(false))
        .filter(|found| system.is_none_or(|system| system == found.system))
        .filter(|found| found.role != Role::Replica)
        .max_by_key(|found| found.timeline)
}

fn server(one: &Surveyed, primary: Option<&Found>, max_lag: Duration) -> Finding {
    let (check, name) = (if one.replica { REPLICAS } else { URL }, &one.name);
    let found = match &one.found {
        Ok(found) => found,
        Err(error) => return unasked(check, name, error, primary.is_some()),
    };
    let about = format!("timeline {}, PostgreSQL {}", found.timeline, found.version);
    match found.role {
        _ if primary.is_some_and(|primary| primary.system != found.system) => Finding::error(
            check,
            format!("{name} is a server of another cluster ({about})"),
            "name servers of one cluster",
        ),
        Role::Primary { .. } if primary != Some(found) => Finding::error(
            check,
            format!("{name} is a deposed primary that still runs ({about})"),
            "stop it: whoever asks it is told what was (in Patroni, use the watchdog)",
        ),
        Role::Primary { .. } => Finding::ok(check, format!("{name} is the primary ({about})")),
        Role::Replica => replica(check, name, found, &about, max_lag),
    }
}

/// The reads of one of several are carried by the others; without a primary there are none.
fn unasked(check: &'static str, name: &str, error: &str, has_primary: bool) -> Finding {
    let what = format!("{name} cannot be asked: {error}");
    if has_primary {
        let remedy = "start it, or take it out of the configuration; others carry its reads";
        return Finding::warning(check, what, remedy);
    }
    let remedy = "start it, or correct the configuration: no primary answers, and without one \
                  nobody can sign in";
    Finding::error(check, what, remedy)
}

fn replica(
    check: &'static str,
    name: &str,
    found: &Found,
    about: &str,
    max_lag: Duration,
) -> Finding {
    match found.behind {
        _ if found.paused => Finding::warning(
            check,
            format!("{name} is a replica whose replay is paused ({about})"),
            "select pg_wal_replay_resume() there",
        ),
        Some(behind) if behind <= max_lag => Finding::ok(
            check,
            format!(
                "{name} is a replica ({about}), at most {} ms behind",
                behind.as_millis()
            ),
        ),
        Some(behind) => Finding::warning(
            check,
            format!(
                "{name} is a replica ({about}), {} ms behind, and database.max_lag is {} ms",
                behind.as_millis(),
                max_lag.as_millis()
            ),
            "see what holds its replay up (long queries, its disk), or raise database.max_lag",
        ),
        None => Finding::warning(
            check,
            format!(
                "{name} is a replica ({about}) that does not show within 2 seconds what the \
                 primary has committed"
            ),
            "see pg_stat_replication of the primary, pg_stat_wal_receiver and \
             recovery_min_apply_delay of the replica",
        ),
    }
}

/// Whether there is one that may be promoted: it follows, a commit waits for it, or it is missed.
fn has_standbys(primary: &Found) -> bool {
    let synchrony = &primary.synchrony;
    let missed = |known: &Instances| !known.missed.is_empty();
    synchrony.followed_by > 0
        || !synchrony.standbys.is_empty()
        || primary.instances.as_ref().is_some_and(missed)
}

fn synchrony(primary: &Found) -> Finding {
    let synchrony = &primary.synchrony;
    if synchrony.followed_by == 0 && synchrony.standbys.is_empty() {
        return Finding::ok(
            SYNCHRONY,
            "no server follows the primary: there is no failover",
        );
    }
    if synchrony.standbys.is_empty() {
        return Finding::warning(
            SYNCHRONY,
            "no commit waits for a standby: a failover can lose the last moments",
            "set synchronous_mode in Patroni, else synchronous_standby_names",
        );
    }
    if matches!(synchrony.commit.as_str(), "off" | "local") {
        return Finding::warning(
            SYNCHRONY,
            format!(
                "synchronous_commit is {}: a refresh does not wait for {}",
                synchrony.commit, synchrony.standbys
            ),
            "set it to on, unless refreshes may be lost in a failover",
        );
    }
    let what = format!("a commit waits for {}", synchrony.standbys);
    Finding::ok(SYNCHRONY, what)
}

fn fsync(primary: &Found) -> Finding {
    if primary.synchrony.fsync {
        return Finding::ok("fsync", "is on");
    }
    Finding::warning(
        "fsync",
        "is off: a power cut loses or damages what was acknowledged",
        "set it to on",
    )
}

fn rights(primary: &Found) -> Finding {
    let user = &primary.user;
    if primary.sees_standbys {
        let what = format!("{user} sees how far the standbys are");
        return Finding::ok(RIGHTS, what);
    }
    let remedy = format!("grant pg_read_all_stats to \"{user}\"");
    if !has_standbys(primary) {
        let what =
            format!("none is needed while there is no standby; with the first one: {remedy}");
        return Finding::ok(RIGHTS, what);
    }
    Finding::warning(
        RIGHTS,
        format!(
            "{user} does not see how far the standbys are: unless each commit waits for all of \
             them no revocation is answered `everywhere`"
        ),
        remedy,
    )
}

/// Who must obey a revocation before it is answered `everywhere`, and what it waits for besides.
fn instances(primary: &Found) -> Vec<Finding> {
    let Some(known) = &primary.instances else {
        return Vec::new();
    };
    let well = known
        .registered
        .iter()
        .filter(|one| one.beats && one.is_here);
    let mut findings = vec![Finding::ok(
        INSTANCES,
        format!(
            "{} of {} send beats; {} revocations matter",
            well.count(),
            known.registered.len(),
            known.revocations
        ),
    )];
    for one in &known.registered {
        let what = match (one.beats, one.is_here) {
            (true, true) => continue,
            (true, false) => "is registered on another timeline than the primary's",
            (false, _) => "sends no beats",
        };
        findings.push(Finding::warning(
            INSTANCES,
            format!(
                "{} {what}: until it does, or 1.2 leases have passed, revocations are answered \
                 `pending`",
                one.name
            ),
            "see its log and /auth/ready; if it is gone it is forgotten by itself",
        ));
    }
    // Commits that wait for standbys wait for those that are there.
    let missed = known
        .missed
        .iter()
        .filter(|_| primary.synchrony.standbys.is_empty());
    findings.extend(missed.map(|slot| {
        Finding::warning(
            INSTANCES,
            format!(
                "the standby of the replication slot {slot} does not follow: revocations are \
                 answered `pending`"
            ),
            format!(
                "start it; or, if it is gone for good: select pg_drop_replication_slot('{slot}')"
            ),
        )
    }));
    findings
}
