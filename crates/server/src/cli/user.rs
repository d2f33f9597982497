//! `sso user`: works on the database, also beside a running server.

use std::{
    io::{self, BufRead, IsTerminal},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use sso_core::{
    Caller, Fields, Sso,
    ports::store::UserPage,
    usecases::{
        administer::{self, Change, Changed},
        audit::MAX_LISTED,
        register::{self, Register},
    },
    values::UserId,
};
use zeroize::Zeroizing;

use super::{OutputArgs, WaitArgs, erase, import, output};
use crate::{
    config::Loaded,
    exit::{Exit, Failed},
    wiring::{self, Wait},
};

/// Longest line that is read as a password.
const MAX_LINE: u64 = 4096;

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Add a user; his password is asked for, or read from a file or standard input.
    Add {
        /// His e-mail address.
        email: String,
        /// His name.
        #[arg(long)]
        name: Option<String>,
        /// His day of birth, YYYY-MM-DD.
        #[arg(long)]
        birthday: Option<String>,
        /// Grant the admin role.
        #[arg(long)]
        admin: bool,
        #[command(flatten)]
        password: PasswordArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List users by time of registration.
    List {
        /// Only those after this user id.
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// At most this many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_LISTED)))]
        limit: u32,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show a user.
    Show {
        /// His e-mail address or id.
        user: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Disable a user: he may not sign in, and every session of his ends.
    Disable(TargetArgs),
    /// Let a disabled user sign in again.
    Enable(TargetArgs),
    /// Grant the admin role, or take it with --revoke.
    SetAdmin {
        /// Take the role.
        #[arg(long)]
        revoke: bool,
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Delete a user and all that is known of him; his id never comes back.
    #[command(
        after_help = "What stays: his id, that it was deleted, and the records of the audit \
        log with nothing but his\nid. An event that is still to be delivered is delivered, and \
        emptied then.\n\nExamples:\n  sso user export ada@example.com > ada.json\n  \
        sso user delete ada@example.com --yes"
    )]
    Delete(erase::DeleteArgs),
    /// Print all that is known of a user as JSON: profile, sessions, events, audit log.
    Export(erase::ExportArgs),
    /// Import users of another system with their password hashes.
    #[command(after_help = import::HELP)]
    Import(import::ImportArgs),
    /// Set a user's password; every session of his ends.
    SetPassword {
        #[command(flatten)]
        target: TargetArgs,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// End every session of a user; he can sign in again.
    EndSessions(TargetArgs),
}

/// Whom a change is for, and whether to wait until everybody obeys.
#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    /// His e-mail address or id.
    user: String,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub(super) struct PasswordArgs {
    /// Read the password from the first line of this file (- is standard input).
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// Runs one of the commands.
pub(super) fn run(loaded: &Loaded, command: UserCommand) -> Result<Exit, Failed> {
    match command {
        UserCommand::Add {
            email,
            name,
            birthday,
            admin,
            password,
            output,
        } => {
            let password = password.read()?;
            let input = register::Input {
                email: Some(&email),
                password: Some(&password),
                name: name.as_deref(),
                birthday: birthday.as_deref(),
            };
            let user = wiring::command(loaded, Wait::No, async |sso, operator| {
                let request = Register::parse(sso, &input, Fields::default())?;
                register::create(sso, operator, request, admin).await
            })?;
            output::print_user(&user, output.output);
        }
        UserCommand::List {
            after,
            limit,
            output,
        } => {
            let after = after.map(|id| UserId::parse(&id)).transpose();
            let after =
                after.map_err(|error| Failed::new(Exit::Usage, format!("--after: {error}")))?;
            let users = wiring::command(loaded, Wait::No, async |sso, operator| {
                Ok(administer::list(sso, operator, UserPage { after, limit }).await?)
            })?;
            output::print_users(&users, output.output);
        }
        UserCommand::Show { user, output } => {
            let user = wiring::command(loaded, Wait::No, async |sso, operator| {
                Ok(administer::find(sso, operator, &user).await?)
            })?;
            output::print_user(&user, output.output);
        }
        UserCommand::Disable(target) => target.change(loaded, Change::Disable)?,
        UserCommand::Enable(target) => target.change(loaded, Change::Enable)?,
        UserCommand::SetAdmin { revoke, target } => {
            let change = if revoke {
                Change::TakeAdmin
            } else {
                Change::GrantAdmin
            };
            target.change(loaded, change)?;
        }
        UserCommand::EndSessions(target) => target.change(loaded, Change::EndSessions)?,
        UserCommand::Delete(args) => return erase::delete(loaded, &args),
        UserCommand::Export(args) => return erase::export(loaded, &args),
        UserCommand::Import(args) => return import::run(loaded, &args),
        UserCommand::SetPassword { target, password } => {
            let password = password.read()?;
            let changed = target.run(loaded, async |sso, operator, user| {
                administer::set_password(sso, operator, user, Some(&password)).await
            })?;
            target.print(&changed, "has a new password, his sessions have ended");
        }
    }
    Ok(Exit::Success)
}

impl TargetArgs {
    fn change(&self, loaded: &Loaded, change: Change) -> Result<(), Failed> {
        let changed = self.run(loaded, async |sso, operator, user| {
            administer::change(sso, operator, user, change).await
        })?;
        self.print(
            &changed,
            match change {
                Change::Disable => "is disabled, his sessions have ended",
                Change::Enable => "is enabled",
                Change::GrantAdmin => "has the admin role",
                Change::TakeAdmin => "has no admin role",
                Change::EndSessions => "has no sessions any more",
            },
        );
        Ok(())
    }

    fn run(
        &self,
        loaded: &Loaded,
        change: impl AsyncFnOnce(&Sso, &Caller, UserId) -> Result<Changed, administer::AdministerError>,
    ) -> Result<Changed, Failed> {
        wiring::command(loaded, self.wait.wait(), async |sso, operator| {
            let user = administer::find(sso, operator, &self.user).await?;
            Ok(change(sso, operator, user.id).await?)
        })
    }

    fn print(&self, changed: &Changed, what: &str) {
        output::print_changed(&changed.user, what, changed.reach, self.output.output);
    }
}

impl PasswordArgs {
    /// From the file, from a prompt without echo, or from the first line of standard input.
    fn read(&self) -> Result<Zeroizing<String>, Failed> {
        match self.password_file.as_deref() {
            Some(path) if path != Path::new("-") => std::fs::File::open(path)
                .and_then(|file| first_line(io::BufReader::new(file)))
                .map_err(|error| unread(format_args!("{}: {error}", path.display()))),
            None if io::stdin().is_terminal() => ask_twice(),
            Some(_) => first_line(io::stdin().lock()).map_err(unread),
            None => given(),
        }
    }
}

/// From standard input, which nobody has named: he may not have thought of a password.
fn given() -> Result<Zeroizing<String>, Failed> {
    let password = first_line(io::stdin().lock()).map_err(unread)?;
    if password.is_empty() {
        return Err(Failed::new(
            Exit::Failure,
            "there is no password on standard input: name a file by --password-file, or run this \
             in a terminal",
        ));
    }
    Ok(password)
}

fn unread(error: impl std::fmt::Display) -> Failed {
    Failed::new(
        Exit::Failure,
        format!("the password cannot be read: {error}"),
    )
}

/// Nobody sees what he types there.
fn ask_twice() -> Result<Zeroizing<String>, Failed> {
    let ask = |prompt: &str| {
        let typed = rpassword::prompt_password(prompt);
        typed.map(Zeroizing::new).map_err(unread)
    };
    let password = ask("Password: ")?;
    if ask("Once more: ")? == password {
        Ok(password)
    } else {
        Err(Failed::new(
            Exit::Failure,
            "the two are not the same: nothing was changed",
        ))
    }
}

fn first_line(reader: impl BufRead) -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::new());
    io::Read::take(reader, MAX_LINE).read_line(&mut line)?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(line)
}
