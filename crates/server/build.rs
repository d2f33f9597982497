//! Links what an idle instance runs side by side: a page of the program's file is resident once
//! anything in it was run, with the 64 KiB around it.

use std::{env, path::Path};

/// Written by `cargo xtask dist --resident`.
const SCRIPT: &str = "resident.ld";

fn main() {
    println!("cargo::rerun-if-changed={SCRIPT}");
    let is = |variable, value: &str| env::var(variable).is_ok_and(|is| is == value);
    // In a debug build each function is another, and nobody weighs it.
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") {
        let folder = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
        let script = Path::new(&folder).join(SCRIPT);
        println!("cargo::rustc-link-arg-bin=sso=-Wl,-T,{}", script.display());
    }
}
