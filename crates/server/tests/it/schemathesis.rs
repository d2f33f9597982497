//! Both OpenAPI documents, tried by <https://schemathesis.readthedocs.io> as each role: whatever it
//! makes up, the server answers as the document says.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use sso_testkit::persona::Persona;

use crate::support::{site, unique};

/// From the PATH or as `cargo xtask test` installs it.
fn schemathesis() -> Result<Command> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools");
    let installed = tools.join("schemathesis/bin/schemathesis");
    for program in [Path::new("schemathesis"), &installed] {
        let mut command = Command::new(program);
        let version = command.arg("--version").stdout(Stdio::null()).status();
        if version.is_ok_and(|status| status.success()) {
            return Ok(Command::new(program));
        }
    }
    anyhow::bail!("schemathesis is missing: `cargo xtask test` installs it where there is Python")
}

/// Tries the document at `path` with the access token of a role, or with none.
fn holds(address: SocketAddr, path: &str, more: &[&str], token: Option<&str>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = format!("http://{address}");
    let mut command = schemathesis()?;
    command
        .current_dir(folder.path())
        .args(["run", &format!("{server}{path}"), "--url", &server])
        .args(["--checks", "all", "--max-examples", "10", "--seed", "1"])
        .args(more);
    if let Some(token) = token {
        command.args(["--header", &format!("Authorization: Bearer {token}")]);
    }
    let output = command.output().context("schemathesis")?;
    let report = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{path}: {report}");
    ensure!(report.contains("generated"), "nothing was tried: {report}");
    Ok(())
}

#[tokio::test]
async fn the_documents_tell_every_answer_to_every_role() -> Result<()> {
    let mut site = site()?;
    // What is tried is what is said, not how often; and no schema can list the common passwords.
    site.set("SSO__THROTTLE__ENABLED", false)
        .set("SSO__PASSWORDS__REFUSE_COMMON", false);
    let server = site.serve().await?;
    let user = Persona::register(&server.http, &unique()).await?;
    let mut admin = Persona::register(&server.http, &unique()).await?;
    site.run_ok(&["user", "set-admin", &admin.email])?;
    admin.login().await?;

    let roles = [None, Some(user.access.as_str()), Some(&admin.access)];
    let of_protobuf = [
        // A string of proto3 says nothing of what is in it.
        "--exclude-checks",
        "positive_data_acceptance",
        // Others wrote its document.
        "--exclude-path-regex",
        "^/grpc[.]health[.]",
    ];
    for token in roles {
        holds(server.http_address, "/swagger/doc.json", &[], token)?;
        holds(server.grpc_address, "/sw/doc.json", &of_protobuf, token)?;
    }
    Ok(())
}
