//! Files that come from the code: written by `gen`, compared by `check`.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::shell::{cargo, output, root};

/// A generated file and the command of `sso` that prints it.
const FILES: [(&str, &[&str]); 5] = [
    ("docs/config.md", &["config", "manual"]),
    ("docs/config.example.toml", &["config", "example"]),
    ("docs/config.schema.json", &["config", "schema"]),
    ("docs/openapi/http.json", &["openapi"]),
    ("docs/openapi/grpc.json", &["openapi", "--port", "grpc"]),
];

/// Writes every generated file.
pub(crate) fn write() -> Result<()> {
    for (path, arguments) in FILES {
        let file = root().join(path);
        fs::create_dir_all(file.parent().context("a file lies in a folder")?)?;
        fs::write(file, print(arguments)?)?;
        println!("wrote {path}");
    }
    Ok(())
}

/// Fails if a generated file is not what `gen` would write.
pub(crate) fn compare() -> Result<()> {
    let mut stale = Vec::new();
    for (path, arguments) in FILES {
        let found = fs::read_to_string(root().join(path)).unwrap_or_default();
        if found != print(arguments)? {
            stale.push(path);
        }
    }
    if !stale.is_empty() {
        bail!(
            "{} not what the code says: run `cargo xtask gen`",
            stale.join(", ")
        );
    }
    println!("{} generated files are what the code says", FILES.len());
    Ok(())
}

fn print(arguments: &[&str]) -> Result<String> {
    let mut command = cargo(["run", "--quiet", "--package", "sso-server", "--"]);
    command.args(arguments);
    output(command)
}
