//! `sso migrate`: the schema of the database.

use clap::Subcommand;
use serde_json::json;

use super::{Output, OutputArgs, output};
use crate::{
    config::Loaded,
    exit::{Exit, Failed},
    wiring,
};

#[derive(Debug, Subcommand)]
pub(super) enum MigrateCommand {
    /// Bring the schema to this version.
    Up(OutputArgs),
    /// Show the schema's version and what is not applied yet.
    Status(OutputArgs),
}

/// Runs one of the commands.
pub(super) fn run(loaded: &Loaded, command: &MigrateCommand) -> Result<Exit, Failed> {
    let (args, up) = match command {
        MigrateCommand::Up(args) => (args, true),
        MigrateCommand::Status(args) => (args, false),
    };
    let status = wiring::block_on(async {
        if up {
            wiring::migrate(&loaded.config).await?;
        }
        wiring::migration_status(&loaded.config).await
    })?;
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
