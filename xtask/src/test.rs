//! The tests: all of them, those of what is shipped, and the tour through the whole system.

use std::{env, process::Command};

use anyhow::Result;

use crate::{
    dist, kafka,
    outweigh::{self, First},
    postgres, registries,
    shell::{cargo, run},
    tools,
};

#[derive(Debug, clap::Args)]
pub(crate) struct TestArgs {
    /// Only this package.
    #[arg(short, long)]
    package: Option<String>,
    /// Only what is shipped: builds the static `sso`, starts it in its image's root, weighs it.
    #[arg(long, conflicts_with_all = ["package", "tour"])]
    dist: bool,
    /// Only the tour: everything of `stack up`, used as the README says, with a failover.
    #[arg(long, conflicts_with = "package")]
    tour: bool,
    /// Only those of the PostgreSQL store, on this major version (16, 17, 18).
    #[arg(long, value_name = "MAJOR", conflicts_with_all = ["package", "tour", "dist"])]
    postgres: Option<u32>,
    /// Passed to the test binaries.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Runs the tests that are asked for; without a word, all but the tour, those of the PostgreSQL store once
/// more on its newest version, and a few faults.
pub(crate) fn test(args: &TestArgs) -> Result<()> {
    tools()?;
    if args.tour {
        return tour();
    }
    if args.dist {
        dist::for_tests()?;
        return shipped(&args.arguments);
    }
    if let Some(major) = args.postgres {
        return postgres::test(major, &args.arguments);
    }
    let mut command = cargo(["test", "--no-fail-fast"]);
    match &args.package {
        Some(package) => command.args(["--package", package]),
        None => command.arg("--workspace"),
    };
    command.arg("--").args(&args.arguments);
    // Who names a package or words for the test binaries wants to see these tests, and once.
    if args.package.is_some() || !args.arguments.is_empty() {
        return run(command);
    }
    // Most tests wait for something: what is shipped is built in the time that they leave.
    let building = dist::Beside::begin()?;
    let first = outweigh::test(command);
    let built = building.end();
    // Now that nothing is built any more.
    let all = first.and_then(First::outweighed);
    let newest = postgres::test(postgres::NEWEST, &[]);
    let faults = few_faults();
    let shipped = built.and_then(|()| shipped(&[]));
    let parts = [all, newest, faults, shipped];
    for error in parts.iter().filter_map(|part| part.as_ref().err()) {
        println!("failed: {error:#}");
    }
    parts.into_iter().collect()
}

/// Installs what the tests need.
pub(crate) fn tools() -> Result<()> {
    tools::ensure_servers()?;
    tools::ensure_browser()?;
    tools::ensure_h2spec()?;
    tools::ensure_schemathesis()?;
    registries::ensure_valkey()?;
    registries::ensure_examples()?;
    kafka::ensure()?;
    postgres::ensure(postgres::NEWEST).map(|_| ())
}

/// The fault report's first rounds.
fn few_faults() -> Result<()> {
    // With the features that all packages and their tests want together, as the tests were built:
    // by `--package` half of it would be compiled again.
    let mut build = cargo(["build", "--workspace", "--tests"]);
    for program in ["sso", "welcome", "loyalty", "sso-faults"] {
        build.args(["--bin", program]);
    }
    run(build)?;
    // They lie where we do.
    let mut faults = Command::new(env::current_exe()?.with_file_name("sso-faults"));
    faults.args(["--rounds", "6", "--clients", "6"]);
    run(faults)
}

/// The tests of the executable that is shipped, which was built before.
fn shipped(arguments: &[String]) -> Result<()> {
    // Not by `--package`, as above.
    let mut command = cargo(["test", "--workspace", "--test", "dist", "--"]);
    // One after the other: they measure.
    command
        .args(["--ignored", "--nocapture", "--test-threads", "1"])
        .args(arguments)
        .env("SSO_DIST", dist::folder()?);
    run(command)
}

/// The whole system comes up, is used, and goes down, whatever came of it.
fn tour() -> Result<()> {
    stack(&["up".to_owned()])?;
    let mut command = cargo(["test", "--package", "sso-stack", "--test", "tour", "--"]);
    command.args(["--ignored", "--nocapture"]);
    let toured = run(command);
    let down = stack(&["down".to_owned()]);
    toured?;
    down
}

/// A command of the stack; what `up` needs is built first.
pub(crate) fn stack(arguments: &[String]) -> Result<()> {
    if arguments.first().is_some_and(|verb| verb == "up") {
        tools::ensure_servers()?;
        kafka::ensure()?;
        let mut build = cargo(["build"]);
        for package in ["sso-server", "welcome", "loyalty", "sso-stack"] {
            build.args(["--package", package]);
        }
        run(build)?;
    }
    let mut stack = cargo(["run", "--quiet", "--package", "sso-stack", "--"]);
    stack.args(arguments);
    run(stack)
}
