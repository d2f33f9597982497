//! `sso migrate`: the schema of the database.

use clap::{Args, Subcommand};
use serde_json::json;
use sso_store_sqlite::{Limits, MigrationStatus, Role, Settings, SqliteStore};

use super::{Output, output};
use crate::{
    config::Loaded,
    exit::{Exit, Failed},
    wiring::of_open,
};

#[derive(Debug, Subcommand)]
pub(super) enum MigrateCommand {
    /// Bring the schema to this version.
    Up(OutputArgs),
    /// Show the schema's version and what is not applied yet.
    Status(OutputArgs),
}

#[derive(Debug, Args)]
pub(super) struct OutputArgs {
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Runs one of the commands.
pub(super) fn run(loaded: &Loaded, command: &MigrateCommand) -> Result<Exit, Failed> {
    let folder = &loaded.config.data_dir;
    let args = match command {
        MigrateCommand::Up(args) => {
            let (folder, limits) = (folder.clone(), Limits::default());
            let settings = Settings {
                folder,
                role: Role::Command,
                migrate: true,
                limits,
            };
            SqliteStore::open(&settings).map_err(|error| of_open(&error))?;
            args
        }
        MigrateCommand::Status(args) => args,
    };
    let status = MigrationStatus::of(folder).map_err(|error| of_open(&error))?;
    match args.output {
        Output::Json => output::print_line(
            &json!({
                "current": status.current,
                "latest": status.latest,
                "pending": status.pending,
            })
            .to_string(),
        ),
        Output::Text => {
            output::print_line(&format!("schema {} of {}", status.current, status.latest));
            for name in &status.pending {
                output::print_line(&format!("pending: {name}"));
            }
        }
    }
    Ok(Exit::Success)
}
