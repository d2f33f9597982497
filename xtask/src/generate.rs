//! Files that come from the code: written by `gen`, compared by `check`.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::{
    grafana,
    shell::{cargo, output, root},
};

/// A generated file and the command of `sso` that prints it.
const PRINTED: [(&str, &[&str]); 6] = [
    ("docs/config.md", &["config", "manual"]),
    ("docs/config.example.toml", &["config", "example"]),
    ("docs/config.schema.json", &["config", "schema"]),
    ("docs/openapi/http.json", &["openapi"]),
    ("docs/openapi/grpc.json", &["openapi", "--port", "grpc"]),
    ("docs/metrics.md", &["metrics"]),
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
    for (path, arguments) in PRINTED.into_iter().filter(|(path, _)| wanted(path)) {
        files.push((path.to_owned(), print(arguments)?));
    }
    Ok(files)
}

fn print(arguments: &[&str]) -> Result<String> {
    let mut command = cargo(["run", "--quiet", "--package", "sso-server", "--"]);
    command.args(arguments);
    output(command)
}
