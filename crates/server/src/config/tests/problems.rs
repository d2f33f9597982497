//! Problems: all at once, each with its place and what is right.

use super::*;

#[test]
fn all_problems_are_reported_at_once() {
    let given = file(
        "data_dir = ''\n\
         http = 3\n\
         [grpc]\n\
         listen = 'localhost:44044'\n\
         max_conections = 5\n\
         max_message_size = '1MiB'\n\
         [valkey]\n\
         url = 'valkey://'\n\
         [tokens]\n\
         access_ttl = '0s'\n\
         refresh_ttl = 864000\n\
         issuer = 'my:issuer:is no uri'\n\
         audience = 'shop'\n\
         [log]\n\
         level = 'inof'\n\
         format = 'xml'\n",
    )
    .env("SSO__HTTP__LISTN", "127.0.0.1:1")
    .env("SSO__HTTP__PUBLIC_URL", "https://sso.example.com/")
    .env("SSO__HTTP__REQUEST_TIMEOUT", "10")
    .env("SSO__NOTHING__HERE", "true")
    .env("SSO__PASSWORDS__REFUSE_COMMON", "yes")
    .env("SSO__PASSWORDS__ARGON2_MEMORY", "1000000")
    .env("SSO__TOKENS__AUDIENCE", "")
    .env("SSO__EVENTS__SINK", "nowhere")
    .env("SSO__SESSIONS__MAX_PER_USER", "-1")
    .flag("hashing.threads", "many")
    .flag("http.Listen", "127.0.0.1:1");
    assert_snapshot!(given.problems(), @r#"
    http (sso.toml:2): is a section: write [http]
    grpc.max_conections (sso.toml:5): unknown key; did you mean grpc.max_connections?
    valkey (sso.toml:7): unknown key; `sso config example` prints all of them
    SSO__HTTP__LISTN: unknown variable; did you mean SSO__HTTP__LISTEN?
    SSO__NOTHING__HERE: unknown variable; `sso config example` prints all of them
    http.Listen (command line): unknown key; did you mean http.listen?
    data_dir (sso.toml:1): must be a path
    http.request_timeout (SSO__HTTP__REQUEST_TIMEOUT): must be a duration such as 15m, 10s or 500ms, from 100ms to 5m
    grpc.max_message_size (sso.toml:6): must be a whole number from 16384 to 4194304
    events.sink (SSO__EVENTS__SINK): must be log or kafka
    tokens.audience (SSO__TOKENS__AUDIENCE): must be a list of 1 to 16, each a name of 1 to 255 visible ASCII characters; one with a colon must be a URI
    tokens.access_ttl (sso.toml:10): must be a duration in whole seconds, such as 15m or 10d, from 1s to 1d
    tokens.refresh_ttl (sso.toml:11): must be a duration in whole seconds, such as 15m or 10d, from 1s to 366d
    sessions.max_per_user (SSO__SESSIONS__MAX_PER_USER): must be a whole number from 1 to 10000
    passwords.refuse_common (SSO__PASSWORDS__REFUSE_COMMON): must be true or false
    passwords.argon2_memory (SSO__PASSWORDS__ARGON2_MEMORY): must be a whole number from 8 to 262144
    hashing.threads (command line): must be a whole number from 0 to 256
    log.format (sso.toml:16): must be auto, pretty or json
    http.public_url (SSO__HTTP__PUBLIC_URL): must be an http or https URL, such as https://sso.example.com, without a slash at its end, query, fragment or password
    grpc.listen (sso.toml:4): must be an IP address and a port, such as 127.0.0.1:8000 or [::1]:8000
    tokens.issuer (sso.toml:12): must be a name of 1 to 255 visible ASCII characters; one with a colon must be a URI
    log.level (sso.toml:15): must be off, error, warn, info, debug or trace, with other levels for single modules as in info,sso_http=debug
    "#);
}

#[test]
fn rules_between_values_are_reported_together() {
    let given = nothing()
        .env("SSO__GRPC__LISTEN", "0.0.0.0:8000")
        .env("SSO__ADMIN__LISTEN", "127.0.0.1:8000")
        .env("SSO__REVOCATION__ACK_WAIT", "10s");
    assert_snapshot!(given.problems(), @r#"
    grpc.listen (SSO__GRPC__LISTEN): must be another port than http.listen has
    admin.listen (SSO__ADMIN__LISTEN): must be another port than http.listen has
    revocation.ack_wait (SSO__REVOCATION__ACK_WAIT): must be shorter than http.request_timeout, else the answer is 504
    "#);
}

#[test]
fn an_idle_limit_is_off_or_a_time() {
    assert_eq!(nothing().good().config.sessions.idle_ttl.get(), None);
    let idle = |limit| nothing().env("SSO__SESSIONS__IDLE_TTL", limit);
    let hour = idle("1h").good().config.sessions.idle_ttl;
    assert_eq!(hour.get(), Some(Duration::from_hours(1)));
    assert_eq!(hour.to_string(), "1h");
    // Shorter than an access token lives: `doctor` warns of it.
    let short = idle("2s").good().config.sessions.idle_ttl;
    assert_eq!(short.get(), Some(Duration::from_secs(2)));
    for bad in ["0s", "on", "4000d", "-1h"] {
        let problems = idle(bad).problems();
        assert!(problems.contains("from 1s to 3660d, or off"), "{problems}");
    }
}

#[test]
fn keys_rotate_more_slowly_than_they_are_published_or_not_at_all() {
    let given = nothing().env("SSO__KEYS__ROTATE_EVERY", "5m");
    assert_snapshot!(given.problems(), @"keys.rotate_every (SSO__KEYS__ROTATE_EVERY): must be longer than keys.jwks_max_age: a key would be old before it signs");
    let given = given.env("SSO__KEYS__JWKS_MAX_AGE", "299s");
    let every = given.good().config.keys.rotate_every;
    assert_eq!(every.get(), Some(Duration::from_mins(5)));
    let off = nothing().env("SSO__KEYS__ROTATE_EVERY", "off");
    assert_eq!(off.good().config.keys.rotate_every.get(), None);
    for wrong in ["never", "90", "0s", "4000d"] {
        let given = nothing().env("SSO__KEYS__ROTATE_EVERY", wrong);
        assert!(
            given.problems().contains("from 1s to 3660d, or off"),
            "{wrong}"
        );
    }
}

#[test]
fn a_rule_about_a_value_that_is_wrong_anyway_is_left_out() {
    let given = nothing()
        .env("SSO__GRPC__LISTEN", "0.0.0.0:44044")
        .env("SSO__GRPC__REQUIRE_CALLER", "nope");
    assert_eq!(
        given.problems(),
        "grpc.require_caller (SSO__GRPC__REQUIRE_CALLER): must be true or false"
    );
    // The default, which stands in for the wrong value, would clash.
    let given = nothing()
        .env("SSO__HTTP__LISTEN", "nope")
        .env("SSO__GRPC__LISTEN", "127.0.0.1:8000");
    assert_eq!(given.problems().lines().count(), 1);
}

#[test]
fn a_file_that_cannot_be_used_is_one_problem_with_its_place() {
    assert_snapshot!(file("[http]\nlisten = \n[http]\n x").problems(), @r#"
    sso.toml:4: is not TOML: key with no value, expected `=`
    sso.toml:2: is not TOML: string values must be quoted, expected literal string
    sso.toml:3: is not TOML: duplicate key
    "#);
    let mut given = nothing();
    given.sources.file = Some(given.path("missing.toml"));
    assert_snapshot!(given.problems(), @r#"missing.toml: the configuration file cannot be read: No such file or directory (os error 2)"#);
    given.sources.file = Some(given.folder.path().to_owned());
    assert!(given.problems().contains("cannot be read"));
    assert!(
        file(&"#".repeat(1024 * 1024 + 1))
            .problems()
            .contains("longer than 1048576 bytes")
    );
    let folder = nothing();
    fs::write(folder.path("latin1"), b"[http]\n# caf\xe9\n").unwrap();
    let path = folder.path("latin1");
    assert!(folder.env("SSO_CONFIG", path).problems().contains("UTF-8"));
}

#[test]
fn names_from_outside_stay_on_one_line_and_are_cut() {
    let long = "x".repeat(5000);
    let text = format!("\"a\\nb\\u001b[2J\" = 1\n{long} = 2\n\"http.listen\" = '127.0.0.1:1'\n");
    assert_snapshot!(file(&text).problems(), @r#"
    a\nb\u{1b}[2J (sso.toml:1): unknown key; `sso config example` prints all of them
    xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx... (sso.toml:2): unknown key; `sso config example` prints all of them
    http.listen (sso.toml:3): unknown key; did you mean http.listen?
    "#);
}

#[test]
fn a_flood_of_problems_is_counted() {
    let lines: Vec<_> = (0..50_000).map(|n| format!("k{n} = 1")).collect();
    let problems = file(&lines.join("\n")).problems();
    assert_eq!(problems.lines().count(), 101);
    assert!(problems.ends_with("\n... and 49900 more"), "{problems}");
}
