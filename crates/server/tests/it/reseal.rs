//! Another master key, beside a running server and through crashes.

use std::{fs, path::PathBuf};

use anyhow::Result;
use http::StatusCode;
use serde_json::{Value, json};
use sso_testkit::{persona::Persona, process::Site};

use crate::{
    keys::{keys, published},
    support::{eventually, site},
};

const NEW: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn master(site: &Site) -> PathBuf {
    site.data_dir().join("master.key")
}

fn next(site: &Site) -> PathBuf {
    site.data_dir().join("master.key.next")
}

fn write_new(site: &Site) -> Result<()> {
    Ok(fs::write(
        site.folder().join("new.key"),
        format!("{NEW}\n"),
    )?)
}

const RESEAL: [&str; 4] = ["keys", "reseal", "--new-master-key-file", "new.key"];

#[tokio::test]
async fn the_keys_are_resealed_beside_a_running_server_which_goes_on() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let mut alice = Persona::register(&server.http, "alice").await?;
    let old = fs::read_to_string(master(&site))?;
    write_new(&site)?;
    let said: Value =
        serde_json::from_str(&site.run_ok(&[&RESEAL[..], &["--output", "json"]].concat())?)?;
    assert_eq!(said, json!({ "resealed": 2, "master_key_replaced": true }));
    assert_eq!(fs::read_to_string(master(&site))?.trim(), NEW);
    assert!(!next(&site).exists());

    // The server finds the new key, and with it keys that it has never seen.
    let made = keys(&site, &["rotate", "--use", "access"])?;
    eventually("the new key is published", async || {
        Ok(published(&server)
            .await?
            .iter()
            .any(|kid| made[0]["kid"] == kid.as_str()))
    })
    .await?;
    assert_eq!(alice.refresh().await?.status, StatusCode::OK);
    let ready = server.http.get("/auth/ready", None).await?.json();
    assert_eq!(ready["state"], "ready", "{ready}");

    drop(server);
    let server = site.serve().await?;
    assert_eq!(alice.info().await?.status, StatusCode::OK);
    drop(server);
    fs::write(master(&site), old)?;
    let output = site.run(&["serve"])?;
    assert_eq!(
        output.status.code(),
        Some(78),
        "the old master key opens nothing"
    );
    let log = site.log()? + &String::from_utf8_lossy(&output.stderr);
    assert!(!log.contains(NEW.trim_end_matches('=')));
    Ok(())
}

#[tokio::test]
async fn a_reseal_that_was_cut_off_is_finished_or_forgotten_by_the_next_start() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    drop(server);
    let old = fs::read_to_string(master(&site))?;

    // Before the commit: the new key lies there and opens nothing.
    fs::write(next(&site), format!("{NEW}\n"))?;
    drop(site.serve().await?);
    assert_eq!(fs::read_to_string(master(&site))?, old);

    // After the commit: the new key has not taken the old one's place yet.
    write_new(&site)?;
    site.run_ok(&RESEAL)?;
    fs::rename(master(&site), next(&site))?;
    fs::write(master(&site), &old)?;
    let _server = site.serve().await?;
    assert_eq!(fs::read_to_string(master(&site))?.trim(), NEW);
    assert!(!next(&site).exists());
    assert_eq!(alice.info().await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn a_configured_master_key_is_the_operators_to_replace() -> Result<()> {
    let mut site = site()?;
    let old = "HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    site.set("SSO__KEYS__MASTER_KEY", old);
    let server = site.serve().await?;
    let mut alice = Persona::register(&server.http, "alice").await?;
    write_new(&site)?;
    let said = site.run_ok(&RESEAL)?;
    assert!(said.contains("replace it now (keys.master_key)"), "{said}");
    assert!(!master(&site).exists());
    // It cannot open what it has opened before, and need not.
    eventually("it is told", async || {
        Ok(server.http.get("/auth/ready", None).await?.json()["state"] == "degraded")
    })
    .await?;
    assert_eq!(alice.refresh().await?.status, StatusCode::OK);
    assert_eq!(alice.info().await?.status, StatusCode::OK);
    assert_eq!(site.run(&["keys", "rotate"])?.status.code(), Some(78));
    drop(server);
    site.set("SSO__KEYS__MASTER_KEY", NEW);
    let _server = site.serve().await?;
    assert_eq!(alice.info().await?.status, StatusCode::OK);
    Ok(())
}

#[test]
fn a_new_master_key_that_is_none_changes_nothing() -> Result<()> {
    let site = site()?;
    site.run_ok(&["keys", "list"])?;
    let before = fs::read_to_string(master(&site))?;
    assert_eq!(site.run(&RESEAL)?.status.code(), Some(1), "no such file");
    fs::write(site.folder().join("new.key"), "c2hvcnQ=")?;
    let output = site.run(&RESEAL)?;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("32 bytes in base64") && !said.contains("c2hvcnQ"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(master(&site))?, before);
    assert_eq!(site.run_ok(&["keys", "list"])?.lines().count(), 2);
    Ok(())
}
