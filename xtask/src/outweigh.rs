//! A test that failed among all others is tried again, alone.
//!
//! The tests start real servers, two at a time on what may be a busy machine, and some judge how long
//! a thing took. One failure there is outweighed by [`PASSES`] passes in a row, each of them said:
//! whoever reads the output sees which test is unsteady and why it failed. See decision 0040.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Result, anyhow, ensure};

use crate::shell::{cargo, shown};

/// How often in a row a test that failed once must pass.
const PASSES: usize = 3;
/// More failures than so many are no chance: nothing is tried again.
const MOST: usize = 5;

/// What a run of `cargo test` said of its failures.
#[derive(Debug, Default, PartialEq, Eq)]
struct Failures {
    /// The arguments that choose a test binary: `-p sso-server --test it`.
    binaries: Vec<Vec<String>>,
    tests: Vec<String>,
}

/// What a command said, line by line, and whether it succeeded.
struct Run {
    success: bool,
    output: Vec<String>,
    errors: Vec<String>,
}

/// Runs tests. Those that fail are [tried again](First::outweighed) when nothing else runs.
pub(crate) fn test(command: Command) -> Result<First> {
    run(command).map(First)
}

/// Runs one test binary by itself, and what fails of it again.
pub(crate) fn binary(command: impl Fn() -> Command) -> Result<()> {
    let first = run(command())?;
    if first.success {
        return Ok(());
    }
    Failures::read(&first.output, &[]).pass(&[()], |()| command())
}

/// What came of the run of all.
pub(crate) struct First(Run);

impl First {
    /// Tries again what failed. Nothing else is to run beside it.
    pub(crate) fn outweighed(self) -> Result<()> {
        let Run {
            success,
            output,
            errors,
        } = self.0;
        if success {
            return Ok(());
        }
        Failures::read(&output, &errors).tried_again()
    }
}

/// Runs a command whose lines are shown and kept.
fn run(mut command: Command) -> Result<Run> {
    println!("$ {}", shown(&command));
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", shown(&command)))?;
    let stdout = child.stdout.take().context("no stdout")?;
    let stderr = child.stderr.take().context("no stderr")?;
    let errors = thread::spawn(move || passed_on(stderr, std::io::stderr()));
    let output = passed_on(stdout, std::io::stdout())?;
    let errors = errors.join();
    let errors = errors.map_err(|_| anyhow!("the reader of stderr panicked"))??;
    let success = child.wait()?.success();
    Ok(Run {
        success,
        output,
        errors,
    })
}

/// Every line is shown at once, and all of them are returned.
fn passed_on(from: impl Read, mut to: impl Write) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for line in BufReader::new(from).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        writeln!(to, "{line}")?;
        lines.push(line);
    }
    Ok(lines)
}

impl Failures {
    /// Reads the list of tests that libtest prints last, and the one of binaries by cargo.
    fn read(output: &[String], errors: &[String]) -> Self {
        let mut found = Self::default();
        let mut listed = false;
        for line in output {
            match line.strip_prefix("    ") {
                Some(name) if listed && !name.contains(' ') => found.tests.push(name.to_owned()),
                // The first such heading is followed by what the tests printed.
                _ => listed = line == "failures:",
            }
        }
        for line in errors {
            let quoted = line
                .trim()
                .strip_prefix('`')
                .and_then(|line| line.strip_suffix('`'));
            if let Some(binary) = quoted.filter(|quoted| quoted.starts_with("-p ")) {
                let words = binary.split(' ').map(str::to_owned);
                found.binaries.push(words.collect());
            }
        }
        found
    }

    fn tried_again(&self) -> Result<()> {
        self.pass(&self.binaries, |binary| {
            let mut again = cargo(["test"]);
            again.args(binary).arg("--");
            again
        })
    }

    /// Each must pass, by the commands of the binaries that failed.
    fn pass<B>(&self, binaries: &[B], command: impl Fn(&B) -> Command) -> Result<()> {
        ensure!(
            !self.tests.is_empty() && !binaries.is_empty(),
            "the tests ended with an error that is not a test's"
        );
        let names = self.tests.join(", ");
        ensure!(
            self.tests.len() <= MOST,
            "{} tests failed: {names}",
            self.tests.len()
        );
        for pass in 1..=PASSES {
            println!("unsteady? {names}: pass {pass} of {PASSES}");
            let mut passed = 0;
            for binary in binaries {
                let mut again = command(binary);
                again
                    .args(["--exact", "--test-threads", "1"])
                    .args(&self.tests);
                let which = shown(&again);
                let run = run(again)?;
                ensure!(run.success, "failed again: {names}");
                let here = passed_in(&run.output);
                // It failed by itself, with no test's name: it was killed, or ended early.
                ensure!(here > 0, "no test of it: {which}");
                passed += here;
            }
            // A name that was misread chooses nothing, and nothing passes.
            ensure!(
                passed >= self.tests.len(),
                "{passed} tests passed that are named {names}"
            );
        }
        println!("unsteady: failed among all and passed {PASSES} times alone: {names}");
        Ok(())
    }
}

/// How many tests passed, as libtest sums them up: `test result: ok. 3 passed; …`.
fn passed_in(output: &[String]) -> usize {
    let sums = output.iter().filter_map(|line| {
        let sum = line.strip_prefix("test result: ok. ")?;
        sum.split(' ').next()?.parse::<usize>().ok()
    });
    sums.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_last_list_of_libtest_and_the_one_of_cargo_are_read() {
        let output = "test a::passes ... ok
test a::fails ... FAILED

failures:

---- a::fails stdout ----
thread 'a::fails' panicked at x.rs:1:1:
    indented words of a panic

failures:
    a::fails
    b::fails

test result: FAILED. 1 passed; 2 failed;
    not::a::test
";
        let errors = "     Running tests/it/main.rs (target/debug/deps/it-1)
error: test failed, to rerun pass `-p one --test it`
error: 2 targets failed:
    `-p one --test it`
    `-p two --lib`
";
        let found = Failures::read(&lines(output), &lines(errors));
        assert_eq!(found.tests, ["a::fails", "b::fails"]);
        assert_eq!(
            found.binaries,
            [
                vec!["-p", "one", "--test", "it"],
                vec!["-p", "two", "--lib"]
            ]
        );
    }

    #[test]
    fn passes_are_summed_up_over_binaries() {
        let output = "test result: ok. 2 passed; 0 failed; 0 ignored;
test result: FAILED. 7 passed; 1 failed;
test result: ok. 1 passed; 0 failed; 0 ignored;";
        assert_eq!(passed_in(&lines(output)), 3);
    }

    #[test]
    fn what_is_no_failure_of_a_test_is_not_tried_again() {
        let broken = Failures::read(&[], &lines("error: could not compile `one`"));
        assert_eq!(broken, Failures::default());
        assert!(broken.tried_again().is_err());
    }

    #[test]
    fn many_failures_are_no_chance() {
        let many = Failures {
            binaries: vec![vec!["-p".to_owned()]],
            tests: vec!["a".to_owned(); MOST + 1],
        };
        let error = many.tried_again().unwrap_err();
        assert!(error.to_string().starts_with("6 tests failed"), "{error}");
    }
}
