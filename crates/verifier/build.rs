//! Compiles the two clients that a verifier is.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../../proto";
    let files = ["auth.proto", "sso/v1/revocations.proto"];
    for file in files {
        println!("cargo:rerun-if-changed={root}/{file}");
    }
    tonic_prost_build::configure()
        .build_server(false)
        // It holds a token.
        .skip_debug([".auth.ValidateRequest"])
        .compile_fds(protox::compile(files, [root])?)?;
    Ok(())
}
