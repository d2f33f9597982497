//! `sso db copy`: out of the embedded database.

use std::{
    process::{Output, Stdio},
    time::Duration,
};

use http::StatusCode;
use rusqlite::{Connection, params};
use serde_json::Value;
use sso_testkit::{persona::Persona, servers::Postgres};

use super::*;
use crate::support::{eventually, eventually_within, site};

/// Of the password `test`.
const TEST: &str = "$2a$10$thBhIpjEmH22GNr9dxhbbeMwnG16sIATjtNR6vahFUhy7wf0r58NC";

fn embedded() -> Result<Site> {
    let mut site = site()?;
    site.set("SSO__HTTP__PUBLIC_URL", "https://sso.example.com");
    Ok(site)
}

/// The site that goes on: on `url`, with the master key of the old one.
fn successor(old: &Site, url: &str) -> Result<Site> {
    let mut site = on(url)?;
    site.unset("SSO__KEYS__MASTER_KEY").set(
        "SSO__KEYS__MASTER_KEY_FILE",
        old.data_dir().join("master.key").display(),
    );
    Ok(site)
}

fn database(site: &Site) -> Result<Connection> {
    Ok(Connection::open(site.data_dir().join("sso.db"))?)
}

fn refused(output: &Output, code: i32, part: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(part), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "one sentence: {said}");
}

fn report(text: &str) -> Result<Vec<(String, u64)>> {
    let report: Value = serde_json::from_str(text)?;
    let tables = report["tables"].as_array().context("no tables")?;
    Ok(tables
        .iter()
        .map(|table| {
            let name = table["table"].as_str().unwrap_or_default().to_owned();
            (name, table["rows"].as_u64().unwrap_or_default())
        })
        .collect())
}

fn id(kind: u8, number: u32) -> [u8; 16] {
    // Version 7.
    let mut id = [
        0x01, 0x90, kind, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 0,
    ];
    id[12..].copy_from_slice(&number.to_be_bytes());
    id
}

/// Users with a session each, without the cost of their hashes.
fn populate(site: &Site, users: u32) -> Result<()> {
    let mut database = database(site)?;
    let transaction = database.transaction()?;
    for number in 0..users {
        let email = format!("User{number}@example.com");
        transaction.execute(
            "INSERT INTO users VALUES (?1, ?2, lower(?2), 0, ?3, NULL, NULL, 0, 0, 1, 0, ?4)",
            params![id(1, number), email, TEST, 1_700_000_000_000_000_i64],
        )?;
        transaction.execute(
            "INSERT INTO sessions VALUES (?1, ?2, 1, 3, ?3, ?3, 9000000000000000, NULL, NULL, NULL)",
            params![id(2, number), id(1, number), 1_700_000_000_000_000_i64],
        )?;
    }
    Ok(transaction.commit()?)
}

/// What no client of ours would write, and a database can hold.
fn odd_values(site: &Site) -> Result<()> {
    let (user, session) = (id(3, 0), id(4, 0));
    let database = database(site)?;
    database.execute(
        "INSERT INTO users VALUES (?1, ?2, lower(?2), 1, ?3, ?4, '1900-01-01', 1, 1, ?5, ?5, ?6)",
        params![
            user,
            "O'D\"d+%_tab@EXAMPLE.com",
            TEST,
            "\\N \\. ''\u{1F600} e\u{301} \u{202E}",
            (1_i64 << 40) + 7,
            -2_208_988_800_000_001_i64
        ],
    )?;
    database.execute(
        "INSERT INTO sessions VALUES (?1, ?2, 1, ?3, -1, 253402300799999999, 253402300799999999, 0,
                                      '2001:db8::ffff:0:1', '')",
        params![session, user, i64::MAX],
    )?;
    for network in [0, 1, u64::MAX / 2 + 7, u64::MAX - 1] {
        database.execute(
            "INSERT INTO known_networks VALUES (?1, ?2, 0)",
            params![user, network.to_be_bytes()],
        )?;
    }
    database.execute(
        "INSERT INTO outbox (sequence, id, user_id, shard, kind, payload, status, attempts,
                             created_at, skipped_at)
         VALUES (1000000, ?1, ?1, 7, 'registration', x'', 'Failed', 2147483647, 0, 5)",
        params![id(5, 0)],
    )?;
    database.execute(
        "INSERT INTO audit (at, action, result, actor, actor_name, address, times, detail)
         VALUES (0, 'x', 'refused', 'service', 'n', '::ffff:1.2.3.4', 4294967295, '')",
        [],
    )?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_moves_and_goes_on_where_it_was() -> Result<()> {
    let server = Postgres::shared().await?;
    let url = server.database("copy_whole").await?;
    let old = embedded()?;
    let serving = old.serve().await?;
    let register = async |name| Persona::register(&serving.http, name).await;
    let (mut alice, mut bob) = (register("alice").await?, register("bob").await?);
    let (carol, dave, erin) = (
        register("carol").await?,
        register("dave").await?,
        register("erin").await?,
    );
    bob.refresh().await?;
    let (ended, mut changed) = (carol.clone(), dave.clone());
    assert_eq!(
        carol.logout(&carol.access, false).await?.status,
        StatusCode::OK
    );
    let changing = changed.change_password("another long secret").await?;
    assert_eq!(changing.status, StatusCode::OK);
    old.run_ok(&["user", "delete", &erin.id, "--yes"])?;
    old.run_ok(&["user", "set-admin", &bob.id])?;
    assert_eq!(
        alice.try_login("not the password").await?.status,
        StatusCode::UNAUTHORIZED
    );

    let copy = ["db", "copy", "--to", &url, "--output", "json"];
    refused(&old.run(&copy)?, 69, "a server runs on the data folder");
    drop(serving);
    odd_values(&old)?;
    // Not delivered yet, in this order.
    let waiting = "UPDATE outbox SET status = 'inProgress', delivered_at = NULL
                   WHERE sequence IN (SELECT sequence FROM outbox ORDER BY sequence LIMIT 2)";
    assert_eq!(database(&old)?.execute(waiting, [])?, 2);
    let pending = old.run_ok(&[
        "events",
        "list",
        "--status",
        "inProgress",
        "--output",
        "json",
    ])?;
    let pending: Value = serde_json::from_str(&pending)?;

    refused(
        &old.run(&copy)?,
        78,
        "--to has schema 0 and this program needs 2",
    );
    let new = successor(&old, &url)?;
    let said = report(&old.run_ok(&[&copy[..], &["--dry-run"]].concat())?)?;
    let copied = report(&old.run_ok(&copy)?)?;
    assert_eq!(said, copied);
    let rows = |name: &str| {
        copied
            .iter()
            .find(|(table, _)| table == name)
            .map(|(_, n)| *n)
    };
    assert_eq!(
        (rows("keys"), rows("users"), rows("deleted_users")),
        (Some(2), Some(5), Some(1))
    );
    assert_eq!(rows("known_networks").map(|n| n >= 4), Some(true));
    assert!(rows("revocations") >= Some(3), "{copied:?}");
    refused(&old.run(&["serve"])?, 78, "goes on there");
    refused(&old.run(&["user", "list"])?, 78, "moved-to");
    refused(
        &old.run(&copy)?,
        1,
        "--to is not empty: there is something in keys",
    );

    let serving = new.serve().await?;
    (alice, bob) = (alice.at(&serving.http), bob.at(&serving.http));
    assert_eq!(alice.info().await?.status, StatusCode::OK);
    // His role was changed after it was signed.
    assert_eq!(bob.info().await?.status, StatusCode::UNAUTHORIZED);
    for persona in [&mut alice, &mut bob] {
        assert_eq!(persona.refresh().await?.status, StatusCode::OK);
        assert_eq!(persona.login().await?.status, StatusCode::OK);
        assert_eq!(persona.info().await?.status, StatusCode::OK);
    }
    assert_eq!(bob.info().await?.json()["is_admin"], true);
    let (ended, dave) = (ended.at(&serving.http), dave.at(&serving.http));
    assert_eq!(ended.info().await?.status, StatusCode::UNAUTHORIZED);
    assert_eq!(dave.info().await?.status, StatusCode::UNAUTHORIZED);
    let password = |password: &'static str| dave.try_login(password);
    assert_eq!(
        password("the secret of dave").await?.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        password("another long secret").await?.status,
        StatusCode::OK
    );
    assert_eq!(
        erin.at(&serving.http).info().await?.status,
        StatusCode::UNAUTHORIZED
    );
    // Numbers go on after those that came.
    Persona::register(&serving.http, "frank").await?;

    delivered_once(&new, &pending).await
}

/// What waited on the old site is delivered by the new one, each once.
async fn delivered_once(new: &Site, pending: &Value) -> Result<()> {
    let pending: Vec<_> = pending
        .as_array()
        .context("no list")?
        .iter()
        .filter_map(|event| event["event_id"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(pending.len(), 2);
    let delivered = |id: &String| {
        let log = new.log().unwrap_or_default();
        log.lines()
            .filter(|line| line.contains("event delivered") && line.contains(&**id))
            .count()
    };
    eventually("what waited is delivered", async || {
        Ok(pending.iter().all(|id| delivered(id) > 0))
    })
    .await?;
    let list = new.run_ok(&[
        "events",
        "list",
        "--status",
        "inProgress",
        "--output",
        "json",
    ])?;
    assert_eq!(list.trim(), "[]");
    assert_eq!(pending.iter().map(delivered).collect::<Vec<_>>(), [1, 1]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_killed_goes_on_and_nobody_serves_the_half() -> Result<()> {
    let server = Postgres::shared().await?;
    let url = server.database("copy_killed").await?;
    let execute = async |sql: &str| server.node.execute_in("copy_killed", sql).await;
    let old = embedded()?;
    drop(old.serve().await?);
    populate(&old, 4000)?;
    let new = successor(&old, &url)?;
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
                  $$ BEGIN PERFORM pg_sleep(0.001); RETURN NEW; END $$;
                CREATE TRIGGER slow BEFORE INSERT ON sessions FOR EACH ROW EXECUTE FUNCTION slow()";
    execute(slow).await?;
    let copy = ["db", "copy", "--to", &url, "--output", "json"];
    let mut child = old
        .command(&copy)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let progress = "SELECT read_rows FROM copy_progress WHERE name = 'sessions'";
    eventually_within(Duration::from_secs(30), "a page of sessions", async || {
        Ok(matches!(
            execute(progress).await.as_deref().map(str::trim),
            Ok("1000" | "2000")
        ))
    })
    .await?;
    // Beside it nobody may, on either side.
    refused(&old.run(&["serve"])?, 69, "another server already runs");
    refused(&new.run(&["serve"])?, 78, "has not finished filling");
    child.kill()?;
    child.wait()?;
    refused(&new.run(&["user", "list"])?, 78, "has not finished filling");
    execute("DROP TRIGGER slow ON sessions").await?;
    let rows = execute("SELECT count(*) FROM sessions").await?;
    let rows: u32 = rows.trim().parse()?;
    assert!((1000..4000).contains(&rows), "{rows}");

    // Somebody worked on the source meanwhile.
    let rename = "UPDATE users SET name = ?1 WHERE id = ?2";
    database(&old)?.execute(rename, params![Some("x"), id(1, 7)])?;
    refused(&old.run(&copy)?, 1, "a part of another copy: its users");
    database(&old)?.execute(rename, params![None::<String>, id(1, 7)])?;

    let said = old.run_ok(&copy)?;
    assert!(said.contains("\"resumed\":true"), "{said}");
    let copied = report(&said)?;
    for table in ["users", "sessions"] {
        assert!(copied.contains(&(table.to_owned(), 4000)), "{copied:?}");
        let count = execute(&format!("SELECT count(*) FROM {table}")).await?;
        assert_eq!(count.trim(), "4000");
    }
    let serving = new.serve().await?;
    let body = serde_json::json!({ "email": "user3999@example.com", "password": "test" });
    let reply = serving.http.post("/auth/login", &body).await?;
    assert_eq!(reply.status, StatusCode::OK);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_target_changes_is_seen_and_never_served() -> Result<()> {
    let server = Postgres::shared().await?;
    let url = server.database("copy_changed").await?;
    let old = embedded()?;
    drop(old.serve().await?);
    populate(&old, 3)?;
    let new = successor(&old, &url)?;
    let planted = "CREATE FUNCTION planted() RETURNS trigger LANGUAGE plpgsql AS
                     $$ BEGIN NEW.generation := NEW.generation + 1; RETURN NEW; END $$;
                   CREATE TRIGGER planted BEFORE INSERT ON sessions
                     FOR EACH ROW WHEN (NEW.generation = 3) EXECUTE FUNCTION planted()";
    server.node.execute_in("copy_changed", planted).await?;
    let copy = ["db", "copy", "--to", &url];
    refused(&old.run(&copy)?, 65, "sessions differ: 3 rows");
    refused(&new.run(&["serve"])?, 78, "has not finished filling");
    drop(old.serve().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_sealed_under_the_master_key_of_the_new_site() -> Result<()> {
    let server = Postgres::shared().await?;
    let url = server.database("copy_resealed").await?;
    let old = embedded()?;
    let serving = old.serve().await?;
    let alice = Persona::register(&serving.http, "alice").await?;
    drop(serving);
    let new = on(&url)?;
    std::fs::write(old.folder().join("new.key"), format!("{MASTER_KEY}\n"))?;
    let copy = ["db", "copy", "--to", &url, "--master-key-file", "new.key"];
    let said = old.run_ok(&copy)?;
    assert!(said.contains("a file with the new master key"), "{said}");
    assert!(!said.contains(&MASTER_KEY[..20]), "{said}");
    let serving = new.serve().await?;
    let mut alice = alice.at(&serving.http);
    assert_eq!(alice.info().await?.status, StatusCode::OK);
    assert_eq!(alice.refresh().await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_cannot_be_is_one_sentence() -> Result<()> {
    let server = Postgres::shared().await?;
    let url = server.database("copy_refused").await?;
    let old = embedded()?;
    let copy = ["db", "copy", "--to", &url];
    refused(&old.run(&copy)?, 78, "there is no database in");
    let usage = old.run(&["db", "copy", "--to", "mysql://u:top-secret@h/d"])?;
    refused(&usage, 64, "--to is no URL such as");
    assert!(!String::from_utf8_lossy(&usage.stderr).contains("top-secret"));
    drop(old.serve().await?);
    let target = on(&url)?;
    let serving = target.serve().await?;
    refused(
        &old.run(&copy)?,
        1,
        "--to is not empty: there is something in keys",
    );
    refused(
        &target.run(&copy)?,
        78,
        "database.url is not the embedded database",
    );
    drop(serving);
    let nobody = "postgres://u:top-secret@127.0.0.1:1/d";
    let output = old.run(&["db", "copy", "--to", nobody])?;
    refused(&output, 69, "--to: no server can be reached");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("top-secret"));
    std::fs::write(old.data_dir().join("master.key"), format!("{MASTER_KEY}\n"))?;
    let output = old.run(&copy)?;
    refused(&output, 78, "give the master key of this database");
    Ok(())
}
