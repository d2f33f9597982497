//! Every developer command: `cargo xtask <test|check|gen|bench|faults|stack|dist>`.
//!
//! CI runs the same commands, so what passes here passes there.

#![expect(clippy::print_stdout, reason = "a command line")]

mod dist;
mod generate;
mod grafana;
mod kafka;
mod manifests;
mod outweigh;
mod postgres;
mod registries;
mod shell;
mod test;
mod tools;

use anyhow::Result;
use clap::{Parser, Subcommand};

use shell::{cargo, root, run};

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    about = "Every developer command of this repository"
)]
enum Cli {
    /// Run all tests; installs what they need where it may, else names it.
    Test(test::TestArgs),
    /// Only install what the tests need.
    Tools,
    /// Formatting, lints, licences and sources of dependencies, generated files.
    Check,
    /// Write the generated files: docs/config.*, docs/openapi/*, docs/metrics.md, dashboards,
    /// the chart's copy of the rules.
    Gen {
        /// Only files whose paths begin so, e.g. `deploy/`.
        #[arg(default_value = "")]
        under: String,
    },
    /// Measure against limits of the same run and print the report (docs/benchmarks.md has one).
    #[command(subcommand_required = false)]
    Bench {
        /// Arguments of the benchmark, e.g. `--runs 5 --only refresh`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Harm the whole system under load, and judge what every client was told (docs/faults.md).
    Faults {
        /// Arguments, e.g. `--seed 7 --hours 1`; `--help` shows them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// The whole system as real processes on loopback: up, status, logs, chaos, down.
    Stack {
        /// Arguments of the stack; `--help` shows them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Draw the dashboards' data under a load into docs/pictures; takes some minutes.
    Pictures,
    /// Build what is shipped: static executables, compared, with their components and licences.
    Dist(dist::DistArgs),
    #[command(flatten)]
    Part(Part),
}

/// The parts of `check`, one by one.
#[derive(Debug, Subcommand)]
enum Part {
    /// Only the formatting.
    Fmt,
    /// Only the lints, warnings denied.
    Clippy,
    /// Only licences, bans and sources of dependencies.
    Deny,
    /// Only whether the generated files are what `gen` writes.
    Generated,
    /// Only whether the dashboards are what Grafana's published schema says.
    Dashboards,
    /// Only what is below `deploy/`, by the schemas and rules of those who read it.
    Manifests,
}

fn main() -> Result<()> {
    match Cli::parse() {
        Cli::Test(args) => test::test(&args),
        Cli::Tools => test::tools(),
        Cli::Check => {
            check(&Part::Fmt)?;
            check(&Part::Clippy)?;
            check(&Part::Deny)?;
            check(&Part::Generated)?;
            check(&Part::Dashboards)?;
            check(&Part::Manifests)
        }
        Cli::Part(part) => check(&part),
        Cli::Faults { arguments } => faults(arguments),
        Cli::Stack { arguments } => test::stack(&arguments),
        Cli::Gen { under } => generate::write(&under),
        Cli::Dist(args) => dist::dist(&args),
        Cli::Pictures => pictures(),
        Cli::Bench { arguments } => {
            run(cargo([
                "build",
                "--release",
                "--package",
                "sso-server",
                "--package",
                "sso-bench",
            ]))?;
            let mut bench = cargo([
                "run",
                "--release",
                "--quiet",
                "--package",
                "sso-bench",
                "--",
            ]);
            bench.args(arguments);
            run(bench)
        }
    }
}

fn faults(arguments: Vec<String>) -> Result<()> {
    tools::ensure_servers()?;
    kafka::ensure()?;
    let mut build = cargo(["build", "--release"]);
    for package in ["sso-server", "welcome", "loyalty", "sso-faults"] {
        build.args(["--package", package]);
    }
    run(build)?;
    let mut faults = cargo([
        "run",
        "--release",
        "--quiet",
        "--package",
        "sso-faults",
        "--",
    ]);
    faults.args(arguments);
    run(faults)
}

/// The test of all panels draws them, where it is told to.
fn pictures() -> Result<()> {
    test::tools()?;
    let mut build = cargo(["build"]);
    for package in ["sso-server", "welcome", "loyalty"] {
        build.args(["--package", package]);
    }
    run(build)?;
    let mut draw = cargo(["test", "--package", "sso-server", "--test", "it"]);
    draw.args(["on_the_whole_every_panel_has_data", "--", "--nocapture"]);
    draw.env(
        "SSO_PICTURES",
        std::path::absolute(root().join("docs/pictures"))?,
    );
    run(draw)
}

fn check(part: &Part) -> Result<()> {
    match part {
        Part::Fmt => run(cargo(["fmt", "--all", "--check"])),
        Part::Clippy => run(cargo([
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "--deny",
            "warnings",
        ])),
        Part::Deny => {
            tools::ensure_cargo_deny()?;
            run(cargo(["deny", "check", "licenses", "bans", "sources"]))
        }
        Part::Generated => generate::compare(),
        Part::Dashboards => grafana::check(),
        Part::Manifests => manifests::check(),
    }
}
