//! A limit of open files that is too low.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use anyhow::Result;
use sso_testkit::{persona::Persona, process::Site};
use tokio::net::TcpStream;

use super::{a_newcomer_is_served, logged, sockets};
use crate::support::{SSO, eventually_within};

/// A site whose server may open so many files.
fn limited(folder: &tempfile::TempDir, files: u32) -> Result<Site> {
    let script = folder.path().join("sso");
    let text = format!("#!/bin/sh\nulimit -n {files}\nexec {SSO} \"$@\"\n");
    fs::write(&script, text)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Site::new(script)
}

#[tokio::test]
async fn with_64_open_files_the_service_goes_on_and_recovers() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let site = limited(&folder, 64)?;
    let server = site.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    logged(&site, "fewer connections than are configured")?;
    let before = sockets(&server)?;

    let mut holders = Vec::new();
    for number in 0..300 {
        let address = [server.http_address, server.grpc_address][number % 2];
        holders.push(TcpStream::connect(address).await?);
        if number % 50 == 49 {
            a_newcomer_is_served(&server).await?;
            assert_eq!(alice.info().await?.status, 200);
        }
    }
    drop(holders);
    let gone = async || Ok(sockets(&server)? <= before);
    eventually_within(Duration::from_secs(10), "the sockets are closed", gone).await?;
    a_newcomer_is_served(&server).await?;
    Persona::register(&server.http, "bob").await?;
    Ok(())
}
