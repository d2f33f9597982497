//! What is shipped: static executables, built twice and compared, with what they consist of.
//!
//! Everything lies in `target/dist`: the programs, `rootfs` (what the image has besides), for each
//! program `<name>.cdx.json` (CycloneDX) and for all of them `THIRD-PARTY-LICENSES.html`; with
//! `--deb` Debian packages, with `--image` OCI archives.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    shell::{cargo, output, root, run},
    tools,
};

/// A program and the package that it is built from.
const PROGRAMS: [(&str, &str); 3] = [
    ("sso", "sso-server"),
    ("welcome", "welcome"),
    ("loyalty", "loyalty"),
];
/// Largest `sso` that is shipped, in bytes.
const MAX_SSO: u64 = 25_000_000;
/// Named so that proc-macros and build scripts stay dynamic.
const TARGET: &str = "x86_64-unknown-linux-gnu";

#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
#[derive(Debug, clap::Args)]
pub(crate) struct DistArgs {
    /// Build once: do not show that a second build gives the same bytes.
    #[arg(long)]
    no_compare: bool,
    /// Without the lists of components and licences.
    #[arg(long)]
    no_documents: bool,
    /// Also Debian packages.
    #[arg(long)]
    deb: bool,
    /// Also OCI archives of images; needs buildah.
    #[arg(long)]
    image: bool,
}

/// Builds everything that is shipped.
pub(crate) fn dist(args: &DistArgs) -> Result<()> {
    let built = build()?;
    let dist = root().join("target/dist");
    fs::create_dir_all(&dist)?;
    for (program, _) in PROGRAMS {
        fs::copy(built.join(program), dist.join(program))?;
    }
    if !args.no_compare {
        compare(&dist)?;
    }
    check(&dist)?;
    root_file_system(&dist.join("rootfs"))?;
    if !args.no_documents {
        documents(&dist)?;
    }
    if args.deb {
        packages(&dist)?;
    }
    if args.image {
        images(&dist)?;
    }
    Ok(())
}

/// Builds every program once; returns the folder that they lie in.
fn build() -> Result<PathBuf> {
    let root = fs::canonicalize(root())?;
    let target = root.join("target/dist-build");
    let home = std::env::var("CARGO_HOME").or_else(|_| {
        let home = std::env::var("HOME")?;
        Ok::<_, std::env::VarError>(format!("{home}/.cargo"))
    })?;
    // A static glibc has no dlsym: without the backend named, getrandom wants /dev/urandom.
    let flags = [
        "-C target-feature=+crt-static".to_owned(),
        "--cfg getrandom_backend=\"linux_getrandom\"".to_owned(),
        format!("--remap-path-prefix={}=/src", root.display()),
        format!("--remap-path-prefix={home}=/cargo"),
    ];
    let c_flags = format!(
        "-ffile-prefix-map={}=/src -ffile-prefix-map={home}=/cargo",
        root.display()
    );
    let mut command = cargo(["build", "--locked", "--profile", "dist", "--target", TARGET]);
    for (_, package) in PROGRAMS {
        command.args(["--package", package]);
    }
    command
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTFLAGS", flags.join(" "))
        .env("CFLAGS", &c_flags)
        .env("CXXFLAGS", &c_flags)
        // What has a date in it takes this one.
        .env("SOURCE_DATE_EPOCH", "0");
    run(command)?;
    Ok(target.join(TARGET).join("dist"))
}

/// A second build from nothing must give the same bytes.
fn compare(dist: &Path) -> Result<()> {
    fs::remove_dir_all(root().join("target/dist-build"))?;
    let again = build()?;
    for (program, _) in PROGRAMS {
        ensure!(
            fs::read(dist.join(program))? == fs::read(again.join(program))?,
            "{program}: two builds of the same sources differ"
        );
        println!("{program}: built twice, the same bytes");
    }
    Ok(())
}

/// Static, and small enough.
fn check(dist: &Path) -> Result<()> {
    for (program, _) in PROGRAMS {
        let path = dist.join(program);
        let bytes = fs::metadata(&path)?.len();
        let mut ldd = Command::new("ldd");
        // ldd fails on a static executable and says so on standard error.
        let said = ldd.arg(&path).output().context("ldd")?;
        let said = [said.stdout, said.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let is_static = said.contains("statically linked") || said.contains("not a dynamic");
        ensure!(is_static, "{program} is not static: {said}");
        println!("{program}: static, {bytes} bytes");
        if program == "sso" && bytes > MAX_SSO {
            bail!("sso has {bytes} bytes, more than {MAX_SSO}");
        }
    }
    Ok(())
}

/// What an image has besides the program: roots of trust, a name for its user, room for itself.
fn root_file_system(folder: &Path) -> Result<()> {
    let etc = folder.join("etc");
    fs::create_dir_all(etc.join("ssl/certs"))?;
    let roots = Path::new("/etc/ssl/certs/ca-certificates.crt");
    ensure!(
        roots.exists(),
        "{} is missing: install ca-certificates",
        roots.display()
    );
    fs::copy(roots, etc.join("ssl/certs/ca-certificates.crt"))?;
    fs::write(
        etc.join("passwd"),
        "nonroot:x:65532:65532:nonroot:/:/sbin/nologin\n",
    )?;
    fs::write(etc.join("group"), "nonroot:x:65532:\n")?;
    let tmp = folder.join("tmp");
    fs::create_dir_all(&tmp)?;
    fs::set_permissions(&tmp, fs::Permissions::from_mode(0o1777))?;
    Ok(())
}

/// Which crates are in each program, and under which terms.
fn documents(dist: &Path) -> Result<()> {
    tools::ensure_cargo_tool("cargo-cyclonedx", "0.5.9")?;
    tools::ensure_cargo_tool("cargo-about", "0.9.3")?;
    for (program, package) in PROGRAMS {
        let manifest = manifest_of(package)?;
        let mut bom = tools::cargo_tool("cargo-cyclonedx");
        bom.args(["cyclonedx", "--format", "json", "--target", TARGET])
            .args(["--override-filename", program, "--manifest-path"])
            .arg(&manifest);
        run(bom)?;
        // It writes one beside the manifest of every member of the workspace.
        let written = manifest.with_file_name(format!("{program}.json"));
        fs::copy(&written, dist.join(format!("{program}.cdx.json")))?;
        let mut status = Command::new("git");
        status.args(["clean", "--force", "--quiet", "--"]);
        status.arg(format!("*/{program}.json")).current_dir(root());
        run(status)?;
    }
    let mut about = tools::cargo_tool("cargo-about");
    about
        .args([
            "generate",
            "--workspace",
            "--locked",
            "--config",
            "deploy/licenses/about.toml",
        ])
        .args(["--output-file"])
        .arg(dist.join("THIRD-PARTY-LICENSES.html"))
        .arg("deploy/licenses/about.hbs")
        .current_dir(root());
    run(about)
}

fn manifest_of(package: &str) -> Result<PathBuf> {
    let id = output(cargo([
        "locate-project",
        "--message-format",
        "plain",
        "--workspace",
    ]))?;
    let root = Path::new(id.trim())
        .parent()
        .context("a workspace has a folder")?;
    let folder = match package {
        "sso-server" => "crates/server".to_owned(),
        other => format!("services/{other}"),
    };
    Ok(root.join(folder).join("Cargo.toml"))
}

/// A Debian package of each program, with its unit.
fn packages(dist: &Path) -> Result<()> {
    tools::ensure_cargo_tool("cargo-deb", "3.8.0")?;
    for (program, package) in PROGRAMS {
        let mut deb = tools::cargo_tool("cargo-deb");
        deb.args(["deb", "--no-build", "--no-strip", "--package", package])
            .args(["--profile", "dist", "--target", TARGET, "--output"])
            .arg(dist.join(format!("{program}.deb")))
            .env("CARGO_TARGET_DIR", root().join("target/dist-build"))
            .env("SOURCE_DATE_EPOCH", "0")
            .current_dir(root());
        run(deb)?;
    }
    Ok(())
}

/// An OCI archive of each program `FROM scratch`: nothing of Docker, no registry.
fn images(dist: &Path) -> Result<()> {
    tools::ensure_buildah()?;
    let root = fs::canonicalize(root())?;
    for (program, _) in PROGRAMS {
        let mut build = Command::new("buildah");
        build
            .args([
                "build",
                "--isolation",
                "chroot",
                "--layers=false",
                "--timestamp",
                "0",
            ])
            .args(["--storage-driver", "vfs", "--build-arg"])
            .arg(format!("PROGRAM={program}"))
            .args(["--tag", program, "--file"])
            .arg(root.join("deploy/image/Dockerfile.dist"))
            .arg(dist);
        run(build)?;
        let archive = dist.join(format!("{program}.oci.tar"));
        let _ = fs::remove_file(&archive);
        let mut push = Command::new("buildah");
        push.args(["push", "--storage-driver", "vfs", program])
            .arg(format!("oci-archive:{}:{program}", archive.display()));
        run(push)?;
    }
    Ok(())
}
