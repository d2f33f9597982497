//! Which database, and what goes together.

use super::*;

#[test]
fn postgresql_needs_a_master_key_and_is_not_migrated_by_itself() {
    const URL: &str = "postgres://sso:verysecret@db1:5432,db2/sso?sslmode=require";
    assert_snapshot!(nothing().env("SSO__DATABASE__URL", URL).problems(), @"keys.master_key (default): is needed with PostgreSQL, the same for every instance: set it to what `openssl rand -base64 32` prints");
    let given = || {
        nothing()
            .env("SSO__DATABASE__URL", URL)
            .env("SSO__KEYS__MASTER_KEY", KEY)
    };
    let loaded = given().good();
    assert!(!loaded.config.database.migrate);
    let loaded = given().env("SSO__DATABASE__MIGRATE", "true").good();
    assert!(loaded.config.database.migrate);
    assert!(nothing().good().config.database.migrate);
    let shown = format!("{loaded:?}") + &show(&loaded);
    assert!(shown.contains("postgres://sso@db1:5432,db2:5432/sso?sslmode=require"));
    assert!(!shown.contains("verysecret"));
}

#[test]
fn settings_of_a_database_that_do_not_go_together_are_problems() {
    let replicas = "postgres://sso@r1/sso,postgres://sso@r2/sso";
    let problems = [
        nothing().env("SSO__DATABASE__REPLICAS", replicas),
        nothing().env("SSO__DATABASE__REPLICAS", "sqlite:"),
        nothing()
            .env("SSO__DATABASE__URL", "postgres://db/sso")
            .env("SSO__KEYS__MASTER_KEY", KEY)
            .env("SSO__DATABASE__ACQUIRE_TIMEOUT", "10s")
            .env("SSO__DATABASE__TLS_CERT", "client.pem"),
    ]
    .map(|given| given.problems());
    assert_snapshot!(problems.join("\n"), @r"
    database.replicas (SSO__DATABASE__REPLICAS): is for PostgreSQL: the embedded database (database.url) has no replicas
    database.replicas (SSO__DATABASE__REPLICAS): must be a URL of PostgreSQL such as postgres://sso@replica1:5432/sso?sslmode=verify-full
    database.acquire_timeout (SSO__DATABASE__ACQUIRE_TIMEOUT): must be shorter than http.request_timeout, else the answer is 504
    database.tls_cert (SSO__DATABASE__TLS_CERT): needs database.tls_key beside it
    ");
}
