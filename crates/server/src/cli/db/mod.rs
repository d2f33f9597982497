//! `sso db`: from one database to another.

mod copy;
mod keys;
mod report;
mod tally;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use sso_store_postgres::servers::ServerUrl;

use super::Output;
use crate::{
    config::Loaded,
    exit::{Exit, Failed},
    wiring,
};

#[derive(Debug, Subcommand)]
pub(super) enum DbCommand {
    /// Move everything from the embedded database to PostgreSQL.
    #[command(after_help = HELP)]
    Copy(CopyArgs),
}

/// The manual of `db copy`.
const HELP: &str = "\
Stop the server first: nobody may work on the embedded database meanwhile, and
nobody can serve the other one until everything is there. That one must be
empty and have its schema: run `sso migrate up` with database.url set to it.

Users, sessions, keys, events with their status and order, revocations and the
audit log are copied; afterwards both sides are read and compared, by the
number of rows and a digest of each table. Tokens that were issued before go on
working. If it is cut off, run it again: it goes on where it was.

Keys stay sealed under the master key of the embedded database, which is then
the keys.master_key of the new site. With --master-key-file they are sealed
under that one.

At last the data folder is marked: no program of ours works on it any more. To
go back to what it was, remove the file moved-to in it.

TLS, timeouts and the password of --to are those of [database].

Examples:
  sso db copy --to postgres://sso@db1/sso?sslmode=verify-full --dry-run
  sso db copy --to postgres://sso@db1/sso?sslmode=verify-full";

#[derive(Debug, Args)]
pub(super) struct CopyArgs {
    /// The empty database, as in database.url; without a password in it, database.password or
    /// database.password_file has it.
    // Parsed by us: a mistake that the parser of arguments finds is printed with its password.
    #[arg(long, value_name = "URL")]
    to: String,
    /// Seal the keys under the master key in this file, which will be that of the new site.
    #[arg(long, value_name = "FILE")]
    master_key_file: Option<PathBuf>,
    /// Only say what would be copied, and what is in the way.
    #[arg(long)]
    dry_run: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Runs one of the commands.
pub(super) fn run(loaded: &Loaded, command: &DbCommand) -> Result<Exit, Failed> {
    let DbCommand::Copy(args) = command;
    let report = wiring::block_on(copy::run(&loaded.config, args))?;
    report.print(args.output);
    Ok(Exit::Success)
}

/// The value may hold a password: it is not repeated.
fn url(text: &str) -> Result<ServerUrl, Failed> {
    let sentence = "--to is no URL such as postgres://sso@db1:5432/sso?sslmode=verify-full";
    text.parse().map_err(|_| Failed::new(Exit::Usage, sentence))
}
