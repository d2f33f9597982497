//! The executables: static, small enough, and the same bytes each time.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use super::{Program, SSO, TARGET};
use crate::shell::{cargo, output, root, run};

/// Where it is built: apart, since every flag is another than for developers.
pub(super) const FOLDER: &str = "target/dist-build";
/// Largest `sso` that is shipped, in bytes: with the roots of trust the image stays below 25 MB.
const MAX_SSO: u64 = 24_780_000;

/// Builds the programs into `dist` and checks them.
pub(super) fn build(programs: &[Program], dist: &Path) -> Result<()> {
    let built = compile(programs)?;
    for program in programs {
        let file = dist.join(program.name);
        fs::copy(built.join(program.name), &file)?;
        check(*program, &file)?;
    }
    Ok(())
}

/// A second build from nothing must give the same bytes as those that lie in `dist`. In the same
/// folder: OpenSSL has the one that it was built in written into itself.
pub(super) fn compare(programs: &[Program], dist: &Path) -> Result<()> {
    fs::remove_dir_all(root().join(FOLDER))?;
    let again = compile(programs)?;
    for program in programs {
        let same = fs::read(dist.join(program.name))? == fs::read(again.join(program.name))?;
        ensure!(
            same,
            "{}: two builds of the same sources differ; the second lies in {}",
            program.name,
            again.display()
        );
        println!("{}: built twice, the same bytes", program.name);
    }
    Ok(())
}

/// Builds `sso` with a list of what the linker put where; returns the program.
pub(super) fn with_map(list: &Path) -> Result<PathBuf> {
    let mut command = command("rustc")?;
    command
        .args(["--package", SSO.package, "--bin", SSO.name, "--"])
        .arg(format!("-Clink-arg=-Wl,-Map={}", list.display()));
    run(command)?;
    Ok(built()?.join(SSO.name))
}

/// Compiles the programs; returns the folder that they lie in.
fn compile(programs: &[Program]) -> Result<PathBuf> {
    let mut command = command("build")?;
    for program in programs {
        command.args(["--package", program.package]);
    }
    run(command)?;
    built()
}

/// The folder of what was built.
fn built() -> Result<PathBuf> {
    let root = fs::canonicalize(root())?;
    Ok(root.join(FOLDER).join(TARGET).join("dist"))
}

/// A command of cargo with the profile of what is shipped, and all its flags.
fn command(name: &str) -> Result<Command> {
    let root = fs::canonicalize(root())?;
    let target = root.join(FOLDER);
    let home = env::var("CARGO_HOME").or_else(|_| {
        let home = env::var("HOME")?;
        Ok::<_, env::VarError>(format!("{home}/.cargo"))
    })?;
    // Where it was built is not in it. Of those that fit the last counts.
    let places = [
        (root.display().to_string(), "/src"),
        (home, "/cargo"),
        (target.display().to_string(), "/build"),
    ];
    let map = |option: &str| {
        let words = places
            .iter()
            .map(|(from, to)| format!("{option}={from}={to}"));
        words.collect::<Vec<_>>().join(" ")
    };
    let flags = [
        "-C target-feature=+crt-static",
        // A static glibc has no dlsym: without the backend named, getrandom wants /dev/urandom.
        "--cfg getrandom_backend=\"linux_getrandom\"",
        // Cargo passes what the release profile says.
        "-C strip=symbols",
        // Addresses that the loader corrects take a bit each instead of 24 bytes: 1.4 MB less.
        // glibc 2.36 or later.
        "-C link-arg=-Wl,-z,pack-relative-relocs",
        &map("--remap-path-prefix"),
    ]
    .join(" ");
    let c_flags = [
        // Nothing unwinds through C. Of C the quick parts are assembler; the rest may be small.
        "-Os -fno-asynchronous-unwind-tables",
        // AES-GCM by AES-NI is quick enough for messages of a few KB; for AVX-512 AWS-LC has 0.7 MB.
        "-DMY_ASSEMBLER_IS_TOO_OLD_FOR_512AVX",
        &map("-ffile-prefix-map"),
    ]
    .join(" ");
    let mut command = cargo([name, "--locked", "--profile", "dist", "--target", TARGET]);
    command
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTFLAGS", flags)
        .env("CFLAGS", &c_flags)
        .env("CXXFLAGS", &c_flags)
        // What an idle instance runs lies together: `crates/server/build.rs`.
        .env("SSO_LINK_RESIDENT", "1")
        // What has a date in it takes this one.
        .env("SOURCE_DATE_EPOCH", "0")
        // What is shipped has the OpenSSL of the lock file in it, not the machine's.
        .env_remove("OPENSSL_NO_VENDOR");
    Ok(command)
}

fn version_of(file: &Path) -> Command {
    let mut version = Command::new(file);
    version.arg("--version").env_clear();
    version
}

/// Static, starts, and is small enough.
fn check(program: Program, file: &Path) -> Result<()> {
    let name = program.name;
    let bytes = fs::metadata(file)?.len();
    // ldd fails on a static executable and says so on standard error.
    let said = Command::new("ldd").arg(file).output().context("ldd")?;
    let said = [said.stdout, said.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let is_static = said.contains("statically linked") || said.contains("not a dynamic");
    ensure!(is_static, "{name} is not static: {said}");
    let version = output(version_of(file)).context("it does not start; glibc before 2.36?")?;
    ensure!(version.starts_with(name), "{version}");
    println!("{name}: static, {bytes} bytes");
    ensure!(
        name != SSO.name || bytes <= MAX_SSO,
        "{name} has {bytes} bytes, more than {MAX_SSO}"
    );
    Ok(())
}
