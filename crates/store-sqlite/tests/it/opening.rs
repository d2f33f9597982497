//! Folders and files that are not as they should be.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use rusqlite::Connection;
use sso_core::ports::store::{Freshness, UserStore as _};
use sso_store_sqlite::{MigrationStatus, OpenError, Role, Settings, SqliteStore};
use sso_testkit::contract::Given;
use tempfile::TempDir;

use crate::support::{open, serving, settings, user};

fn refused(folder: &Path) -> OpenError {
    match open(folder, Role::Server) {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

/// A database with a user, closed.
async fn used() -> TempDir {
    let (store, folder) = serving();
    user(&store, &Given::new(), "alice@example.com").await;
    folder
}

fn change(folder: &TempDir, sql: &str) {
    let raw = Connection::open(folder.path().join("sso.db")).unwrap();
    raw.execute_batch(sql).unwrap();
}

fn as_of(error: &OpenError) -> String {
    error.to_string()
}

#[test]
fn only_the_owner_can_read_what_is_made() {
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("a").join("data");
    let _store = open(&folder, Role::Server).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        names.push(path.file_name().unwrap().to_owned());
    }
    names.sort();
    assert_eq!(
        names,
        [
            "migrate.lock",
            "serve.lock",
            "sso.db",
            "sso.db-shm",
            "sso.db-wal"
        ]
    );
}

#[test]
fn a_folder_that_cannot_be_made_is_told_with_its_name() {
    let parent = TempDir::new().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "no folder").unwrap();
    for folder in [file.clone(), file.join("data")] {
        let error = refused(&folder);
        assert!(matches!(error, OpenError::Folder { .. }), "{error}");
        assert!(as_of(&error).contains("choose another data_dir"), "{error}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"no folder");
}

#[test]
fn a_file_that_is_no_database_is_told_and_left_as_it_is() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("sso.db");
    let content = "not a database at all, ".repeat(1000);
    fs::write(&file, &content).unwrap();
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), content);
}

#[test]
fn a_database_of_another_program_is_told_and_left_as_it_is() {
    let folder = TempDir::new().unwrap();
    change(&folder, "CREATE TABLE notes (text TEXT)");
    let before = fs::read(folder.path().join("sso.db")).unwrap();
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    assert_eq!(fs::read(folder.path().join("sso.db")).unwrap(), before);
}

#[tokio::test]
async fn a_damaged_database_is_told() {
    let folder = used().await;
    let file = folder.path().join("sso.db");
    let mut content = fs::read(&file).unwrap();
    // Keeps the header, destroys the schema behind it.
    content[100..4096].fill(0xff);
    fs::write(&file, &content).unwrap();
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    assert!(as_of(&error).contains("restore a backup"), "{error}");
    assert_eq!(fs::read(&file).unwrap(), content);
}

#[tokio::test]
async fn a_truncated_database_is_told() {
    let folder = used().await;
    let file = fs::File::options()
        .write(true)
        .open(folder.path().join("sso.db"))
        .unwrap();
    file.set_len(4096).unwrap();
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn a_newer_schema_is_served_only_if_it_says_so() {
    const NEWER: &str = "
        INSERT INTO refinery_schema_history VALUES (99, 'later', '2030-01-01T00:00:00Z', '1');
        ALTER TABLE users ADD COLUMN nickname TEXT;";
    let folder = used().await;
    change(&folder, NEWER);
    let store = open(folder.path(), Role::Server).unwrap();
    drop(store);

    change(&folder, "UPDATE compatibility SET min_version = 98");
    let error = refused(folder.path());
    let latest = MigrationStatus::of(folder.path()).unwrap().latest;
    assert!(
        matches!(error, OpenError::Newer { found: 99, needed: 98, known, .. } if known == latest),
        "{error}"
    );
    assert!(as_of(&error).contains("use the newer version"), "{error}");
}

#[tokio::test]
async fn rows_are_read_although_a_newer_schema_has_more_columns() {
    let (store, folder) = serving();
    change(&folder, "ALTER TABLE users ADD COLUMN nickname TEXT");
    let alice = user(&store, &Given::new(), "alice@example.com").await;
    let read = store.user(alice.id, Freshness::Primary).await.unwrap();
    assert_eq!(read, Some(alice));
}

#[test]
fn an_older_schema_is_refused_if_it_may_not_be_migrated() {
    let folder = TempDir::new().unwrap();
    let as_it_is = Settings {
        migrate: false,
        ..settings(folder.path(), Role::Server)
    };
    let Err(error) = SqliteStore::open(&as_it_is) else {
        panic!("it opened");
    };
    let latest = MigrationStatus::of(folder.path()).unwrap().latest;
    assert!(
        matches!(error, OpenError::Behind { found: 0, needed, .. } if needed == latest),
        "{error}"
    );
    assert!(as_of(&error).contains("sso migrate up"), "{error}");

    drop(open(folder.path(), Role::Command).unwrap());
    SqliteStore::open(&as_it_is).unwrap();
}

#[test]
fn the_status_tells_what_is_pending_and_changes_nothing() {
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("data");
    let status = MigrationStatus::of(&folder).unwrap();
    assert_eq!(status.current, 0);
    assert_eq!(status.pending[0], "V1__initial");
    let last = format!("V{}__", status.latest);
    assert!(status.pending.last().unwrap().starts_with(&last));
    assert!(!folder.exists());

    let store = open(&folder, Role::Server).unwrap();
    let running = MigrationStatus::of(&folder).unwrap();
    drop(store);
    assert_eq!(MigrationStatus::of(&folder).unwrap(), running);
    assert_eq!(running.current, status.latest);
    assert!(running.pending.is_empty());
}

#[test]
fn of_many_that_open_a_new_folder_at_once_all_find_it_migrated() {
    let folder = TempDir::new().unwrap();
    std::thread::scope(|scope| {
        let opened: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| open(folder.path(), Role::Command).map(drop)))
            .collect();
        for thread in opened {
            thread.join().unwrap().unwrap();
        }
    });
}
