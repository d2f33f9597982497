//! How `sso user import` is called.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::Output;

/// The manual of the formats.
pub(in crate::cli) const HELP: &str = "\
Each line of the file is a JSON object with these members; the first two are needed:

  email          as he types it; unique without regard to case
  password_hash  argon2 in PHC format ($argon2id$v=19$m=..,t=..,p=..$salt$hash)
                 or bcrypt ($2a$, $2b$, $2y$)
  name           1 to 100 characters
  birthday       YYYY-MM-DD
  is_admin       true or false
  disabled       true or false
  id             a UUID, kept; without one he gets a new one
  created_at     RFC 3339; without one: now

Hashes are kept and replaced at the first login. They are refused beyond argon2
m=262144 (256 MiB), t=10, p=4 and outside of bcrypt cost 4 to 14.

Users whose addresses differ by case only are all reported and none is imported:
say which one it is. Users who are there already are reported and left as they
are, so the same file can be imported again. Nobody gets a registration event.

Exit codes: 0 all imported or there already; 1 some were refused.

Examples:
  sso user import users.jsonl
  sso user import users.jsonl --dry-run
  sso user import users.jsonl --report left.jsonl --checkpoint import.state
  psql -c 'copy users to stdout with csv header' | sso user import --from authloyalty-csv -

  {\"email\":\"ada@example.com\",\"password_hash\":\"$2a$10$...\",\"name\":\"Ada\"}";

#[derive(Debug, Args)]
pub(in crate::cli) struct ImportArgs {
    /// The file; - is standard input.
    pub(super) file: PathBuf,
    /// How it is written.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(super) from: Format,
    /// Write who was not imported to this file, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<PathBuf>,
    /// Keep in this file how far the import came, and go on from there if it exists.
    #[arg(long, value_name = "FILE")]
    pub(super) checkpoint: Option<PathBuf>,
    /// Only say what would be refused by its own faults; import nobody.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub(super) output: Output,
}

/// How users are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(in crate::cli) enum Format {
    /// A JSON object a line.
    #[default]
    JsonLines,
    /// The table `users` of authloyalty as CSV with a header.
    AuthloyaltyCsv,
}
