//! The command line of a service.

mod dead_letter;
mod healthcheck;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use sso_config::{
    Loaded, Sections, Sources,
    cli::{self, EXIT_CODES, key_value},
    output,
};
use sso_telemetry::Metrics;

use crate::{Common, Configured, Exit, Failed, Service, serve};

/// The commands and settings of a service with the commands `X` of its own.
#[derive(Debug, Parser)]
#[command(propagate_version = true, disable_help_subcommand = true)]
#[command(
    after_help = format!("Every setting can be given in a file, in a variable, or by --set.\n\
    `config example` prints them all with their manual.\n\n{EXIT_CODES}")
)]
struct Cli<X: Subcommand> {
    #[command(flatten)]
    settings: SettingsArgs,

    #[command(subcommand)]
    command: Option<Command<X>>,
}

/// Where settings come from.
#[derive(Debug, Args)]
struct SettingsArgs {
    /// The configuration file (TOML).
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// One setting, overriding file and variables: --set http.listen=127.0.0.1:8080
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
}

#[derive(Debug, Subcommand)]
enum Command<X: Subcommand> {
    /// Consume events and serve HTTP until SIGTERM or SIGINT; then drain and exit 0. The default.
    Serve,
    /// Bring the database to this version, or show where it stands.
    #[command(subcommand)]
    Migrate(MigrateCommand),
    /// Check, show and document the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Ask the service of this configuration whether it is ready; exit 0 if so.
    Healthcheck {
        /// How long to wait, e.g. 2s.
        #[arg(long, default_value = "2s", value_parser = humantime::parse_duration)]
        timeout: Duration,
    },
    /// See the events that can never be handled, and send them again.
    #[command(subcommand)]
    DeadLetter(dead_letter::DeadLetterCommand),
    /// Print the part of docs/metrics.md that is about this program.
    #[command(hide = true)]
    Metrics,
    #[command(flatten)]
    Own(X),
}

#[derive(Debug, Subcommand)]
enum MigrateCommand {
    /// Bring the database to the version that this binary needs.
    Up,
    /// Show the version of the database and the one that this binary needs.
    Status,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say everything that is wrong with the configuration; exit 78 if anything is.
    Check,
    /// Print every setting at its default, with its manual, as TOML.
    Example,
    /// Print the JSON schema of the configuration file.
    Schema,
    /// Print the settings in force and where each comes from; secrets are not shown.
    Show,
}

/// How a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    /// For a person.
    #[default]
    Text,
    /// For a program: one JSON document.
    Json,
}

/// Runs the command line `arguments` and says how it ended.
pub fn run<S: Service>(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let program = <S::Config as Sections>::PROGRAM;
    let command = Cli::<S::Command>::command()
        .name(program)
        .about(S::ABOUT)
        .version(env!("CARGO_PKG_VERSION"));
    let matches = command.try_get_matches_from(arguments);
    let parsed =
        matches.and_then(|mut matches| Cli::<S::Command>::from_arg_matches_mut(&mut matches));
    cli::run(program, parsed, |cli| {
        dispatch::<S>(cli).map(|()| Exit::Success)
    })
}

fn dispatch<S: Service>(cli: Cli<S::Command>) -> Result<(), Failed> {
    let Cli { settings, command } = cli;
    let load = || settings.load::<S::Config>();
    match command.unwrap_or(Command::Serve) {
        Command::Serve => serve::<S>(&load()?.config),
        Command::Migrate(MigrateCommand::Up) => {
            let config = load()?.config;
            let Common {
                database, data_dir, ..
            } = config.common();
            let version = block_on(S::SCHEMA.migrate(database, data_dir))??;
            print(&format!("the database is of version {version}"));
            Ok(())
        }
        Command::Migrate(MigrateCommand::Status) => {
            let config = load()?.config;
            let Common {
                database, data_dir, ..
            } = config.common();
            let (found, needed) = block_on(S::SCHEMA.versions(database, data_dir))??;
            print(&format!(
                "the database is of version {found}, this program needs {needed}"
            ));
            Ok(())
        }
        Command::Config(command) => config::<S::Config>(&command, load),
        Command::Healthcheck { timeout } => {
            let config = load()?.config;
            print(&healthcheck::run(&config, timeout)?);
            Ok(())
        }
        Command::DeadLetter(command) => {
            let config = load()?.config;
            print(&block_on(dead_letter::run(
                config.common().kafka,
                &command,
            ))??);
            Ok(())
        }
        Command::Metrics => metrics::<S>(),
        Command::Own(command) => {
            let config = load()?.config;
            print(&block_on(S::command(&config, command))??);
            Ok(())
        }
    }
}

fn serve<S: Service>(config: &S::Config) -> Result<(), Failed> {
    let wrong = |error: &dyn std::error::Error| Failed::from_error(Exit::Failure, error);
    let common = config.common();
    let traces = common.telemetry.traces();
    let started = sso_telemetry::init(&common.log.into(), traces.as_ref());
    let (_, mut tracing) = started.map_err(|error| wrong(&error))?;
    let metrics = Metrics::install().map_err(|error| wrong(&error))?;
    serve::register_metrics::<S>();
    #[cfg(debug_assertions)]
    obey_failpoint(<S::Config as Sections>::PROGRAM)?;
    block_on(async {
        tracing.start();
        let served = serve::serve::<S>(config, metrics).await;
        tracing.end().await;
        served
    })?
}

/// For tests: `WELCOME_FAILPOINT=effected@3` kills welcome where its mail is sent for the third time.
#[cfg(debug_assertions)]
fn obey_failpoint(program: &str) -> Result<(), Failed> {
    let variable = format!("{}_FAILPOINT", program.to_uppercase());
    sso_events::failpoint::obey(&variable, "effected@3")
        .map_err(|why| Failed::new(Exit::Configuration, why))
}

fn metrics<S: Service>() -> Result<(), Failed> {
    let program = <S::Config as Sections>::PROGRAM;
    let table = sso_telemetry::metrics_table(serve::register_metrics::<S>);
    let table = table.map_err(|error| Failed::from_error(Exit::Failure, &error))?;
    print(&format!("## {program}\n\n{table}"));
    Ok(())
}

fn config<C: Configured>(
    command: &ConfigCommand,
    load: impl FnOnce() -> Result<Loaded<C>, Failed>,
) -> Result<(), Failed> {
    match command {
        ConfigCommand::Check => {
            load()?;
            print("the configuration is good");
        }
        ConfigCommand::Example => print(&sso_config::example_toml::<C>()),
        ConfigCommand::Schema => print(&format!("{:#}", sso_config::schema::<C>())),
        ConfigCommand::Show => print(&sso_config::show(&load()?)),
    }
    Ok(())
}

impl SettingsArgs {
    fn load<C: Sections>(&self) -> Result<Loaded<C>, Failed> {
        let sources = Sources {
            file: self.config.clone(),
            env: std::env::vars_os().collect(),
            flags: self.set.clone(),
            dev: false,
        };
        Ok(sso_config::load(sources)?)
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Failed::from_error(Exit::Failure, &error))?;
    let done = runtime.block_on(future);
    // What still blocks a thread, such as a mail server that says nothing, holds up no end.
    runtime.shutdown_background();
    Ok(done)
}

fn print(text: &str) {
    output::say(text.trim_end());
}
