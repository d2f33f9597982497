//! Links what an idle instance runs side by side: a page of the program's file is resident once
//! anything in it was run, with the 64 KiB around it.

use std::{env, path::Path};

/// Written by `cargo xtask dist --resident`.
const SCRIPT: &str = "resident.ld";
/// Set where it is built to be shipped. Elsewhere nobody knows the linker: some take no such script.
const WANTED: &str = "SSO_LINK_RESIDENT";

fn main() {
    println!("cargo::rerun-if-changed={SCRIPT}");
    println!("cargo::rerun-if-env-changed={WANTED}");
    if env::var_os(WANTED).is_some() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(SCRIPT);
        println!("cargo::rustc-link-arg-bin=sso=-T{}", script.display());
    }
}
