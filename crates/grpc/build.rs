//! Compiles the service without protoc, and keeps its descriptors, comments included, for
//! reflection, JSON and the documents.

use std::{env, error::Error, fs, path::Path};

const ROOT: &str = "../../proto";
const FILES: [&str; 6] = [
    "auth.proto",
    "sso/v1/users.proto",
    "sso/v1/events.proto",
    "sso/v1/audit.proto",
    "sso/v1/keys.proto",
    "sso/v1/revocations.proto",
];
/// Messages that hold a secret: they get a `Debug` of their own, which does not show it.
const SECRET: [&str; 9] = [
    "auth.RegisterRequest",
    "auth.LoginRequest",
    "auth.LoginResponse",
    "auth.RefreshRequest",
    "auth.RefreshResponse",
    "auth.LogoutRequest",
    "auth.ValidateRequest",
    "sso.v1.CreateUserRequest",
    "sso.v1.SetPasswordRequest",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={ROOT}/{file}");
    }
    let mut compiler = protox::Compiler::new([ROOT])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(FILES)?;

    let out = env::var("OUT_DIR")?;
    fs::write(
        Path::new(&out).join("descriptors.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    tonic_prost_build::configure()
        .build_client(false)
        .codec_path("crate::codec::Codec")
        .skip_debug(SECRET.map(|name| format!(".{name}")))
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
