//! One round: faults, until everything is as before, and what clients saw meanwhile.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use sso_testkit::{
    history::{Action, Call, Outcome},
    workload::STEADY,
};

use crate::{
    parts::{Fault, Part},
    system::System,
};

/// The longest that a round may take until all is as before.
const PATIENCE: Duration = Duration::from_mins(8);
/// What a machine that everything shares may stand still without anybody's fault.
const STANDSTILL: Duration = Duration::from_secs(3);
/// How long clients go on when all is well again.
const CALM: Duration = Duration::from_secs(3);

/// What was seen.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) faults: Vec<Fault>,
    /// Instances that began anew, since the cluster gave up the timeline that they had met.
    pub(crate) began_anew: usize,
    /// From the first harm until everything was as before.
    pub(crate) took: Duration,
    /// The longest that an instance registered nobody.
    pub(crate) no_write: Duration,
    /// The longest that an instance validated nothing.
    pub(crate) no_validation: Duration,
    /// Calls that ended in this round.
    pub(crate) calls: usize,
    /// Of these: 503, 504, UNAVAILABLE, DEADLINE_EXCEEDED.
    pub(crate) unavailable: usize,
    /// Of these: never answered.
    pub(crate) unknown: usize,
    /// Promises that were broken.
    pub(crate) broken: Vec<String>,
}

/// Lets the faults happen at once.
pub(crate) async fn run(system: &mut System, faults: &[Fault]) -> Result<Round> {
    let (from, began) = (system.history.now(), Instant::now());
    if faults.iter().any(|fault| fault.part() == Part::Postgres) {
        system.failovers.push(from);
    }
    let names = faults.iter().map(|fault| fault.name());
    let names: Vec<_> = names.collect();
    let happening = async {
        system.parts().happen(faults).await?;
        system.services.ready().await?;
        system.instances.ready().await
    };
    let happened = tokio::time::timeout(PATIENCE, happening).await;
    let began_anew = happened
        .context("not everything is as before")
        .and_then(|happened| happened)
        .with_context(|| names.join(" + "))?;
    let took = began.elapsed();
    tokio::time::sleep(CALM).await;
    let calls = system.history.calls_since(from);
    let now = system.history.now();
    let mut round = Round {
        faults: faults.to_vec(),
        began_anew,
        took,
        no_write: Duration::ZERO,
        no_validation: Duration::ZERO,
        calls: calls.len(),
        unavailable: count(&calls, &Outcome::Unavailable),
        unknown: count(&calls, &Outcome::Unknown),
        broken: Vec::new(),
    };
    for instance in 0..system.instances.servers.len() {
        let of = |wanted: fn(&Action) -> bool| gap(&calls, STEADY + instance, from, now, wanted);
        let write = of(|action| matches!(action, Action::Register { .. }));
        let validation = of(|action| matches!(action, Action::Validate { .. }));
        round.no_write = round.no_write.max(write);
        round.no_validation = round.no_validation.max(validation);
    }
    round.judge();
    Ok(round)
}

impl Round {
    /// What holds within a round; what spans them is judged at the end.
    fn judge(&mut self) {
        let of = |allows: fn(Fault) -> bool| self.faults.iter().copied().any(allows);
        for (what, gap, is_allowed) in [
            ("write", self.no_write, of(Fault::stops_writes)),
            (
                "validation",
                self.no_validation,
                of(Fault::stops_validation),
            ),
        ] {
            if !is_allowed && gap > STANDSTILL {
                let seconds = gap.as_secs_f64();
                self.broken.push(format!("no {what} for {seconds:.1} s"));
            }
        }
    }

    /// What happened.
    pub(crate) fn names(&self) -> String {
        let names: Vec<_> = self.faults.iter().map(|fault| fault.name()).collect();
        let mut names = names.join(" + ");
        if self.began_anew > 0 {
            let instances = self.began_anew;
            let _ = write!(
                names,
                "; a timeline was given up, instances that began anew: {instances}"
            );
        }
        names
    }

    /// For who waits.
    pub(crate) fn line(&self) -> String {
        format!(
            "{}: {:.1} s without a write, {:.2} s without a validation, {} calls, {} unavailable, \
             {} unknown {}",
            self.names(),
            self.no_write.as_secs_f64(),
            self.no_validation.as_secs_f64(),
            self.calls,
            self.unavailable,
            self.unknown,
            self.broken.join(", "),
        )
    }
}

fn count(calls: &[Call], outcome: &Outcome) -> usize {
    calls.iter().filter(|call| call.outcome == *outcome).count()
}

/// The longest time without a success of this client.
fn gap(
    calls: &[Call],
    client: usize,
    from: Duration,
    now: Duration,
    wanted: impl Fn(&Action) -> bool,
) -> Duration {
    let successes = calls.iter().filter(|call| {
        call.client == client
            && wanted(&call.action)
            && matches!(call.outcome, Outcome::Done { .. })
    });
    let mut last = from;
    let mut longest = Duration::ZERO;
    for at in successes.map(|call| call.end).chain([now]) {
        longest = longest.max(at.saturating_sub(last));
        last = last.max(at);
    }
    longest
}
