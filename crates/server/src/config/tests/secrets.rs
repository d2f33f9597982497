//! Secrets: read from files, shown nowhere.

use super::*;

#[test]
fn a_secret_can_lie_in_a_file() {
    for text in [KEY.to_owned(), format!("{KEY}\n"), format!("{KEY}\r\n")] {
        let given = nothing();
        let path = given.write("key", &text);
        let given = given.env("SSO__KEYS__MASTER_KEY_FILE", &path);
        let Loaded {
            config, origins, ..
        } = given.good();
        assert_eq!(
            config.keys.master_key.unwrap().key().to_base64().as_str(),
            KEY
        );
        let origin = origins.of("keys.master_key").to_string();
        assert!(
            origin.ends_with("key, named by SSO__KEYS__MASTER_KEY_FILE"),
            "{origin}"
        );
    }
}

/// As with every other key.
#[test]
fn of_a_secret_and_its_file_the_one_of_the_later_source_is_in_force() {
    let other = format!("{}=", "A".repeat(43));
    let given = file("keys.master_key_file = 'missing'").env("SSO__KEYS__MASTER_KEY", KEY);
    let loaded = given.good();
    let origin = loaded.origins.of("keys.master_key").to_string();
    assert_eq!(origin, "SSO__KEYS__MASTER_KEY");
    let given = file(&format!("keys.master_key = '{other}'"));
    let path = given.write("key", KEY);
    let loaded = given.env("SSO__KEYS__MASTER_KEY_FILE", path).good();
    let key = loaded.config.keys.master_key.unwrap();
    assert_eq!(key.key().to_base64().as_str(), KEY);
}

#[test]
fn a_secret_file_is_refused_where_it_is_not_one_secret() {
    let given = file(&format!(
        "keys.master_key = '{KEY}'\nkeys.master_key_file = 'missing'"
    ));
    assert_snapshot!(given.problems(), @r#"keys.master_key (sso.toml:1): is set beside keys.master_key_file (sso.toml:2): one of them must go"#);
    let given = nothing().env("SSO__KEYS__MASTER_KEY_FILE", "missing");
    assert_snapshot!(given.problems(), @r#"keys.master_key_file (SSO__KEYS__MASTER_KEY_FILE): cannot be read: No such file or directory (os error 2)"#);
    let given = nothing();
    let path = given.write("key", &format!("{KEY}\n\n"));
    assert_snapshot!(given.env("SSO__KEYS__MASTER_KEY_FILE", path).problems(), @r#"keys.master_key (key, named by SSO__KEYS__MASTER_KEY_FILE): must be the base64 of exactly 32 random bytes, as `openssl rand -base64 32` prints"#);
    let given = nothing();
    let path = given.write("key", &"A".repeat(100_000));
    assert_snapshot!(given.env("SSO__KEYS__MASTER_KEY_FILE", path).problems(), @r#"keys.master_key_file (SSO__KEYS__MASTER_KEY_FILE): cannot be read: it is longer than 65536 bytes"#);
}

#[test]
fn a_secret_is_shown_nowhere() {
    let given = nothing().env("SSO__KEYS__MASTER_KEY", KEY);
    let loaded = given.good();
    for text in [format!("{loaded:?}"), show(&loaded)] {
        assert!(
            !text.contains("c2Vjc") && !text.contains("[115, 101"),
            "{text}"
        );
    }
    assert!(show(&loaded).contains("master_key = \"<set>\" # SSO__KEYS__MASTER_KEY\n"));

    // Too short, of a wrong type, beside a syntax error, in a key that does not exist.
    let short = &KEY[..40];
    let problems = [
        nothing().env("SSO__KEYS__MASTER_KEY", short),
        nothing().flag("keys.master_key", short),
        file(&format!("[keys]\nmaster_key = ['{KEY}']")),
        file(&format!("[keys]\nmaster_key = '{KEY}")),
        file(&format!("[keys]\nmaster_kye = '{KEY}'")),
        nothing().env("SSO__DATABASE__URL", format!("mysql://sso:{KEY}@db/sso")),
    ]
    .map(|given| given.problems());
    assert!(!problems.concat().contains("c2Vjc"));
    assert_snapshot!(problems.join("\n"), @r#"
    keys.master_key (SSO__KEYS__MASTER_KEY): must be the base64 of exactly 32 random bytes, as `openssl rand -base64 32` prints
    keys.master_key (command line): must be the base64 of exactly 32 random bytes, as `openssl rand -base64 32` prints
    keys.master_key (sso.toml:2): must be the base64 of exactly 32 random bytes, as `openssl rand -base64 32` prints
    sso.toml:2: is not TOML: invalid literal string, expected `'`
    keys.master_kye (sso.toml:2): unknown key; did you mean keys.master_key?
    database.url (SSO__DATABASE__URL): must be sqlite: (the embedded database in data_dir), or a URL of PostgreSQL such as postgres://sso@db1:5432,db2:5432/sso?sslmode=verify-full
    "#);
}

#[test]
fn the_shared_secret_is_long_or_said_to_be_weak_and_never_shown() {
    let mode = || nothing().env("SSO__TOKENS__MODE", "hs256");
    assert_snapshot!(mode().problems(), @"tokens.mode (SSO__TOKENS__MODE): is hs256, which needs tokens.hs256_secret");
    let short = || mode().env("SSO__TOKENS__HS256_SECRET", "canary");
    let problems = short().problems();
    assert!(problems.contains("shorter than 32 bytes") && !problems.contains("canary"));
    let accepted = short().env("SSO__TOKENS__HS256_ACCEPT_WEAK", "true").good();
    assert!(!show(&accepted).contains("canary"));
    assert!(!format!("{accepted:?}").contains("canary"));
    let unused = nothing().env("SSO__TOKENS__HS256_SECRET", "canary");
    assert_eq!(unused.good().config.tokens.mode, section::TokenMode::Keys);
}
