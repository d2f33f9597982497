//! Harms the whole system under load and judges what every client was told: `cargo xtask faults`.
//!
//! Three instances over Patroni x3 (synchronous), Sentinel with Redis x3, Kafka x3, a registry,
//! welcome and loyalty, all as real processes. Rounds of one fault or of two in different parts
//! follow each other while clients go on; what they draw and what happens follows from the seed.
//! At the end the judge of the tests reads the history, and every acknowledged registration must
//! have become one event, one mail at least, and its points exactly once.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line")]

mod delivered;
mod parts;
mod report;
mod rounds;
mod schedule;
mod system;

use std::{
    env,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Parser;

use report::Report;
use schedule::Schedule;
use system::System;

/// Harm the whole system under load and judge what every client was told.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask faults")]
struct Cli {
    /// What happens, and what clients do, follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Go on for so long; every fault alone comes first, then pairs.
    #[arg(long, default_value_t = 1.0, conflicts_with = "rounds")]
    hours: f64,
    /// Instead of a time: so many rounds.
    #[arg(long)]
    rounds: Option<usize>,
    /// Clients beside those that do nothing but register and validate, 60 times a second each.
    #[arg(long, default_value_t = 12)]
    clients: usize,
    /// Where the report is written (Markdown); else it is printed. Beside it, with the ending
    /// `logs`, what PostgreSQL's cluster logged if a round broke off.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Where `sso`, `welcome` and `loyalty` are; else beside this program.
    #[arg(long)]
    binaries: Option<PathBuf>,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(run(&cli))
}

async fn run(cli: &Cli) -> Result<()> {
    let beside = env::current_exe()?;
    let beside = beside.parent().context("no folder")?.to_owned();
    let binaries = cli.binaries.clone().unwrap_or(beside);
    let began = Instant::now();
    let mut system = System::start(&binaries, cli.clients, cli.seed).await?;
    eprintln!("{:6.0} s  everything runs", began.elapsed().as_secs_f64());
    let mut report = Report::new(cli.seed, cli.clients);
    let mut schedule = Schedule::new(cli.seed);
    let began = Instant::now();
    let enough = |done: usize| match cli.rounds {
        Some(rounds) => done >= rounds,
        None => began.elapsed() >= Duration::from_secs_f64(cli.hours * 3600.0),
    };
    while !enough(report.rounds()) {
        let faults = schedule.next();
        let round = match rounds::run(&mut system, &faults).await {
            Ok(round) => round,
            // What was seen so far is judged all the same.
            Err(why) => {
                report.stopped(format!("{why:#}"));
                if let Some(path) = &cli.report {
                    system.keep_logs(&path.with_extension("logs"))?;
                }
                break;
            }
        };
        let (number, at) = (report.rounds() + 1, began.elapsed().as_secs_f64());
        eprintln!("{at:6.0} s  {number:3}  {}", round.line());
        report.add(round);
    }
    report.end(began.elapsed(), system.finish().await?);
    let text = report.markdown();
    match &cli.report {
        Some(path) => std::fs::write(path, &text).with_context(|| path.display().to_string())?,
        None => println!("{text}"),
    }
    ensure!(
        report.is_clean(),
        "promises were broken: {}",
        report.broken()
    );
    Ok(())
}
