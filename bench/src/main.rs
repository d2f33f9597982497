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
mod postgres;
mod refresh;
mod report;
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
    /// Only these.
    #[arg(long, value_enum)]
    only: Vec<Measurement>,
    /// Print JSON instead of the table.
    #[arg(long)]
    json: bool,
    /// Users of the large database, loaded by COPY; 10,000,000 take 10 GB.
    #[arg(long, default_value_t = 1_000_000)]
    users: u32,
    /// Live revocations.
    #[arg(long, default_value_t = 100_000)]
    revocations: u32,
    /// Operations of the mixed day that begin each second.
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
    /// The binary; without one the release build beside this program.
    #[arg(long)]
    binary: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measurement {
    Validate,
    Login,
    Refresh,
    /// Validate by 1 to 256 connections.
    Connections,
    /// 95 % validate, 3 % refresh, 1.5 % login, 0.5 % registration, at a fixed rate.
    Mixed,
    Footprint,
    Verifier,
    /// What traces and metrics cost Validate.
    Telemetry,
    Events,
    /// Registration, login and refresh on PostgreSQL.
    Postgres,
    /// Many live revocations.
    Revocations,
    /// Many users.
    Users,
    /// What instances at rest cost the primary.
    Beats,
    /// Round trips to PostgreSQL.
    RoundTrips,
    /// Revocations with three instances and Redis.
    Everywhere,
}

/// How long and how often to measure, and what.
struct Plan {
    users: u32,
    revocations: u32,
    rate: u32,
    binary: PathBuf,
    runs: usize,
    run: Duration,
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
        rate: cli.rate,
        binary: cli.binary.unwrap_or(beside),
        runs: cli.runs,
        run: Duration::from_secs(cli.seconds),
    };
    let wanted = |one| cli.only.is_empty() || cli.only.contains(&one);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(async {
        let mut report = Report::default();
        if wanted(Measurement::Footprint) {
            footprint::measure(&plan, &mut report).await?;
        }
        if wanted(Measurement::Validate) {
            validate::measure(&plan, &mut report).await?;
        }
        if wanted(Measurement::Login) {
            login::measure(&plan, &mut report).await?;
        }
        if wanted(Measurement::Refresh) {
            refresh::measure(&plan, &mut report).await?;
        }
        if wanted(Measurement::Connections) {
            validate::connections(&plan, &mut report).await?;
        }
        if wanted(Measurement::Mixed) {
            mixed::measure(&plan, &mut report).await?;
        }
        if wanted(Measurement::Verifier) {
            verifier::measure(&plan, &mut report).await?;
        }
        if wanted(Measurement::Telemetry) {
            telemetry::measure(&plan, &mut report).await?;
        }
        if wanted(Measurement::Events) {
            events::measure(&plan, &mut report).await?;
        }
        if wanted(Measurement::Postgres) {
            postgres::flows::measure(&plan, &mut report).await?;
        }
        if wanted(Measurement::Revocations) {
            postgres::revocations::measure(&plan, &mut report).await?;
        }
        if wanted(Measurement::Users) {
            postgres::users::measure(&plan, &mut report).await?;
        }
        if wanted(Measurement::Beats) {
            postgres::beats::measure(&plan, &mut report).await?;
        }
        if wanted(Measurement::RoundTrips) {
            postgres::round_trips::measure(&plan, &mut report).await?;
        }
        if wanted(Measurement::Everywhere) {
            postgres::everywhere::measure(&plan, &mut report).await?;
        }
        anyhow::Ok(report)
    })?;
    println!(
        "{}",
        if cli.json {
            report.json().to_string()
        } else {
            report.table()
        }
    );
    Ok(())
}
