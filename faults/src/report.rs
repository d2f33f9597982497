//! What was tried, what was promised, what was seen.

use std::{fmt::Write as _, time::Duration};

use crate::{rounds::Round, system::End};

const HEAD: &str = "# Fault report

`cargo xtask faults` harms the whole system while clients use it, writes down every call and answer, and lets the judge of the
tests read them (`crates/testkit/src/history`): it complains of every answer that no order of events explains. The system is
three instances (two by way of HAProxy with reads on replicas, one that knows every PostgreSQL node), Patroni x3 with
`synchronous_mode`, etcd, Redis x3 with Sentinel x3, Kafka x3, a Schema Registry, welcome and loyalty; all on one machine of two
cores, so that what takes long here takes long also because everything shares them. An instance that ends by itself (69) is
started, as a supervisor would.

Promised, whatever happens: no acknowledged write is lost; nothing that was ended is accepted after `everywhere`, nor later than
1.2 L after `pending`; no stale decision; every acknowledged registration becomes one event, one mail at least, and its points
exactly once; only PostgreSQL and the instance itself can stop writes, and validation goes on for the lease without either.
";

/// Of the judge's words.
const MOST_LINES: usize = 40;

/// Collects the rounds.
#[derive(Debug)]
pub(crate) struct Report {
    seed: u64,
    clients: usize,
    rounds: Vec<Round>,
    /// Why there are no more rounds than these.
    stopped: Option<String>,
    end: Option<(Duration, Ended)>,
}

/// What is known at the end, as it is shown.
#[derive(Debug)]
struct Ended {
    verdict: String,
    broken: Vec<String>,
    delivered: crate::delivered::Delivered,
    calls: usize,
}

impl Report {
    pub(crate) const fn new(seed: u64, clients: usize) -> Self {
        Self {
            seed,
            clients,
            rounds: Vec::new(),
            stopped: None,
            end: None,
        }
    }

    pub(crate) fn add(&mut self, round: Round) {
        self.rounds.push(round);
    }

    pub(crate) const fn rounds(&self) -> usize {
        self.rounds.len()
    }

    /// The system was not as before after a round.
    pub(crate) fn stopped(&mut self, why: String) {
        self.stopped = Some(why);
    }

    pub(crate) fn end(&mut self, took: Duration, end: End) {
        let mut broken = end.delivered.broken();
        let contradictions = end.verdict.contradictions.len();
        if contradictions > 0 {
            broken.push(format!("{contradictions} contradictions"));
        }
        let ended = Ended {
            verdict: outline(&end.verdict.to_string()),
            broken,
            delivered: end.delivered,
            calls: end.calls,
        };
        self.end = Some((took, ended));
    }

    /// Whether every promise was kept.
    pub(crate) fn is_clean(&self) -> bool {
        self.broken().is_empty()
    }

    /// The promises that were not.
    pub(crate) fn broken(&self) -> String {
        let rounds = self.rounds.iter().enumerate();
        let rounds = rounds.flat_map(|(number, round)| {
            let broken = round.broken.iter();
            broken.map(move |what| format!("round {}: {what}", number + 1))
        });
        let end = self.end.iter().flat_map(|(_, end)| end.broken.clone());
        rounds
            .chain(self.stopped.clone())
            .chain(end)
            .collect::<Vec<_>>()
            .join("; ")
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = HEAD.to_owned();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        if let Some((took, end)) = &self.end {
            self.summary(text, *took, end)?;
        }
        writeln!(
            text,
            "\n## Rounds\n\n\"Without a write\" and \"without a validation\" are the longest times in which one instance \
             answered none, asked 10\nand 50 times a second; \"took\" is until everything was as before.\n\n\
             | | what happened | took | without a write | without a validation | calls | unavailable | no answer | broken |\n\
             |---|---|---|---|---|---|---|---|---|"
        )?;
        for (number, round) in self.rounds.iter().enumerate() {
            writeln!(
                text,
                "| {} | {} | {:.1} s | {:.1} s | {:.2} s | {} | {} | {} | {} |",
                number + 1,
                round.names(),
                round.took.as_secs_f64(),
                round.no_write.as_secs_f64(),
                round.no_validation.as_secs_f64(),
                round.calls,
                round.unavailable,
                round.unknown,
                round.broken.join(", "),
            )?;
        }
        Ok(())
    }

    fn summary(&self, text: &mut String, took: Duration, end: &Ended) -> std::fmt::Result {
        let faults: usize = self.rounds.iter().map(|round| round.faults.len()).sum();
        let found = &end.delivered;
        let broken = self.broken();
        let broken = if broken.is_empty() { "none" } else { &broken };
        writeln!(
            text,
            "\n## Summary\n\n| | |\n|---|---|\n\
             | seed, clients | {}, {} and 3 steady ones |\n\
             | time | {:.0} min |\n\
             | rounds, faults | {}, {faults} |\n\
             | calls | {} |\n\
             | registrations acknowledged | {} |\n\
             | records in Kafka, events lost, users with two events | {}, {}, {} |\n\
             | registrations without a mail; mails sent again | {}; {} |\n\
             | events without points, users with points twice, sum of the ledger | {}, {}, {} |\n\
             | everything delivered after the last call within | {:.0} s |\n\
             | promises broken | {broken} |\n\n```\n{}\n```",
            self.seed,
            self.clients,
            took.as_secs_f64() / 60.0,
            self.rounds.len(),
            end.calls,
            found.acknowledged,
            found.records,
            found.lost,
            found.contradictory,
            found.unmailed,
            found.mailed_again,
            found.uncredited,
            found.credited_again,
            found.ledger,
            found.took.as_secs_f64(),
            end.verdict.trim(),
        )
    }
}

/// Without the stories of contradictions, which are as long as the run.
fn outline(verdict: &str) -> String {
    let lines = verdict.lines().filter(|line| !line.starts_with(' '));
    lines.take(MOST_LINES).collect::<Vec<_>>().join("\n")
}
