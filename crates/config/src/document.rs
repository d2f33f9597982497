//! What is generated from the sections: example, schema, manual, and the values in force.

use std::fmt::{self, Write};

use serde_json::Value as Json;
use toml::{Table, Value};

use crate::{
    Sections,
    catalogue::{self, Catalogue, Key, Section},
    kind::Kind,
    load::Loaded,
};

/// Columns of the example.
const WIDTH: usize = 100;

/// What stands before the keys of the example.
fn example_head<C: Sections>() -> String {
    let (program, prefix) = (C::PROGRAM, C::PREFIX);
    format!(
        "# Configuration of `{program}`: every key at its default. Remove the `#` before a key to \
         change it.\n#\n\
         # A variable {prefix}SECTION__KEY overrides this file, a flag overrides both. `{program} \
         config check` says\n\
         # whether all is well; `{program} config show` prints the values in force and where they \
         come from.\n"
    )
}

/// What stands before the keys of the manual.
fn manual_head<C: Sections>() -> String {
    let (program, prefix, file) = (C::PROGRAM, C::PREFIX, C::FILE_VARIABLE);
    format!(
        "# Configuration

Generated from the source by `cargo xtask gen`; do not edit.

Values come from, each overriding those above it:

1. the built-in defaults;
2. a TOML file, named by `--config` or by the variable `{file}`;
3. variables `{prefix}SECTION__KEY`, such as `{prefix}HTTP__LISTEN`;
4. flags: `--set http.listen=127.0.0.1:8080`.

Lists in variables and flags are separated by commas; durations are written `15m`, `10s`, `500ms`.
A secret can be kept in a file: its twin with `_file` at the end names the file, whose last line
break does not count. Of the two the one that comes later in the list above is in force; both from one
source are a problem.

A key or a variable `{prefix}..` that does not exist is a problem, as is a value out of its bounds.
All problems are reported at once, and `{program}` ends with code 78 before it opens anything. `{program}
config check` does only that; `{program} config show` prints the values in force and where each comes
from.
{}",
        if C::DEVELOPMENT.is_empty() {
            String::new()
        } else {
            format!(
                "
**Development mode** is on without any setting (no file, no variable `{prefix}..` or `{file}`, no flag), or with
`--dev`. All listeners must be on loopback addresses then, and these defaults change:

"
            )
        }
    )
}

/// The JSON schema of the configuration file (draft 2020-12). Editors complete and check by it.
pub fn schema<C: Sections>() -> Json {
    catalogue::schema::<C>()
}

/// A configuration file with every key and its manual, commented out at its default.
pub fn example_toml<C: Sections>() -> String {
    let mut out = example_head::<C>();
    for section in &Catalogue::new::<C>().sections {
        ignore(write_example(&mut out, section));
    }
    out
}

/// The manual in Markdown: `docs/config.md`.
pub fn manual_md<C: Sections>() -> String {
    let mut out = manual_head::<C>();
    for (key, value) in C::DEVELOPMENT {
        ignore(writeln!(out, "- `{key}` is `{value}`"));
    }
    for section in &Catalogue::new::<C>().sections {
        ignore(write_manual(&mut out, section));
    }
    out
}

/// The values in force as TOML, each with where it comes from. Secrets are shown as `<set>`.
pub fn show<C: Sections>(loaded: &Loaded<C>) -> String {
    let values = Table::try_from(&loaded.config).unwrap_or_default();
    let mut out = String::new();
    if loaded.development {
        out.push_str("# Development mode.\n");
    }
    for section in &Catalogue::new::<C>().sections {
        ignore(write_shown(&mut out, section, &values, loaded));
    }
    out
}

fn write_example(out: &mut String, section: &Section) -> fmt::Result {
    if !section.name.is_empty() {
        writeln!(out)?;
        comment(out, &section.text)?;
        writeln!(out, "[{}]", section.name)?;
    }
    for key in &section.keys {
        writeln!(out)?;
        comment(out, &key.text)?;
        comment(out, &format!("Value: {}", about(key, "")))?;
        match &key.default {
            Some(default) => writeln!(out, "#{} = {default}", key.name)?,
            None => writeln!(out, "# {} = ...", key.name)?,
        }
    }
    Ok(())
}

fn write_manual(out: &mut String, section: &Section) -> fmt::Result {
    let title = if section.name.is_empty() {
        "Without a section"
    } else {
        &section.name
    };
    writeln!(out, "\n## {title}")?;
    if !section.text.is_empty() {
        writeln!(out, "\n{}", section.text)?;
    }
    for key in &section.keys {
        writeln!(out, "\n### `{}`\n\n{}\n", key.path, key.text)?;
        writeln!(out, "- Value: {}", about(key, "`"))?;
        match &key.default {
            Some(default) => writeln!(out, "- Default: `{default}`")?,
            None => writeln!(out, "- Default: none")?,
        }
        writeln!(out, "- Variable: `{}`", key.variable)?;
    }
    Ok(())
}

fn write_shown<C>(
    out: &mut String,
    section: &Section,
    values: &Table,
    loaded: &Loaded<C>,
) -> fmt::Result {
    let values = if section.name.is_empty() {
        values
    } else {
        writeln!(out, "\n[{}]", section.name)?;
        match values.get(&section.name) {
            Some(Value::Table(values)) => values,
            _ => return Ok(()),
        }
    };
    for key in &section.keys {
        let origin = loaded.origins.of(&key.path);
        match values.get(&key.name) {
            Some(value) => writeln!(out, "{} = {value} # {origin}", key.name)?,
            None => writeln!(out, "# {} is not set", key.name)?,
        }
    }
    Ok(())
}

/// What a value may be; each choice with its meaning.
fn about(key: &Key, tick: &str) -> String {
    match &key.kind {
        Kind::Choice(choices) => choices
            .iter()
            .map(|choice| format!("{tick}{}{tick}: {}", choice.name, choice.text))
            .collect::<Vec<_>>()
            .join(" "),
        kind => format!("{kind}."),
    }
}

/// Comment lines of at most [`WIDTH`] columns, words permitting.
fn comment(out: &mut String, text: &str) -> fmt::Result {
    // None: there is no line yet.
    let mut column = None;
    for word in text.split_whitespace() {
        let length = word.chars().count() + 1;
        let fits = column.filter(|column| column + length <= WIDTH);
        if fits.is_none() {
            let end = if column.is_some() { "\n" } else { "" };
            write!(out, "{end}#")?;
        }
        write!(out, " {word}")?;
        column = Some(fits.unwrap_or(1) + length);
    }
    writeln!(out)
}

/// Writing to a string does not fail.
fn ignore(_: fmt::Result) {}
