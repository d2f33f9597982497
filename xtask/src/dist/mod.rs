//! What is shipped: static executables, with what they consist of.
//!
//! Everything lies in `target/dist`: the programs, `rootfs` and `data` (what an image has besides),
//! for each program `<name>.cdx.json` (CycloneDX) and for all of them
//! `THIRD-PARTY-LICENSES.txt`; with `--deb` Debian packages, with `--image` images.

mod beside;
mod build;
mod documents;
mod licenses;
mod packages;
mod resident;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};

pub(crate) use self::beside::Beside;
use crate::shell::root;

/// Named so that proc-macros and build scripts stay dynamic.
pub(crate) const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A program, the package that it is built from, and the folder of that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    name: &'static str,
    package: &'static str,
    folder: &'static str,
}

const SSO: Program = Program {
    name: "sso",
    package: "sso-server",
    folder: "crates/server",
};
const PROGRAMS: [Program; 3] = [
    SSO,
    Program {
        name: "welcome",
        package: "welcome",
        folder: "services/welcome",
    },
    Program {
        name: "loyalty",
        package: "loyalty",
        folder: "services/loyalty",
    },
];

#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
#[derive(Debug, clap::Args)]
pub(crate) struct DistArgs {
    /// Build a second time, from nothing, and fail unless every byte is the same.
    #[arg(long)]
    compare: bool,
    /// Without the lists of components and licences.
    #[arg(long)]
    no_documents: bool,
    /// Only what the tests want: `sso`, and what its image has besides.
    #[arg(long, exclusive = true)]
    for_tests: bool,
    /// Only write `crates/server/resident.ld` anew: which functions lie together because an idle
    /// `sso` runs them, found by a tracer.
    #[arg(long, exclusive = true)]
    resident: bool,
    /// Also Debian packages, whose content is checked.
    #[arg(long)]
    deb: bool,
    /// Also archives of images, as `docker load` takes them; needs buildah.
    #[arg(long)]
    image: bool,
}

/// Builds everything that is shipped.
pub(crate) fn dist(args: &DistArgs) -> Result<()> {
    if args.for_tests {
        return for_tests();
    }
    let dist = folder()?;
    if args.resident {
        return resident::write(&dist);
    }
    build::build(&PROGRAMS, &dist)?;
    if args.compare {
        build::compare(&PROGRAMS, &dist)?;
    }
    root_file_system(&dist)?;
    // The packages have the documents in them.
    if !args.no_documents || args.deb {
        documents::write(&PROGRAMS, &dist)?;
        licenses::write(&PROGRAMS, &dist)?;
    }
    if args.deb {
        packages::debian(&PROGRAMS, &dist)?;
    }
    if args.image {
        packages::images(&PROGRAMS, &dist)?;
    }
    Ok(())
}

/// Builds `sso` as it is shipped and what its image has besides: all that its tests want.
pub(crate) fn for_tests() -> Result<()> {
    let dist = folder()?;
    build::build(&[SSO], &dist)?;
    root_file_system(&dist)
}

/// Where all of it lies.
pub(crate) fn folder() -> Result<PathBuf> {
    let dist = root().join("target/dist");
    fs::create_dir_all(&dist)?;
    Ok(fs::canonicalize(dist)?)
}

/// What an image has besides the program: roots of trust, a name for its user, room for data.
fn root_file_system(dist: &Path) -> Result<()> {
    let folder = dist.join("rootfs");
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
    // Beside the rest: whoever makes the image gives it to the user.
    let data = dist.join("data");
    fs::create_dir_all(&data)?;
    Ok(fs::set_permissions(
        data,
        fs::Permissions::from_mode(0o700),
    )?)
}
