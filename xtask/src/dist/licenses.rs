//! Under which terms what is shipped stands: the texts that lie in the crates themselves, and in
//! the C libraries that some of them bring.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Program, TARGET};
use crate::shell::{cargo, output};

const HEAD: &str = "\
What sso, welcome and loyalty are built from, and the terms of each part, as its authors wrote them.

Besides the crates below the programs contain the standard library of Rust (Apache-2.0 OR MIT) and, linked statically,
the GNU C Library (LGPL-2.1-or-later): `cargo xtask dist` links the same sources with another version of it.
";

/// A crate that is in one of the programs.
struct Part {
    name: String,
    version: String,
    terms: String,
    folder: PathBuf,
}

/// Writes `THIRD-PARTY-LICENSES.txt`; fails if a crate does not say its terms.
pub(super) fn write(programs: &[Program], dist: &Path) -> Result<()> {
    let file = dist.join("THIRD-PARTY-LICENSES.txt");
    fs::write(&file, text(programs)?)?;
    println!("wrote {}", file.display());
    Ok(())
}

/// The crates with their terms, then every text once, with those that it is of.
fn text(programs: &[Program]) -> Result<String> {
    let parts = parts(programs)?;
    let mut text = HEAD.to_owned();
    // By text: most crates have the same few.
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    text.push_str("\nThe crates:\n\n");
    for part in &parts {
        let label = format!("{} {}", part.name, part.version);
        writeln!(text, "{label}: {}", part.terms)?;
        for file in files(&part.folder)? {
            let inner = file.strip_prefix(&part.folder)?.display().to_string();
            let found = String::from_utf8_lossy(&fs::read(&file)?).replace('\r', "");
            let of = texts.entry(found.trim_end().to_owned()).or_default();
            of.insert(format!("{label} ({inner})"));
        }
    }
    for (found, of) in &texts {
        let of = of.iter().cloned().collect::<Vec<_>>().join(", ");
        writeln!(text, "\n{}\n{of}\n\n{found}", "=".repeat(100))?;
    }
    Ok(text)
}

/// The crates of others that the programs are built from, without those of tests, by name.
fn parts(programs: &[Program]) -> Result<Vec<Part>> {
    let mut command = cargo(["metadata", "--format-version", "1", "--locked"]);
    command.args(["--filter-platform", TARGET]);
    let metadata: Value = serde_json::from_str(&output(command)?)?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let packages: BTreeMap<String, Value> = list(&metadata["packages"])
        .into_iter()
        .filter_map(|package| Some((text(&package["id"])?, package)))
        .collect();
    let nodes: BTreeMap<String, Value> = list(&metadata["resolve"]["nodes"])
        .into_iter()
        .filter_map(|node| Some((text(&node["id"])?, node)))
        .collect();
    let is_program = |package: &Value| {
        let mut names = programs.iter().map(|program| program.package);
        names.any(|name| package["name"] == name)
    };
    let mut open: Vec<String> = packages
        .iter()
        .filter(|(_, package)| package["source"].is_null() && is_program(package))
        .map(|(id, _)| id.clone())
        .collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        for edge in list(&nodes.get(&id).context("no such node")?["deps"]) {
            let of_tests = list(&edge["dep_kinds"])
                .iter()
                .all(|kind| kind["kind"] == "dev");
            if !of_tests {
                open.push(text(&edge["pkg"]).context("an edge to nowhere")?);
            }
        }
    }
    let mut parts = Vec::new();
    for id in seen {
        let package = packages.get(&id).context("no such package")?;
        // Ours stand under the licences at the root of the repository.
        if !package["source"].is_null() {
            parts.push(part(package)?);
        }
    }
    parts.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
    Ok(parts)
}

fn part(package: &Value) -> Result<Part> {
    let text = |key: &str| package[key].as_str().map(str::to_owned);
    let name = text("name").context("no name")?;
    let terms = text("license").or_else(|| text("license_file"));
    let manifest = PathBuf::from(text("manifest_path").context("no manifest")?);
    Ok(Part {
        version: text("version").context("no version")?,
        terms: terms.with_context(|| format!("{name} does not say its terms"))?,
        folder: manifest.parent().context("no folder")?.to_owned(),
        name,
    })
}

/// The licences and notices in a crate's folder and in the folders in it: C libraries bring theirs.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            let inner = fs::read_dir(&path)?.filter_map(|entry| Some(entry.ok()?.path()));
            found.extend(inner.filter(|path| path.is_file()));
        } else {
            found.push(path);
        }
    }
    found.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.to_ascii_uppercase();
        let starts = [
            "LICENSE",
            "LICENCE",
            "COPYING",
            "COPYRIGHT",
            "NOTICE",
            "UNLICENSE",
        ];
        let source = [".RS", ".C", ".H", ".PY", ".JSON", ".TOML", ".HTML"];
        starts.iter().any(|start| name.starts_with(start))
            && !source.iter().any(|end| name.ends_with(end))
    });
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::{super::PROGRAMS, *};

    #[test]
    fn every_crate_that_is_shipped_is_there_with_its_texts_and_what_tests_need_is_not() {
        let text = text(&PROGRAMS).unwrap();
        for line in [
            "tokio 1.",
            "(librdkafka/LICENSES.txt)",
            "(openssl/LICENSE.txt)",
            "(aws-lc/LICENSE)",
            "(zstd/LICENSE)",
        ] {
            assert!(text.contains(line), "{line}");
        }
        for line in ["\nproptest ", "\nfantoccini ", "\nsso-core "] {
            assert!(!text.contains(line), "{line}");
        }
        assert!(text.matches(&"=".repeat(100)).count() > 100, "few texts");
    }
}
