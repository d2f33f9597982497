//! `sso config`: check, show and document the configuration.

use clap::Subcommand;

use super::{SettingsArgs, output};
use crate::{
    config as settings,
    exit::{Exit, Failed},
};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Say everything that is wrong with the configuration; exit 78 if anything is.
    Check,
    /// Print every setting at its default, with its manual, as TOML.
    Example,
    /// Print the manual (docs/config.md).
    Manual,
    /// Print the JSON schema of the configuration file.
    Schema,
    /// Print the settings in force and where each comes from; secrets are not shown.
    Show,
}

/// Runs one of the commands.
pub(super) fn run(args: &SettingsArgs, command: &ConfigCommand) -> Result<Exit, Failed> {
    match command {
        ConfigCommand::Check => {
            args.load()?;
            output::print_line("the configuration is good");
        }
        ConfigCommand::Example => output::print_document(&settings::example_toml()),
        ConfigCommand::Manual => output::print_document(&settings::manual_md()),
        ConfigCommand::Schema => output::print_document(&format!("{:#}", settings::schema())),
        ConfigCommand::Show => output::print_document(&settings::show(&args.load()?)),
    }
    Ok(Exit::Success)
}
