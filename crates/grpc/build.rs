//! Compiles the service without protoc, and keeps its descriptors, comments included, for
//! reflection, JSON and the documents.

use std::{env, error::Error, fs, path::Path};

const ROOT: &str = "../../proto";
/// Messages that hold a secret: they get a `Debug` of their own, which does not show it.
const SECRET: [&str; 7] = [
    "RegisterRequest",
    "LoginRequest",
    "LoginResponse",
    "RefreshRequest",
    "RefreshResponse",
    "LogoutRequest",
    "ValidateRequest",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={ROOT}/auth.proto");
    let mut compiler = protox::Compiler::new([ROOT])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(["auth.proto"])?;

    let out = env::var("OUT_DIR")?;
    fs::write(
        Path::new(&out).join("descriptors.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    tonic_prost_build::configure()
        .build_client(false)
        .codec_path("crate::codec::Codec")
        .skip_debug(SECRET.map(|name| format!(".auth.{name}")))
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
