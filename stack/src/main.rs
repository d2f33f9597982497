//! The whole system as real processes on loopback, without containers: `cargo xtask stack up`.
//!
//! `up` starts a supervisor in the background, which starts everything with the starters of the
//! tests, and waits until it is ready. The other commands talk to the supervisor over a socket in
//! `target/stack`. When it ends, however it ends, everything ends with it.

#![expect(clippy::print_stdout, reason = "a command line")]

mod control;
mod faults;
mod ground;
mod programs;
mod status;
mod supervisor;
mod system;
mod traces;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// The whole system as real processes on loopback.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask stack")]
enum Cli {
    /// Start everything and wait until it is ready.
    Up,
    /// Where everything listens, and how it is.
    Status {
        /// For programs.
        #[arg(long)]
        json: bool,
    },
    /// The end of a log, such as sso1, welcome; without a name: which there are.
    Logs {
        /// Of which process.
        name: Option<String>,
    },
    /// Do harm, such as kill-leader; without a name: what there is.
    #[command(subcommand_required = false)]
    Chaos {
        /// Which.
        fault: Option<String>,
    },
    /// End everything and remove its data.
    Down,
    #[command(flatten)]
    Inner(Inner),
}

#[derive(Debug, Subcommand)]
enum Inner {
    /// The supervisor, in the foreground.
    #[command(hide = true)]
    Run,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match cli {
            Cli::Up => control::up().await,
            Cli::Status { json: false } => print(&control::ask("status").await?),
            Cli::Status { json: true } => print(&control::ask("json").await?),
            Cli::Logs { name } => {
                let name = name.unwrap_or_default();
                print(&control::ask(&format!("logs {name}")).await?)
            }
            Cli::Chaos { fault } => match fault {
                Some(fault) => print(&control::ask(&format!("chaos {fault}")).await?),
                None => print(&faults::list()),
            },
            Cli::Down => print(&control::ask("down").await?),
            Cli::Inner(Inner::Run) => supervisor::run().await,
        }
    })
}

#[expect(clippy::unnecessary_wraps, reason = "an arm among those that can fail")]
fn print(text: &str) -> Result<()> {
    println!("{}", text.trim_end());
    Ok(())
}
