//! Measures `sso` against limits of the same run: what the same machine, at the same time, does
//! without the part of ours. A ratio survives a busy machine, a rate does not.
//!
//! The servers are the real binary, built in release mode. Limits are found by a closed loop, whose
//! latencies are those of a client that waits for each answer; the mixed day is an open loop.

#![expect(clippy::print_stdout, reason = "a command line")]

mod events;
mod footprint;
mod load;
mod login;
mod mixed;
mod open_loop;
mod operations;
mod picture;
mod postgres;
mod refresh;
mod report;
mod save;
mod telemetry;
mod validate;
mod verifier;

use std::{env, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};

use report::Report;

/// As the binary's: memory of hashes must come from the same place in both measurements.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
struct Cli {
    /// Runs of each measurement; the median counts.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Seconds of each run.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Only these; without it all of them.
    #[arg(long, value_enum)]
    only: Vec<Measurement>,
    /// Print JSON instead of the table.
    #[arg(long)]
    json: bool,
    /// Write what was found to this folder: a JSON file for each measurement, and pictures.
    #[arg(long)]
    save: Option<PathBuf>,
    /// How many users the databases have; 10,000,000 take 10 GB and minutes to load.
    #[arg(long, value_delimiter = ',', default_value = "10000,1000000")]
    users: Vec<u32>,
    /// How many live revocations the databases have.
    #[arg(long, value_delimiter = ',', default_value = "10000,100000")]
    revocations: Vec<u32>,
    /// How many events wait in the outbox.
    #[arg(long, value_delimiter = ',', default_value = "50000,200000,1000000")]
    backlogs: Vec<u32>,
    /// Operations of open loops that begin each second.
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
    /// The binary; without one the release build beside this program.
    #[arg(long)]
    binary: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measurement {
    /// Start and memory.
    Footprint,
    /// Validate against an empty RPC.
    Validate,
    /// Login against pure hashing.
    Login,
    /// Refresh against a bare loop of SQLite.
    Refresh,
    /// Each operation at a fixed rate.
    Operations,
    /// Validate by 1 to 256 connections.
    Connections,
    /// 95 % validate, 3 % refresh, 1.5 % login, 0.5 % registration, at a fixed rate.
    Mixed,
    /// Validation in process, and watchers.
    Verifier,
    /// What traces and metrics cost Validate.
    Telemetry,
    /// Events to Kafka.
    Events,
    /// Longer and longer backlogs of events.
    Backlog,
    /// Registration, login and refresh on PostgreSQL.
    Postgres,
    /// More and more live revocations.
    Revocations,
    /// More and more users.
    Users,
    /// One instance against two on the same cores.
    Instances,
    /// What instances at rest cost the primary.
    Beats,
    /// Round trips to PostgreSQL.
    RoundTrips,
    /// Revocations with three instances and Redis.
    Everywhere,
}

impl Measurement {
    /// As on the command line.
    fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    async fn run(self, plan: &Plan, report: &mut Report) -> Result<()> {
        match self {
            Self::Footprint => footprint::measure(plan, report).await,
            Self::Validate => validate::measure(plan, report).await,
            Self::Login => login::measure(plan, report).await,
            Self::Refresh => refresh::measure(plan, report).await,
            Self::Operations => operations::measure(plan, report).await,
            Self::Connections => validate::connections(plan, report).await,
            Self::Mixed => mixed::measure(plan, report).await,
            Self::Verifier => verifier::measure(plan, report).await,
            Self::Telemetry => telemetry::measure(plan, report).await,
            Self::Events => events::measure(plan, report).await,
            Self::Backlog => events::backlog::measure(plan, report).await,
            Self::Postgres => postgres::flows::measure(plan, report).await,
            Self::Revocations => postgres::revocations::measure(plan, report).await,
            Self::Users => postgres::users::measure(plan, report).await,
            Self::Instances => postgres::instances::measure(plan, report).await,
            Self::Beats => postgres::beats::measure(plan, report).await,
            Self::RoundTrips => postgres::round_trips::measure(plan, report).await,
            Self::Everywhere => postgres::everywhere::measure(plan, report).await,
        }
    }
}

/// How long and how often to measure, and what.
struct Plan {
    users: Vec<u32>,
    revocations: Vec<u32>,
    backlogs: Vec<u32>,
    rate: u32,
    binary: PathBuf,
    runs: usize,
    run: Duration,
}

impl Plan {
    /// The warm-up, then the runs that count.
    fn turns(&self) -> impl Iterator<Item = bool> + use<> {
        std::iter::once(false).chain(std::iter::repeat_n(true, self.runs))
    }
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let beside = env::current_exe()?
        .parent()
        .context("no folder")?
        .join("sso");
    let plan = Plan {
        users: cli.users,
        revocations: cli.revocations,
        backlogs: cli.backlogs,
        rate: cli.rate,
        binary: cli.binary.unwrap_or(beside),
        runs: cli.runs,
        run: Duration::from_secs(cli.seconds),
    };
    // Before the first: what is at work is what was built by now.
    let machine = cli
        .save
        .as_ref()
        .map(|_| save::Machine::look())
        .transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    for &measurement in Measurement::value_variants() {
        if !cli.only.is_empty() && !cli.only.contains(&measurement) {
            continue;
        }
        let (name, mut report) = (measurement.name(), Report::default());
        runtime.block_on(measurement.run(&plan, &mut report))?;
        // At once: the next may take minutes, or fail.
        if cli.json {
            println!("{}", report.json(&name));
        } else {
            println!("{name}:\n\n{}", report.table());
        }
        if let (Some(folder), Some(machine)) = (&cli.save, &machine) {
            save::save(folder, &name, machine, &plan, &report)?;
        }
    }
    Ok(())
}
