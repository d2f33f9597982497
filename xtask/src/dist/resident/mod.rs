//! Which functions an idle `sso` runs: they lie side by side in what is shipped.
//!
//! A page of the program's file is resident once anything in it was run, and the kernel maps the 64
//! KiB around it with it. Of 16 MB of code an idle instance runs 3; scattered over all of it they
//! kept 11 resident. So the linker puts them together, by the script that is written here. Names that
//! are no more match nothing, and functions that nobody has traced lie where they would have lain: a
//! script that has aged costs memory, nothing else. The test of what is resident
//! (`cargo xtask test --dist`) says when it has aged too much.

mod map;
mod trace;

use std::{collections::BTreeSet, fmt::Write, fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result};

use self::map::Section;
use super::build;
use crate::shell::root;

/// The linker's script, which the program's build script gives to it.
const SCRIPT: &str = "crates/server/resident.ld";
/// How long it is left idle; everything that comes by itself came by then.
const IDLE: Duration = Duration::from_secs(20);
/// Letters of a section's name that stay. The rest of a long name is types, which would be ten
/// times the text for little less memory.
const LETTERS: usize = 32;

/// Builds `sso`, lets it idle, and writes the script anew.
pub(super) fn write(dist: &Path) -> Result<()> {
    let listing = dist.join("sso.map");
    let program = build::with_map(&listing)?;
    let sections = map::functions(&fs::read_to_string(&listing)?);
    let addresses = sections.iter().map(|section| section.address).collect();
    let reached = trace::reached(idle(&program, dist)?, &addresses, IDLE)?;
    let (count, all) = (reached.len(), sections.len());
    println!("an idle sso runs {count} of {all} functions");
    let run = sections
        .iter()
        .filter(|section| reached.contains(&section.address));
    let file = root().join(SCRIPT);
    fs::write(&file, script(run)).with_context(|| file.display().to_string())?;
    println!("wrote {}", file.display());
    Ok(())
}

/// Serves on the embedded database, on any ports.
fn idle(program: &Path, dist: &Path) -> Result<Command> {
    let data = dist.join("traced");
    if data.exists() {
        fs::remove_dir_all(&data)?;
    }
    let mut command = trace::stopped(program);
    command.arg("serve").arg("--data-dir").arg(&data);
    for port in ["http.listen", "grpc.listen", "admin.listen"] {
        command.args(["--set", &format!("{port}=127.0.0.1:0")]);
    }
    Ok(command)
}

/// Whatever begins like the sections that were run, before the rest of the code.
fn script<'a>(run: impl Iterator<Item = &'a Section>) -> String {
    let beginnings: BTreeSet<&str> = run
        .map(|section| {
            let name = section.name.as_str();
            name.get(..LETTERS).unwrap_or(name)
        })
        .collect();
    let mut text = String::from(
        "/* Written by `cargo xtask dist --resident`: the beginnings of what an idle sso runs. */\n\
         SECTIONS {\n.text.resident : { *(\n",
    );
    for beginning in beginnings {
        let _ = writeln!(text, "{beginning}*");
    }
    text.push_str(") }\n} INSERT BEFORE .text;\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_are_listed_once_and_in_order() {
        let section = |name: &str| Section {
            address: 0,
            name: name.to_owned(),
        };
        let run = [
            section(".text.main"),
            section(".text._ZN4core3ops8function6FnOnce9call_once17h0123456789abcdefE"),
            section(".text._ZN4core3ops8function6FnOnce9call_once17hfedcba9876543210E"),
        ];
        let text = script(run.iter());
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                ".text.resident : { *(",
                ".text._ZN4core3ops8function6FnOn*",
                ".text.main*",
                ") }",
                "} INSERT BEFORE .text;",
            ]
        );
    }
}
