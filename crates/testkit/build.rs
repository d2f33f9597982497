//! Compiles clients of our services by themselves, as a service of somebody else would.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../../proto";
    println!("cargo:rerun-if-changed={root}");
    let files = protox::compile(
        [
            "auth.proto",
            "sso/v1/users.proto",
            "sso/v1/events.proto",
            "sso/v1/audit.proto",
            "sso/v1/keys.proto",
            "sso/v1/revocations.proto",
        ],
        [root],
    )?;
    tonic_prost_build::configure()
        .build_server(false)
        .compile_fds(files)?;
    Ok(())
}
