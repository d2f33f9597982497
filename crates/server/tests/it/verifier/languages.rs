//! The examples of `examples/` in other languages, as somebody would start them. `cargo xtask test`
//! fetches their libraries.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use sso_testkit::{
    http::Http,
    persona::Persona,
    process::{Server, free_port},
};

use super::{BOUND, CALLER, known_site};
use crate::support::eventually_within;

/// For a service to start: compiled, or with its libraries imported.
const START: Duration = Duration::from_mins(2);

/// A service that is ended when this is dropped.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn folder(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(of)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(())
}

fn settings(command: &mut Command, server: &Server, address: SocketAddr) -> Result<Service> {
    let child = command
        .env("SSO_ISSUER", format!("http://{}", server.http_address))
        .env("SSO_GRPC_URL", format!("http://{}", server.grpc_address))
        .env("SSO_CALLER_TOKEN", CALLER)
        .env("WHOAMI_LISTEN", address.to_string())
        .stdin(Stdio::null())
        .spawn()?;
    Ok(Service(child))
}

/// Accepts her token, refuses what is none, and refuses hers when it is over.
async fn knows_who_is_calling(server: &Server, address: SocketAddr) -> Result<()> {
    let service = Http::new(address);
    let alice = Persona::register(&server.http, "alice").await?;
    eventually_within(START, "the service answers", async || {
        let reply = service.get("/whoami", Some(&alice.access)).await;
        Ok(reply.is_ok_and(|reply| reply.status == 200))
    })
    .await?;
    let reply = service.get("/whoami", Some(&alice.access)).await?;
    assert_eq!(reply.text("user_id"), alice.id);
    let (signed, _) = alice.access.rsplit_once('.').unwrap_or_default();
    let unsigned = format!("{signed}.");
    for bad in [
        None,
        Some("a.b.c"),
        Some(unsigned.as_str()),
        Some(&*alice.refresh),
    ] {
        assert_eq!(service.get("/whoami", bad).await?.status, 401, "{bad:?}");
    }
    let reply = alice.logout(&alice.access, false).await?;
    assert_eq!(reply.header("x-revocation"), "everywhere");
    let since = Instant::now();
    while service.get("/whoami", Some(&alice.access)).await?.status != 401 {
        ensure!(
            since.elapsed() < BOUND,
            "accepted after {:?}",
            since.elapsed()
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_python_example_knows_who_is_calling() -> Result<()> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/python/bin/python");
    ensure!(
        python.exists(),
        "its libraries are missing: `cargo xtask test` fetches them"
    );
    let server = known_site()?.serve().await?;
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let mut command = Command::new(python);
    command
        .arg(folder("python").join("whoami.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let _service = settings(&mut command, &server, address)?;
    knows_who_is_calling(&server, address).await
}

#[tokio::test]
async fn the_go_example_knows_who_is_calling() -> Result<()> {
    let folder_of_it = tempfile::tempdir()?;
    let program = folder_of_it.path().join("whoami");
    let mut build = Command::new("go");
    build
        .args(["build", "-mod=readonly", "-o"])
        .arg(&program)
        .arg(".")
        .env("GOPROXY", "off");
    run(build.current_dir(folder("go"))).context("`cargo xtask test` fetches its modules")?;
    let server = known_site()?.serve().await?;
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let _service = settings(&mut Command::new(&program), &server, address)?;
    knows_who_is_calling(&server, address).await
}
