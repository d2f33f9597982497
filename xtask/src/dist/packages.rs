//! What is installed: Debian packages, and images.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Program, SSO, TARGET, build};
use crate::{
    shell::{output, root, run},
    tools,
};

/// A Debian package of each program, with its unit.
pub(super) fn debian(programs: &[Program], dist: &Path) -> Result<()> {
    tools::ensure_cargo_tool("cargo-deb", "3.8.0")?;
    manual(dist)?;
    for program in programs {
        let file = dist.join(format!("{}.deb", program.name));
        let mut deb = tools::cargo_tool("cargo-deb");
        deb.args([
            "deb",
            "--no-build",
            "--no-strip",
            "--package",
            program.package,
        ])
        .args(["--profile", "dist", "--target", TARGET, "--output"])
        .arg(&file)
        .env("CARGO_TARGET_DIR", root().join(build::FOLDER))
        .env("SOURCE_DATE_EPOCH", "0")
        .current_dir(root());
        run(deb)?;
        check(program.name, &file)?;
    }
    Ok(())
}

/// The manual pages, as the program prints them.
fn manual(dist: &Path) -> Result<()> {
    let folder = dist.join("man");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let mut man = Command::new(dist.join(SSO.name));
    man.args(["man", "--dir"]).arg(folder).env_clear();
    output(man).map(drop)
}

/// Has what it is installed for, and nothing that runs before it is configured.
fn check(name: &str, file: &Path) -> Result<()> {
    let mut list = Command::new("dpkg-deb");
    list.arg("--contents").arg(file);
    let list = output(list)?;
    for (mode, path) in [
        ("-rwxr-xr-x", format!("usr/bin/{name}")),
        ("-rw-r--r--", format!("lib/systemd/system/{name}.service")),
        ("-rw-r--r--", format!("usr/lib/sysusers.d/{name}.conf")),
        ("-rw-r--r--", format!("etc/sso/{name}.toml")),
        (
            "-rw-r--r--",
            format!("usr/share/doc/{name}/{name}.cdx.json"),
        ),
    ] {
        let line = list.lines().find(|line| line.ends_with(&path));
        let line = line.with_context(|| format!("{path} is not in the package"))?;
        ensure!(line.starts_with(mode), "{line}: not {mode}");
        ensure!(line.contains(" 0/0 "), "{line}: not of root");
    }
    let mut control = Command::new("dpkg-deb");
    control.arg("--field").arg(file);
    let fields = output(control)?;
    ensure!(fields.contains(&format!("Package: {name}\n")), "{fields}");
    let needs = fields.lines().find(|line| line.starts_with("Depends:"));
    let needs = needs.context("no dependencies")?;
    ensure!(!needs.contains("libc6"), "it is not static: {needs}");
    let mut script = Command::new("dpkg-deb");
    script.args(["--info"]).arg(file).arg("postinst");
    let script = output(script)?;
    ensure!(script.contains("systemd-sysusers"), "{script}");
    ensure!(
        !script.contains("deb-systemd-invoke start"),
        "it starts before it is configured: {script}"
    );
    println!("{name}.deb: {} files", list.lines().count());
    Ok(())
}

/// An archive of an image of each program `FROM scratch`, as `docker load` and `podman load` take
/// it: nothing of Docker, no registry. OCI's own format has no health checks.
pub(super) fn images(programs: &[Program], dist: &Path) -> Result<()> {
    tools::ensure_buildah()?;
    let root = fs::canonicalize(root())?;
    for program in programs {
        let name = program.name;
        let mut build = Command::new("buildah");
        build
            .args(["build", "--isolation", "chroot", "--layers=false"])
            .args([
                "--timestamp",
                "0",
                "--storage-driver",
                "vfs",
                "--format",
                "docker",
            ])
            .arg("--build-arg")
            .arg(format!("PROGRAM={name}"))
            .args(["--tag", name, "--file"])
            .arg(root.join("deploy/image/Dockerfile.dist"))
            .arg(dist);
        run(build)?;
        let archive = dist.join(format!("{name}.image.tar"));
        if archive.exists() {
            fs::remove_file(&archive)?;
        }
        let mut push = Command::new("buildah");
        push.args([
            "push",
            "--storage-driver",
            "vfs",
            "--format",
            "docker",
            name,
        ])
        .arg(format!("docker-archive:{}:{name}", archive.display()));
        run(push)?;
        check_image(name, &archive)?;
    }
    Ok(())
}

/// Everything that an image has, and whose it is.
const IMAGE: [(&str, &str); 9] = [
    ("65532/65532", "data/"),
    ("0/0", "etc/"),
    ("0/0", "etc/group"),
    ("0/0", "etc/passwd"),
    ("0/0", "etc/ssl/"),
    ("0/0", "etc/ssl/certs/"),
    ("0/0", "etc/ssl/certs/ca-certificates.crt"),
    ("0/0", "program"),
    ("0/0", "tmp/"),
];

/// One layer with that in it, run as nobody, asked for its health.
fn check_image(name: &str, archive: &Path) -> Result<()> {
    let read = |member: &str| {
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--to-stdout", "--file"]);
        tar.arg(archive).arg(member);
        output(tar)
    };
    let manifest: Value = serde_json::from_str(&read("manifest.json")?)?;
    let config = manifest[0]["Config"].as_str().context("no configuration")?;
    let config: Value = serde_json::from_str(&read(config)?)?;
    let config = &config["config"];
    ensure!(config["User"] == "65532:65532", "{config}");
    ensure!(config["Entrypoint"] == json!(["/program"]), "{config}");
    let health = json!(["CMD", "/program", "healthcheck"]);
    ensure!(config["Healthcheck"]["Test"] == health, "{config}");
    let layers = manifest[0]["Layers"].as_array().context("no layers")?;
    ensure!(layers.len() == 1, "{} layers", layers.len());
    let layer = layers[0].as_str().context("no layer")?;
    let mut list = Command::new("sh");
    list.args([
        "-c",
        "tar -xOf \"$1\" \"$2\" | tar --numeric-owner -tv",
        "sh",
    ]);
    list.arg(archive).arg(layer);
    let list = output(list)?;
    let found: Vec<(&str, &str)> = list
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.nth(1)?, words.nth(3)?))
        })
        .collect();
    ensure!(found == IMAGE, "{name}: the image has {found:?}");
    println!("{name}: an image of {} files and folders", found.len());
    Ok(())
}
