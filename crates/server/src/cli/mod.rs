//! The command line.

mod audit;
mod completions;
mod config;
mod db;
mod doctor;
mod erase;
mod events;
mod healthcheck;
mod import;
mod keys;
mod metrics;
mod migrate;
mod openapi;
mod output;
mod top;
mod user;

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use sso_config::cli::{self, EXIT_CODES, key_value};
use sso_store_sqlite::DATABASE;

use crate::{
    config::{self as settings, Config, DatabaseUrl, Loaded, Sources},
    exit::{Exit, Failed},
    serve,
    wiring::Wait,
};

/// Single sign-on: registers people, signs them in, and tells every service who is calling.
///
/// Without a command it serves. Without any setting it serves in development mode: an embedded
/// database in ./data, HTTP on 127.0.0.1:8000, gRPC on 127.0.0.1:44044.
#[derive(Debug, Parser)]
#[command(
    name = "sso",
    version,
    propagate_version = true,
    disable_help_subcommand = true
)]
#[command(
    after_help = format!("Every setting can be given in a file, in a variable SSO__SECTION__KEY, or by --set.\n\
    `sso config example` prints them all with their manual.\n\n{EXIT_CODES}")
)]
struct Cli {
    #[command(flatten)]
    settings: SettingsArgs,

    #[command(subcommand)]
    command: Option<Command>,
}

/// Where settings come from.
#[derive(Debug, Args)]
struct SettingsArgs {
    /// The configuration file (TOML) [env: SSO_CONFIG].
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// One setting, overriding file and variables: --set http.listen=127.0.0.1:8080
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,

    /// The folder of the embedded database and its keys (data_dir).
    #[arg(long, global = true, value_name = "FOLDER")]
    data_dir: Option<String>,

    /// Development mode also with settings: relaxed passwords, loopback only. Never in production.
    #[arg(long, global = true)]
    dev: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve HTTP and gRPC until SIGTERM or SIGINT; then drain and exit 0.
    Serve,
    /// Bring the database to this version, or show where it stands.
    #[command(subcommand)]
    Migrate(migrate::MigrateCommand),
    /// Manage users, also beside a running server.
    #[command(subcommand)]
    User(user::UserCommand),
    /// Show, make and retire signing keys, also beside a running server.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// See events such as registrations, and say what becomes of those that failed.
    #[command(subcommand)]
    Events(events::EventsCommand),
    /// Show who did what to whom, newest first.
    #[command(after_help = audit::HELP)]
    Audit(audit::AuditArgs),
    /// Move everything to another database.
    #[command(subcommand)]
    Db(db::DbCommand),
    /// Check, show and document the configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Say what is wrong with this installation, and how to repair it; exit 1 if anything is.
    #[command(after_help = doctor::HELP)]
    Doctor(doctor::DoctorArgs),
    /// Ask the server of this configuration whether it is ready; exit 0 if so.
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Watch one instance: its rates, latencies and queues, from its metrics.
    #[command(after_help = top::HELP)]
    Top(top::TopArgs),
    /// Print the OpenAPI document of the HTTP API or of the gRPC port.
    Openapi(openapi::OpenapiArgs),
    /// Print the part of docs/metrics.md that is about this program.
    #[command(hide = true)]
    Metrics,
    /// Print the completions for a shell.
    #[command(after_help = "Examples:\n  \
        sso completions bash > /etc/bash_completion.d/sso\n  \
        sso completions zsh > \"${fpath[1]}/_sso\"\n  \
        sso completions fish > ~/.config/fish/completions/sso.fish")]
    Completions(completions::CompletionsArgs),
    /// Print the manual page, or write one for each command.
    #[command(after_help = "Examples:\n  sso man | man -l -\n  \
        sso man --dir /usr/local/share/man/man1")]
    Man(completions::ManArgs),
}

/// How a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Output {
    /// For a person.
    #[default]
    Text,
    /// For a program: one JSON document.
    Json,
}

#[derive(Debug, Args)]
struct OutputArgs {
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, Args)]
struct WaitArgs {
    /// Do not wait until a running server obeys.
    #[arg(long)]
    no_wait: bool,
}

impl WaitArgs {
    fn wait(&self) -> Wait {
        if self.no_wait {
            Wait::No
        } else {
            Wait::Everywhere
        }
    }
}

/// Runs the command line `arguments` and says how it ended.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    cli::run("sso", Cli::try_parse_from(arguments), dispatch)
}

fn dispatch(cli: Cli) -> Result<Exit, Failed> {
    let Cli { settings, command } = cli;
    match command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(&settings.load()?),
        Command::Migrate(command) => migrate::run(&settings.load()?, &command),
        Command::User(command) => stored(&settings.load()?, |loaded| user::run(loaded, command)),
        Command::Keys(command) => stored(&settings.load()?, |loaded| keys::run(loaded, command)),
        Command::Events(command) => {
            stored(&settings.load()?, |loaded| events::run(loaded, command))
        }
        Command::Audit(args) => stored(&settings.load()?, |loaded| audit::run(loaded, &args)),
        Command::Db(command) => db::run(&settings.load()?, &command),
        Command::Doctor(args) => Ok(doctor::run(&settings.load_all(), &args)),
        Command::Config(command) => config::run(&settings, &command),
        Command::Healthcheck(args) => healthcheck::run(&settings.load()?, &args),
        Command::Top(args) => top::run(&settings.load()?, &args),
        Command::Openapi(args) => openapi::run(&args),
        Command::Metrics => metrics::run(),
        Command::Completions(args) => completions::completions(&args, Cli::command()),
        Command::Man(args) => completions::man(&args, Cli::command()),
    }
}

/// Runs a command on what is stored.
fn stored(
    loaded: &Loaded,
    run: impl FnOnce(&Loaded) -> Result<Exit, Failed>,
) -> Result<Exit, Failed> {
    run(loaded).map_err(|failed| located(failed, &loaded.config))
}

/// Damage that is met on the way says neither where it is nor what to do: a use case knows no place. One
/// that is seen at the opening does.
fn located(failed: Failed, config: &Config) -> Failed {
    if failed.exit() != Exit::DataDamaged || !failed.message().contains("the store is damaged") {
        return failed;
    }
    let place = match &config.database.url {
        DatabaseUrl::Sqlite => config.data_dir.join(DATABASE).display().to_string(),
        DatabaseUrl::Postgres(url) => url.to_string(),
    };
    failed.reworded(|said| format!("{place}: {said}: {}", doctor::RESTORE))
}

impl SettingsArgs {
    fn load(&self) -> Result<Loaded, Failed> {
        Ok(settings::load(self.sources())?)
    }

    /// For who wants the problems themselves.
    fn load_all(&self) -> Result<Loaded, settings::Problems> {
        settings::load(self.sources())
    }

    fn sources(&self) -> Sources {
        let mut flags = self.set.clone();
        flags.extend(
            self.data_dir
                .clone()
                .map(|folder| ("data_dir".to_owned(), folder)),
        );
        Sources {
            file: self.config.clone(),
            env: std::env::vars_os().collect(),
            flags,
            dev: self.dev,
        }
    }
}
