//! Which crates are in each program: a bill of materials (CycloneDX) beside it.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Program, TARGET};
use crate::{
    shell::{cargo, output, root, run},
    tools,
};

/// Writes `<name>.cdx.json` for each program.
pub(super) fn write(programs: &[Program], dist: &Path) -> Result<()> {
    tools::ensure_cargo_tool("cargo-cyclonedx", "0.5.9")?;
    let root = fs::canonicalize(root())?;
    for program in programs {
        let name = format!("bom-of-{}", program.name);
        let manifest = root.join(program.folder).join("Cargo.toml");
        let mut bom = tools::cargo_tool("cargo-cyclonedx");
        bom.args(["cyclonedx", "--format", "json", "--spec-version", "1.5"])
            .args(["--target", TARGET, "--override-filename", &name])
            .arg("--manifest-path")
            .arg(&manifest)
            .env("SOURCE_DATE_EPOCH", "0");
        run(bom)?;
        let written = manifest.with_file_name(format!("{name}.json"));
        let text = fs::read_to_string(&written)?;
        // Where it was made is nobody's business, and would be another text elsewhere.
        let text = text.replace(&root.display().to_string(), "/src");
        remove(&format!("{name}.json"))?;
        let file = dist.join(format!("{}.cdx.json", program.name));
        fs::write(&file, &text)?;
        check(*program, &text).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

/// The tool writes one beside the manifest of every member of the workspace.
fn remove(name: &str) -> Result<()> {
    let metadata = output(cargo(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    for package in metadata["packages"].as_array().context("no packages")? {
        let manifest = package["manifest_path"].as_str().context("no manifest")?;
        let file = Path::new(manifest).with_file_name(name);
        if file.exists() {
            fs::remove_file(file)?;
        }
    }
    Ok(())
}

/// It is of this program, and has what everybody knows to be in it.
fn check(program: Program, text: &str) -> Result<()> {
    let bom: Value = serde_json::from_str(text)?;
    ensure!(bom["bomFormat"] == "CycloneDX", "not a bill of materials");
    ensure!(bom["metadata"]["component"]["name"] == program.package);
    let components = bom["components"].as_array().context("no components")?;
    for known in ["tokio", "rustls", "libsqlite3-sys", "openssl-src"] {
        let found = components
            .iter()
            .any(|component| component["name"] == known);
        ensure!(found, "{known} is missing");
    }
    let tests = components
        .iter()
        .any(|component| component["name"] == "sso-testkit");
    ensure!(!tests, "what only tests need is in it");
    println!("{}: {} components", program.name, components.len());
    Ok(())
}
