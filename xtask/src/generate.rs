//! Files that come from the code: written by `gen`, compared by `check`.

use std::{env, fs, process::Command};

use anyhow::{Context, Result, bail};

use crate::{
    grafana,
    shell::{cargo, output, root, run},
};

const SSO: &[&str] = &["sso"];

/// A generated file, the programs that print it, one after another, and the command.
const PRINTED: [(&str, &[&str], &[&str]); 6] = [
    ("docs/config.md", SSO, &["config", "manual"]),
    ("docs/config.example.toml", SSO, &["config", "example"]),
    ("docs/config.schema.json", SSO, &["config", "schema"]),
    ("docs/openapi/http.json", SSO, &["openapi"]),
    (
        "docs/openapi/grpc.json",
        SSO,
        &["openapi", "--port", "grpc"],
    ),
    (
        "docs/metrics.md",
        &["sso", "welcome", "loyalty"],
        &["metrics"],
    ),
];

/// A file and the one that it must equal.
const COPIES: [(&str, &str); 1] = [(
    "deploy/helm/sso/rules.yml",
    "deploy/prometheus/rules/sso.yml",
)];

/// Writes every generated file whose path begins with `under`.
pub(crate) fn write(under: &str) -> Result<()> {
    for (path, text) in files(under)? {
        let file = root().join(&path);
        fs::create_dir_all(file.parent().context("a file lies in a folder")?)?;
        fs::write(file, text)?;
        println!("wrote {path}");
    }
    Ok(())
}

/// Fails if a generated file is not what `gen` would write.
pub(crate) fn compare() -> Result<()> {
    let mut stale = Vec::new();
    let files = files("")?;
    let count = files.len();
    for (path, text) in files {
        let found = fs::read_to_string(root().join(&path)).unwrap_or_default();
        if found != text {
            stale.push(path);
        }
    }
    if !stale.is_empty() {
        bail!(
            "{} not what the code says: run `cargo xtask gen`",
            stale.join(", ")
        );
    }
    println!("{count} generated files are what the code says");
    Ok(())
}

/// The generated files whose paths begin with `under`: path and text.
fn files(under: &str) -> Result<Vec<(String, String)>> {
    let wanted = |path: &str| path.starts_with(under);
    let mut files = grafana::files();
    files.retain(|(path, _)| wanted(path));
    for (path, original) in COPIES.into_iter().filter(|(path, _)| wanted(path)) {
        files.push((path.to_owned(), fs::read_to_string(root().join(original))?));
    }
    let printed: Vec<_> = PRINTED
        .into_iter()
        .filter(|(path, ..)| wanted(path))
        .collect();
    if !printed.is_empty() {
        build()?;
    }
    for (path, programs, arguments) in printed {
        let parts = programs.iter().map(|program| print(program, arguments));
        let parts: Vec<String> = parts.collect::<Result<_>>()?;
        files.push((path.to_owned(), parts.join("\n")));
    }
    Ok(files)
}

/// Builds the programs that print. Not each by itself: what they share would be compiled again.
fn build() -> Result<()> {
    let mut build = cargo(["build", "--quiet"]);
    for package in ["sso-server", "welcome", "loyalty"] {
        build.args(["--package", package]);
    }
    run(build)
}

fn print(program: &str, arguments: &[&str]) -> Result<String> {
    // They lie where we do.
    let mut command = Command::new(env::current_exe()?.with_file_name(program));
    command.args(arguments).current_dir(root());
    output(command)
}
