//! Starts that must fail: one clear sentence with the remedy, the contract's exit code, and nothing
//! damaged.

use std::{fs, net::TcpListener, os::unix::fs::FileExt, process::Output, time::Duration};

use anyhow::{Context, Result};
use http::StatusCode;
use sso_testkit::{persona::Persona, process::Site};

use crate::support::site;

fn fails(output: &Output, code: i32, sentence: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(sentence), "{sentence:?} is not in {said:?}");
    assert!(!said.contains("panicked"), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "one sentence: {said}");
}

fn serve(site: &Site) -> Result<Output> {
    site.run(&["serve"])
}

#[tokio::test]
async fn a_second_server_on_one_folder_is_refused() -> Result<()> {
    let mut site = site()?;
    let server = site.serve().await?;
    for listen in [
        "SSO__HTTP__LISTEN",
        "SSO__GRPC__LISTEN",
        "SSO__ADMIN__LISTEN",
    ] {
        site.set(listen, "127.0.0.1:0");
    }
    fails(&serve(&site)?, 69, "another server");
    assert_eq!(
        Persona::register(&server.http, "alice")
            .await?
            .info()
            .await?
            .status,
        StatusCode::OK
    );
    Ok(())
}

#[test]
fn a_port_in_use_is_named() -> Result<()> {
    for key in ["HTTP", "GRPC", "ADMIN"] {
        let mut site = site()?;
        let taken = TcpListener::bind("127.0.0.1:0")?;
        let address = taken.local_addr()?;
        site.set(&format!("SSO__{key}__LISTEN"), address);
        let output = serve(&site)?;
        fails(&output, 69, &address.to_string());
        fails(&output, 69, &format!("{}.listen", key.to_lowercase()));
    }
    Ok(())
}

/// TEST-NET-1 (RFC 5737): nobody has it.
#[test]
fn an_address_that_this_machine_has_not_is_told_as_such() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__HTTP__LISTEN", "192.0.2.1:0");
    let sentence = "http.listen: cannot listen on 192.0.2.1:0";
    let output = serve(&site)?;
    fails(&output, 69, sentence);
    fails(&output, 69, "this machine has no such address");
    Ok(())
}

#[test]
fn a_folder_that_cannot_be_made_is_named() -> Result<()> {
    let mut site = site()?;
    let file = site.folder().join("file");
    fs::write(&file, "")?;
    site.set("SSO__DATA_DIR", file.join("data").display());
    fails(&serve(&site)?, 78, "data_dir");
    Ok(())
}

#[tokio::test]
async fn a_corrupt_database_is_left_as_it_is() -> Result<()> {
    let site = site()?;
    let mut server = site.serve().await?;
    // Killed, its write-ahead log would mend the file.
    server.terminate()?;
    server.wait(Duration::from_secs(10)).await?;
    let database = database(&site)?;
    let damaged = vec![b'x'; 8192];
    fs::write(&database, &damaged)?;
    fails(&serve(&site)?, 65, "restore a backup");
    assert_eq!(fs::read(&database)?, damaged);
    Ok(())
}

/// Only its tables: it opens.
#[tokio::test]
async fn a_command_that_meets_a_damaged_page_ends_with_65() -> Result<()> {
    let site = site()?;
    let mut server = site.serve().await?;
    Persona::register(&server.http, "alice").await?;
    server.terminate()?;
    server.wait(Duration::from_secs(10)).await?;
    let database = database(&site)?;
    let connection = rusqlite::Connection::open(&database)?;
    let of_users = "SELECT rootpage FROM sqlite_schema WHERE name = 'users'";
    let page: u32 = connection.query_row(of_users, [], |row| row.get(0))?;
    let bytes: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    drop(connection);
    let file = fs::OpenOptions::new().write(true).open(&database)?;
    let garbage = vec![b'x'; usize::try_from(bytes)?];
    file.write_all_at(&garbage, u64::from(page - 1) * u64::from(bytes))?;
    let output = site.run(&["user", "list"])?;
    for part in [
        "malformed",
        &database.display().to_string(),
        "restore a backup",
    ] {
        fails(&output, 65, part);
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_master_key_is_refused_and_the_right_one_goes_on() -> Result<()> {
    let mut site = site()?;
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    site.set("SSO__KEYS__MASTER_KEY", key);
    let server = site.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    drop(server);

    site.set(
        "SSO__KEYS__MASTER_KEY",
        "HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    );
    let output = serve(&site)?;
    fails(&output, 78, "master key");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("HwECAw"));

    site.set("SSO__KEYS__MASTER_KEY", key);
    let _server = site.serve().await?;
    assert_eq!(alice.info().await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn a_lost_master_key_file_is_not_replaced_by_another() -> Result<()> {
    let site = site()?;
    drop(site.serve().await?);
    fs::remove_file(site.data_dir().join("master.key"))?;
    fails(&serve(&site)?, 78, "master.key");
    assert!(!site.data_dir().join("master.key").exists());
    Ok(())
}

#[test]
fn every_problem_of_the_configuration_is_told_at_once() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__HTTP__LISTEN", "nowhere")
        .set("SSO__TOKENS__ACCESS_TTL", "fifteen minutes")
        .set("SSO__HTTP__LISTN", "127.0.0.1:1")
        .set("SSO__KEYS__MASTER_KEY", "c2hvcnQ=");
    let output = serve(&site)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78));
    for part in [
        "http.listen",
        "tokens.access_ttl",
        "SSO__HTTP__LISTN",
        "keys.master_key",
    ] {
        assert!(said.contains(part), "{part} is not in:\n{said}");
    }
    assert!(!said.contains("c2hvcnQ"), "a secret was told:\n{said}");
    assert!(
        !site.data_dir().exists(),
        "nothing is touched by a wrong configuration"
    );
    Ok(())
}

#[test]
fn wrong_usage_is_64() -> Result<()> {
    let site = site()?;
    assert_eq!(site.run(&["serve", "--nonsense"])?.status.code(), Some(64));
    assert_eq!(site.run(&["user"])?.status.code(), Some(64));
    assert_eq!(site.run(&["--help"])?.status.code(), Some(0));
    Ok(())
}

fn database(site: &Site) -> Result<std::path::PathBuf> {
    fs::read_dir(site.data_dir())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "db"))
        .context("no database in the folder")
}
