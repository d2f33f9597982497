//! The program before a migration and the one after it, side by side: with a migration that only
//! these tests know.

use std::{sync::Arc, time::Duration};

use sso_core::ports::{Store, store::UserStore};
use sso_testkit::{contract::Given, servers::Postgres};
use tokio_postgres::NoTls;

use super::*;
use crate::{Limits, PostgresStore, servers::Settings};

/// As a migration has to be: it adds, with defaults, and takes nothing away.
const ADDS: &str = "
    ALTER TABLE users ADD COLUMN nickname text;
    ALTER TABLE sessions ADD COLUMN device text NOT NULL DEFAULT 'unknown';
    CREATE TABLE devices (id uuid PRIMARY KEY)";

const NEXT: Schema = Schema {
    migrations: &[MIGRATIONS[0], MIGRATIONS[1], (3, "V3__adds", ADDS)],
    indexes: &[(
        "users_nickname",
        "CREATE INDEX CONCURRENTLY users_nickname ON users (nickname)",
    )],
};

/// Takes away what the program two before it used, and says so.
const AFTER_NEXT: Schema = Schema {
    migrations: &[
        NEXT.migrations[0],
        NEXT.migrations[1],
        NEXT.migrations[2],
        (
            4,
            "V4__takes",
            "ALTER TABLE users DROP COLUMN birthday; UPDATE compatibility SET min_version = 3",
        ),
    ],
    indexes: NEXT.indexes,
};

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_before_a_migration_goes_on_beside_the_one_after_it() {
    let server = Postgres::shared().await.unwrap();
    let url = server.database("beside").await.unwrap();
    let mut settings = Settings::new(url.parse().unwrap());
    settings.connect_timeout = Duration::from_secs(30);
    let store = PostgresStore::open(&settings, Limits::default(), true).await;
    let old: Arc<PostgresStore> = Arc::new(store.unwrap());
    let port: Arc<dyn Store> = old.clone();
    let given = Given::new();
    let alice = given.user(&port, "alice@example.com").await;
    given.session(&port, &alice).await;

    let mut client = connect(&url).await;
    assert!(!NEXT.may_serve(&client, true).await.unwrap());
    let behind = NEXT.may_serve(&client, false).await;
    let Err(SchemaError::Behind {
        found: 2,
        needed: 3,
    }) = behind
    else {
        panic!("{behind:?}");
    };
    NEXT.migrate(&mut client).await.unwrap();
    assert!(NEXT.may_serve(&client, true).await.unwrap());

    // Over the connections, and with the statements, that it has prepared before.
    let row = old.user(alice.id, sso_core::ports::store::Freshness::Primary);
    assert_eq!(row.await.unwrap(), Some(alice.clone()));
    given.session(&port, &alice).await;
    given.user(&port, "bob@example.com").await;
    // And it starts again, whether it is told to migrate or not.
    for migrate in [false, true] {
        let again = PostgresStore::open(&settings, Limits::default(), migrate).await;
        let again: Arc<dyn Store> = Arc::new(again.unwrap());
        given.session(&again, &alice).await;
    }
    assert_eq!(current(&client).await.unwrap(), 3);

    AFTER_NEXT.migrate(&mut client).await.unwrap();
    assert!(NEXT.may_serve(&client, false).await.unwrap());
    let refused = OURS.may_serve(&client, false).await;
    let Err(SchemaError::Newer {
        found: 4,
        needed: 3,
        known: 2,
    }) = refused
    else {
        panic!("{refused:?}");
    };
}
