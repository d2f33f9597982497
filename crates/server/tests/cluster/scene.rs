//! A cluster, instances before it, clients, and what they saw.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context, Result, ensure};
use sso_testkit::{
    history::{Action, Durability, History, Outcome, Reach, Terms, Verdict},
    process::{Server, Site},
    readiness::Readiness,
    servers::{Patroni, patroni::Failover},
    workload::{STEADY, Workload},
};

use crate::{
    PATIENCE, full_size,
    observer::{Observer, Outage, outage},
    ready::{lies, said_after},
};

/// 32 bytes in base64: instances share it.
pub(crate) const MASTER_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const CLIENTS: usize = 30;
/// Longer than any failover here takes.
pub(crate) const LEASE: Duration = Duration::from_secs(10);
const FENCE: Duration = Duration::from_secs(1);
/// After the balancer shows the new leader. An unoptimised binary on a machine that does something
/// else takes seconds for what makes its connections: then this only shows that it comes back.
fn back() -> Duration {
    Duration::from_secs(if full_size() { 1 } else { 10 })
}
/// A lease counts from a beat, an outage from an answer: so much may lie between them, before it and
/// after it.
const BEATS: Duration = Duration::from_secs(2);
/// Most lines of an instance's log in an error.
const LINES: usize = 40;
/// How long a round goes on when the cluster is well again.
const CALM: Duration = Duration::from_secs(2);

pub(crate) struct Scene {
    pub(crate) cluster: Patroni,
    sites: Vec<Site>,
    servers: Vec<Server>,
    pub(crate) history: History,
    workload: Workload,
    observer: Observer,
    /// Of each instance.
    readiness: Vec<Readiness>,
    durability: Durability,
    failovers: Vec<Duration>,
    report: Vec<String>,
    /// What took longer than it may, or was not so.
    late: Vec<String>,
}

impl Scene {
    /// Two instances by way of HAProxy, and one that knows the addresses of all nodes.
    pub(crate) async fn open(cluster: Patroni, durability: Durability) -> Result<Self> {
        let balanced = cluster.url("postgres");
        let direct = cluster.nodes_url("postgres");
        let sites = vec![site(&balanced)?, site(&balanced)?, site(&direct)?];
        sites[0].run_ok(&["migrate", "up"])?;
        let mut servers = Vec::new();
        for site in &sites {
            servers.push(site.serve().await?);
        }
        let history = History::default();
        let observer = Observer::start(&history, &balanced)?;
        let instances: Vec<_> = servers.iter().collect();
        let workload = Workload::start(&history, &instances, CLIENTS, 7).await?;
        let watch = |server: &Server| Readiness::watch(&server.http, &history);
        let readiness = servers.iter().map(watch).collect();
        Ok(Self {
            cluster,
            sites,
            servers,
            history,
            workload,
            observer,
            readiness,
            durability,
            failovers: Vec::new(),
            report: Vec::new(),
            late: Vec::new(),
        })
    }

    /// Waits until instances answer `everywhere` again: not until every lease is over that the
    /// failover may have made them forget.
    pub(crate) async fn early_answers(&self) {
        let quiet = LEASE * 12 / 10 + FENCE + CALM * 2;
        tokio::time::sleep(quiet).await;
    }

    /// A fault, until the cluster is as it was before, and what the instances made of it.
    pub(crate) async fn round(&mut self, fault: Failover) -> Result<()> {
        let from = self.history.now();
        self.failovers.push(from);
        let done = tokio::time::timeout(PATIENCE * 3, self.cluster.fail_over(fault));
        done.await
            .context("the cluster does not come back")?
            .with_context(|| format!("{fault:?}"))?;
        tokio::time::sleep(CALM).await;
        self.judge_round(fault, from);
        Ok(())
    }

    fn judge_round(&mut self, fault: Failover, from: Duration) {
        let (calls, now) = (self.history.calls(), self.history.now());
        let shown = outage(from, now, &self.observer.written());
        let mut line = format!(
            "{fault:?}: behind HAProxy {:.2} s",
            shown.length().as_secs_f64()
        );
        let mut late = Vec::new();
        for instance in 0..self.servers.len() {
            let steady: Vec<_> = calls
                .iter()
                .filter(|call| call.client == STEADY + instance && call.end >= from)
                .collect();
            let (mut writes, mut unavailable, mut validated) = (Vec::new(), Vec::new(), 0);
            for call in &steady {
                match (&call.action, &call.outcome) {
                    (Action::Register { .. }, Outcome::Done { .. }) => writes.push(call.end),
                    (Action::Validate { .. }, Outcome::Done { .. }) => validated += 1,
                    (Action::Validate { .. }, _) => unavailable.push(call.end),
                    _ => {}
                }
            }
            let here = outage(from, now, &writes);
            let told = self.readiness[instance].since(from);
            let _ = write!(
                line,
                "; instance {instance} {:.2} s, said after {:?}, back after {:+.2} s, {validated} \
                 validated, {} not{}",
                here.length().as_secs_f64(),
                said_after(&told, here),
                here.to.as_secs_f64() - shown.to.as_secs_f64(),
                unavailable.len(),
                within(here, &unavailable),
            );
            late.extend(
                lies(&told, here, &steady)
                    .into_iter()
                    .map(|lie| format!("instance {instance}, of readiness: {lie}")),
            );
            // One that was not stopped has its longest pause at any time.
            if here.length() > back() && here.to > shown.to + back() {
                late.push(format!("instance {instance} writes again too late"));
            }
            // While the lease runs, and once there is a primary again.
            let excused = here.from + LEASE.saturating_sub(BEATS)..here.to + back().max(BEATS);
            if unavailable.iter().any(|at| !excused.contains(at)) {
                late.push(format!("instance {instance} did not validate"));
            }
        }
        eprintln!("{line}");
        if !late.is_empty() {
            eprintln!("{}", self.logs());
        }
        self.report.push(line);
        self.late
            .extend(late.into_iter().map(|late| format!("{fault:?}: {late}")));
    }

    /// What the history says by now.
    pub(crate) fn verdict(&self) -> Verdict {
        self.history.judge(&self.terms())
    }

    fn terms(&self) -> Terms {
        Terms {
            lease: LEASE,
            grace: Duration::from_secs(30),
            durability: self.durability,
            failovers: self.failovers.clone(),
        }
    }

    /// How many ends of access were answered `everywhere` since the last failover.
    pub(crate) fn ended_everywhere(&self) -> usize {
        let since = self.failovers.last().copied().unwrap_or_default();
        let calls = self.history.calls();
        let ended = calls
            .iter()
            .filter(|call| call.start > since && call.reach() == Some(Reach::Everywhere));
        ended.count()
    }

    /// Ends the clients; what their history says.
    pub(crate) async fn close(self) -> Result<()> {
        let (logs, terms) = (self.logs(), self.terms());
        self.workload.stop().await?;
        let verdict = self.history.judge(&terms);
        eprintln!("{}\n{verdict}", self.report.join("\n"));
        ensure!(verdict.contradictions.is_empty(), "{verdict}{logs}");
        ensure!(
            self.late.is_empty(),
            "{:?}: {:?}{logs}",
            self.late,
            self.report
        );
        Ok(())
    }

    /// What the instances have logged, for an error.
    fn logs(&self) -> String {
        let mut text = String::new();
        for (number, site) in self.sites.iter().enumerate() {
            let log = site.log().unwrap_or_default();
            let of_interest = |line: &&str| {
                !line.contains("served") && (!line.contains("\"INFO\"") || line.contains("primary"))
            };
            let lines: Vec<_> = log.lines().filter(of_interest).collect();
            let last = lines.len().saturating_sub(LINES);
            let _ = write!(
                text,
                "\n--- instance {number}:\n{}",
                lines[last..].join("\n")
            );
        }
        text
    }
}

/// When validation was refused, in seconds since the last write before the outage.
fn within(outage: Outage, refused: &[Duration]) -> String {
    let since = |at: &Duration| at.as_secs_f64() - outage.from.as_secs_f64();
    let times = refused.iter().min().zip(refused.iter().max());
    times.map_or_else(String::new, |(first, last)| {
        format!(" (from {:.2} to {:.2} s)", since(first), since(last))
    })
}

pub(crate) fn site(url: &str) -> Result<Site> {
    let mut site = Site::new(env!("CARGO_BIN_EXE_sso"))?;
    site.set("SSO__DATABASE__URL", url)
        .set("SSO__KEYS__MASTER_KEY", MASTER_KEY)
        .set("SSO__HTTP__PUBLIC_URL", "https://sso.example.com")
        .set("SSO__THROTTLE__ENABLED", false)
        .set("SSO__REVOCATION__LEASE", format!("{}s", LEASE.as_secs()))
        .set("SSO__REVOCATION__FENCE", format!("{}s", FENCE.as_secs()));
    Ok(site)
}
