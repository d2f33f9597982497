//! `sso keys`: works on the database, also beside a running server.

use std::{path::PathBuf, sync::Arc};

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use sso_core::{
    ports::store::KeyUse,
    usecases::keys::{self as usecases, Listed, Start},
};
use sso_crypto::{Resealer, SystemRandom};

use super::{Output, OutputArgs, WaitArgs, output};
use crate::{
    config::Loaded,
    exit::{Exit, Failed},
    wiring::{
        self, Wait,
        master_key::{self, Source, Staged},
        of_failure,
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// List the signing keys: those in use, then those retired last.
    List(OutputArgs),
    /// Make new signing keys. They are published now and sign when nobody can hold a JWKS without
    /// them any more (keys.jwks_max_age); old tokens stay good.
    Rotate {
        /// Only keys of this use.
        #[arg(long = "use", value_enum, value_name = "USE")]
        usage: Option<Use>,
        /// Sign within two seconds, after a theft: services that keep the JWKS for its max-age and
        /// do not ask again for an unknown key refuse the new tokens for that long.
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Retire a key: every token that it signed is over at once. The server does it by itself when
    /// no good token of the key is left.
    Retire {
        /// Its kid, as `sso keys list` shows it.
        // One of 64 begins with a hyphen.
        #[arg(allow_hyphen_values = true)]
        kid: String,
        #[command(flatten)]
        wait: WaitArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Seal the signing keys under another master key. The file master.key of the data folder is
    /// replaced; a key that is set by keys.master_key is yours to replace afterwards.
    Reseal {
        /// The file with the new master key: 32 bytes in base64, as `openssl rand -base64 32`
        /// prints.
        #[arg(long, value_name = "FILE")]
        new_master_key_file: PathBuf,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// What keys sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Use {
    /// Access tokens.
    Access,
    /// Refresh tokens.
    Refresh,
}

/// Runs one of the commands.
pub(super) fn run(loaded: &Loaded, command: KeysCommand) -> Result<Exit, Failed> {
    match command {
        KeysCommand::List(args) => {
            let keys = wiring::command(loaded, Wait::No, async |sso, operator| {
                Ok(usecases::list(sso, operator).await?)
            })?;
            print_keys(&keys, args.output);
        }
        KeysCommand::Rotate { usage, now, output } => {
            let usages: &[KeyUse] = match usage {
                Some(Use::Access) => &[KeyUse::Access],
                Some(Use::Refresh) => &[KeyUse::Refresh],
                None => &KeyUse::ALL,
            };
            let start = if now { Start::AtOnce } else { Start::Published };
            let keys = wiring::command(loaded, Wait::No, async |sso, operator| {
                Ok(usecases::rotate(sso, operator, usages, start).await?)
            })?;
            print_keys(&keys, output.output);
        }
        KeysCommand::Retire { kid, wait, output } => {
            let ended = wiring::command(loaded, wait.wait(), async |sso, operator| {
                Ok(usecases::retire(sso, operator, &kid).await?)
            })?;
            print_ended(&ended, output.output);
        }
        KeysCommand::Reseal {
            new_master_key_file,
            output,
        } => reseal(loaded, &new_master_key_file, output.output)?,
    }
    Ok(Exit::Success)
}

fn reseal(loaded: &Loaded, file: &std::path::Path, output: Output) -> Result<(), Failed> {
    let new = Arc::new(master_key::read(file)?);
    let (count, source) = wiring::command_with(loaded, Wait::No, async |parts, operator| {
        let source = parts.keys.source.clone();
        let staged = match &source {
            Source::Folder(folder) => Some(Staged::write(folder, &new)?),
            Source::Setting | Source::SettingFile(_) => None,
        };
        let sealer = Resealer {
            old: parts.keys.workshop.master(),
            new: Arc::clone(&new),
            random: Arc::new(SystemRandom),
        };
        let count = usecases::reseal(&parts.sso, operator, &sealer).await;
        let count = count.map_err(|error| of_failure(error.into()))?;
        if let Some(staged) = staged {
            // If this fails the next start does it: the new key lies beside the old one.
            staged
                .finish()
                .map_err(|error| Failed::new(Exit::Failure, format!("{source}: {error}")))?;
        }
        Ok((count, source))
    })?;
    let replaced = matches!(source, Source::Folder(_));
    match output {
        Output::Json => output::print_line(
            &json!({ "resealed": count, "master_key_replaced": replaced }).to_string(),
        ),
        Output::Text if replaced => output::print_line(&format!(
            "{count} keys are sealed under the new master key; {source} holds it now"
        )),
        Output::Text => output::print_line(&format!(
            "{count} keys are sealed under the new master key; replace it now ({source}), for \
             every server of this database: with the old one none starts"
        )),
    }
    Ok(())
}

fn print_keys(keys: &[Listed], output: Output) {
    match output {
        Output::Json => {
            let keys: Vec<_> = keys.iter().map(key_json).collect();
            output::print_line(&Value::from(keys).to_string());
        }
        Output::Text => {
            for key in keys {
                let since = match key.retired_at {
                    Some(at) => format!("since {}", output::rfc3339(at)),
                    None => format!("signs from {}", output::rfc3339(key.signs_from)),
                };
                output::print_line(&format!(
                    "{:<43}  {:<7}  {:<5}  {:<9}  {since}",
                    key.id,
                    key.usage.as_str(),
                    key.algorithm,
                    key.state.as_str(),
                ));
            }
        }
    }
}

fn print_ended(ended: &usecases::Ended, output: Output) {
    match output {
        Output::Json => {
            let mut value = key_json(&ended.key);
            value["revocation"] = json!(ended.reach.as_str());
            output::print_line(&value.to_string());
        }
        Output::Text => {
            let reach = output::reach(ended.reach);
            output::print_line(&format!("{}: retired; {reach}", ended.key.id));
        }
    }
}

fn key_json(key: &Listed) -> Value {
    json!({
        "kid": key.id,
        "use": key.usage.as_str(),
        "algorithm": key.algorithm,
        "state": key.state.as_str(),
        "created_at": output::rfc3339(key.created_at),
        "signs_from": output::rfc3339(key.signs_from),
        "retired_at": key.retired_at.map(output::rfc3339),
    })
}
