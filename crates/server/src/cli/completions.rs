//! `sso completions` and `sso man`: made from the definition of the command line.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
};

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::exit::{Exit, Failed};

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// For which shell.
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Write a page for each command into this folder (made if it is missing), e.g. sso-user-add.1.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

/// Prints the completions.
pub(super) fn completions(args: &CompletionsArgs, mut command: Command) -> Result<Exit, Failed> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "sso", &mut text);
    print(&text)
}

/// Prints the page of `sso`, or writes the pages of all commands.
pub(super) fn man(args: &ManArgs, mut command: Command) -> Result<Exit, Failed> {
    command.build();
    let Some(folder) = &args.dir else {
        return print(&page(command)?);
    };
    fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .map_err(|error| Failed::new(Exit::Failure, format!("{}: {error}", folder.display())))?;
    Ok(Exit::Success)
}

fn page(command: Command) -> Result<Vec<u8>, Failed> {
    let mut text = Vec::new();
    let rendered = Man::new(command).render(&mut text);
    rendered.map_err(|error| Failed::from_error(Exit::Failure, &error))?;
    Ok(text)
}

/// Who has read enough (`sso man | head`) is no failure.
fn print(text: &[u8]) -> Result<Exit, Failed> {
    match io::stdout().lock().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failed::from_error(Exit::Failure, &error))
        }
        _ => Ok(Exit::Success),
    }
}
