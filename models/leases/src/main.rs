//! Prints what the model finds, in words.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sso_model_leases::Leases;
use sso_model_leases::config::{Config, Mode};
use sso_model_leases::rules::Rule;
use sso_model_leases::search::{explore, shortest};
use sso_model_leases::settings::{LARGE_WORLDS, WORLDS, setting, world};

const USAGE: &str = "usage: sso-model-leases [--mode sync|async|quorum] (--without RULE | --explore [--large] | --list)";
const PATIENCE: Duration = Duration::from_mins(10);
const MODES: [(&str, Mode); 3] = [
    ("sync", Mode::Synchronous),
    ("async", Mode::Asynchronous),
    ("quorum", Mode::Quorum),
];

enum Command {
    Without(Rule),
    Explore { large: bool },
    List,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let out = &mut io::stdout().lock();
    let done = match parse(&arguments) {
        Ok((mode, Command::Without(rule))) => tell(out, mode, rule),
        Ok((mode, Command::Explore { large })) => count(out, mode, large),
        Ok((_, Command::List)) => list(out),
        Err(problem) => {
            return match writeln!(io::stderr(), "{problem}\n{USAGE}") {
                Ok(()) | Err(_) => ExitCode::from(2),
            };
        }
    };
    if done.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn parse(arguments: &[String]) -> Result<(Option<Mode>, Command), String> {
    let (mut mode, mut command, mut large) = (None, None, false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--mode" => {
                let name = rest.next().ok_or("--mode needs a mode")?;
                let known = MODES.into_iter().find(|(known, _)| known == name);
                mode = Some(known.ok_or_else(|| format!("there is no mode {name}"))?.1);
            }
            "--without" => {
                let name = rest.next().ok_or("--without needs a rule")?;
                let rule = Rule::named(name)
                    .ok_or_else(|| format!("there is no rule {name}; --list tells them"))?;
                command = Some(Command::Without(rule));
            }
            "--explore" => command = Some(Command::Explore { large }),
            "--large" => large = true,
            "--list" => command = Some(Command::List),
            other => return Err(format!("{other} is not known")),
        }
    }
    match command {
        Some(Command::Explore { .. }) => Ok((mode, Command::Explore { large })),
        Some(command) => Ok((mode, command)),
        None => Err("nothing to do".to_owned()),
    }
}

fn tell(out: &mut impl Write, mode: Option<Mode>, rule: Rule) -> io::Result<()> {
    let setting = setting(rule);
    let mode = mode.unwrap_or(setting.mode);
    writeln!(
        out,
        "without {}, {mode:?}, {:?}",
        rule.name(),
        setting.faults
    )?;
    for other in setting.with {
        writeln!(
            out,
            "and without {}, which would stand in for it",
            other.name()
        )?;
    }
    writeln!(out, "promise: {}\n", setting.promise)?;
    let config = setting.broken(mode, rule);
    match shortest(&config, setting.promise, PATIENCE) {
        None => writeln!(out, "it holds"),
        Some(actions) => {
            for (number, step) in Leases::new(config).tell(&actions).iter().enumerate() {
                writeln!(out, "{:3}. {step}", number + 1)?;
            }
            Ok(())
        }
    }
}

fn count(out: &mut impl Write, mode: Option<Mode>, large: bool) -> io::Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    for mode in MODES
        .map(|(_, mode)| mode)
        .into_iter()
        .filter(|&known| mode.is_none_or(|mode| mode == known))
    {
        for faults in WORLDS.iter().chain(LARGE_WORLDS.iter().filter(|_| large)) {
            let config: Config = world(mode, faults);
            let start = Instant::now();
            let found = explore(&config, threads, PATIENCE);
            writeln!(
                out,
                "{mode:?} {faults:?}: {} states, depth {}, {:.1?}; broken {:?}; not reached {:?}",
                found.states,
                found.depth,
                start.elapsed(),
                found.broken,
                found.unreached
            )?;
        }
    }
    Ok(())
}

fn list(out: &mut impl Write) -> io::Result<()> {
    for rule in Rule::ALL {
        writeln!(out, "{}", rule.name())?;
    }
    Ok(())
}
