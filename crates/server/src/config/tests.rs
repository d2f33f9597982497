use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use insta::assert_snapshot;
use tempfile::TempDir;

use super::{catalogue::Catalogue, sources::Origin, *};

/// 32 bytes in base64; recognisable where it must not appear.
const KEY: &str = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=";

/// A folder with files, and what to load from.
struct Given {
    folder: TempDir,
    sources: Sources,
}

fn nothing() -> Given {
    Given {
        folder: tempfile::tempdir().unwrap(),
        sources: Sources::default(),
    }
}

fn file(text: &str) -> Given {
    let mut given = nothing();
    given.sources.file = Some(given.write("sso.toml", text));
    given
}

impl Given {
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn env(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        let value = value.as_ref().as_os_str().to_owned();
        self.sources.env.push((name.into(), value));
        self
    }

    fn flag(mut self, key: &str, value: &str) -> Self {
        self.sources.flags.push((key.to_owned(), value.to_owned()));
        self
    }

    fn dev(mut self) -> Self {
        self.sources.dev = true;
        self
    }

    fn load(&self) -> Result<Loaded, Problems> {
        load(self.sources.clone())
    }

    fn good(&self) -> Loaded {
        self.load().unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// What is printed, with the folder's name left out.
    fn problems(&self) -> String {
        let folder = format!("{}/", self.folder.path().display());
        self.load().unwrap_err().to_string().replace(&folder, "")
    }
}

#[test]
fn nothing_set_is_development_mode() {
    let Loaded {
        config,
        development,
        origins,
    } = nothing().env("PATH", "/bin").good();
    assert!(development);
    let mut expected = Config::default();
    expected.http.expose_metrics = true;
    expected.admin.listen = "off".parse().unwrap();
    expected.passwords.min_length = 4;
    expected.passwords.refuse_common = false;
    assert_eq!(config, expected);
    assert_eq!(config.data_dir, Path::new("./data"));
    assert_eq!(origins.of("admin.listen"), Origin::Development);
    assert_eq!(origins.of("log.level"), Origin::Default);
}

#[test]
fn any_setting_ends_development_mode() {
    let named = nothing();
    let path = named.write("sso.toml", "");
    for given in [
        file(""),
        named.env("SSO_CONFIG", path),
        nothing().env("SSO__LOG__LEVEL", "info"),
        nothing().flag("log.level", "info"),
    ] {
        let loaded = given.good();
        assert!(!loaded.development);
        assert_eq!(loaded.config, Config::default());
    }
}

#[test]
fn settings_beside_dev_go_before_what_it_relaxes() {
    let loaded = nothing()
        .env("SSO__PASSWORDS__MIN_LENGTH", "12")
        .dev()
        .good();
    assert!(loaded.development);
    assert_eq!(loaded.config.passwords.min_length, 12);
    assert!(!loaded.config.passwords.refuse_common);
}

#[test]
fn development_mode_stays_on_loopback() {
    let given = nothing()
        .env("SSO__HTTP__LISTEN", "0.0.0.0:8000")
        .env("SSO__GRPC__LISTEN", "[::ffff:127.0.0.1]:44044")
        .env("SSO__ADMIN__LISTEN", "192.0.2.1:9464")
        .dev();
    assert_snapshot!(given.problems(), @r#"
    http.listen (SSO__HTTP__LISTEN): must be a loopback address in development mode: listen on 127.0.0.1, or go without --dev
    admin.listen (SSO__ADMIN__LISTEN): must be a loopback address in development mode: listen on 127.0.0.1, or go without --dev
    "#);
}

#[test]
fn a_flag_goes_before_a_variable_before_the_file_before_the_default() {
    let text = "[http]\nmax_connections = 1\nrequest_timeout = '1m'\n[log]\nlevel = 'debug'";
    let given = file(text)
        .env("SSO__HTTP__MAX_CONNECTIONS", "2")
        .env("SSO__LOG__LEVEL", "warn")
        .flag("http.max_connections", "3")
        .flag("http.max_connections", "4");
    let Loaded {
        config, origins, ..
    } = given.good();
    assert_eq!(config.http.max_connections, 4);
    assert_eq!(origins.of("http.max_connections"), Origin::Flag);
    assert_eq!(config.log.level.to_string(), "warn");
    let variable = Origin::Variable("SSO__LOG__LEVEL".to_owned());
    assert_eq!(origins.of("log.level"), variable);
    assert_eq!(config.http.request_timeout, Duration::from_mins(1));
    let line = Origin::File(given.path("sso.toml"), 3);
    assert_eq!(origins.of("http.request_timeout"), line);
    assert_eq!(
        config.http.header_timeout,
        Config::default().http.header_timeout
    );
}

#[test]
fn a_value_that_another_source_replaces_is_not_judged() {
    let given = file("[http]\nlisten = 'nonsense'").env("SSO__HTTP__LISTEN", "127.0.0.1:1");
    assert_eq!(given.good().config.http.listen.port(), 1);
}

#[test]
fn variables_are_read_by_the_type_of_their_key() {
    let config = nothing()
        .env("SSO__DATA_DIR", "/srv/sso")
        .env("SSO__ADMIN__LISTEN", "off")
        .env("SSO__DATABASE__MIGRATE", "false")
        .env("SSO__TOKENS__AUDIENCE", "shop, https://api.example.com")
        .env("SSO__TOKENS__REFRESH_TTL", "1h 30m")
        .env("SSO__LOG__FORMAT", "json")
        .env("SSO__HASHING__THREADS", "3")
        .good()
        .config;
    assert_eq!(config.data_dir, Path::new("/srv/sso"));
    assert_eq!(config.admin.listen.address(), None);
    assert!(!config.database.migrate);
    let audience: Vec<&str> = config
        .tokens
        .audience
        .iter()
        .map(values::TokenName::as_str)
        .collect();
    assert_eq!(audience, ["shop", "https://api.example.com"]);
    assert_eq!(config.tokens.refresh_ttl, Duration::from_mins(90));
    assert_eq!(config.log.format, section::log::LogFormat::Json);
    assert_eq!(config.hashing.threads, 3);
}

#[test]
fn what_is_not_set_follows_what_it_depends_on() {
    let given = nothing().env("SSO__HTTP__LISTEN", "127.0.0.1:9");
    let Loaded {
        config, origins, ..
    } = given.good();
    assert_eq!(config.http.public_url.to_string(), "http://127.0.0.1:9");
    assert_eq!(config.tokens.issuer.as_str(), "http://127.0.0.1:9");
    assert_eq!(
        origins.of("tokens.audience"),
        Origin::Derived("tokens.issuer")
    );

    let given = given.env("SSO__HTTP__PUBLIC_URL", "https://sso.example.com/auth");
    let config = given.good().config;
    assert_eq!(
        config.tokens.issuer.as_str(),
        "https://sso.example.com/auth"
    );
    assert_eq!(config.tokens.audience, vec![config.tokens.issuer]);

    let given = given.env("SSO__TOKENS__ISSUER", "sso");
    assert_eq!(given.good().config.tokens.audience[0].as_str(), "sso");
}

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
            config.keys.master_key.unwrap().bytes(),
            b"secretsecretsecretsecretsecretse"
        );
        let origin = origins.of("keys.master_key").to_string();
        assert!(
            origin.ends_with("key, named by SSO__KEYS__MASTER_KEY_FILE"),
            "{origin}"
        );
    }
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
fn all_problems_are_reported_at_once() {
    let given = file(
        "data_dir = ''\n\
         http = 3\n\
         [grpc]\n\
         listen = 'localhost:44044'\n\
         max_conections = 5\n\
         max_message_size = '1MiB'\n\
         [redis]\n\
         url = 'redis://'\n\
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
    .env("SSO__EVENTS__SINK", "kafka")
    .env("SSO__SESSIONS__MAX_PER_USER", "-1")
    .flag("hashing.threads", "many")
    .flag("http.Listen", "127.0.0.1:1");
    assert_snapshot!(given.problems(), @r#"
    http (sso.toml:2): is a section: write [http]
    grpc.max_conections (sso.toml:5): unknown key; did you mean grpc.max_connections?
    redis (sso.toml:7): unknown key; `sso config example` prints all of them
    SSO__HTTP__LISTN: unknown variable; did you mean SSO__HTTP__LISTEN?
    SSO__NOTHING__HERE: unknown variable; `sso config example` prints all of them
    http.Listen (command line): unknown key; did you mean http.listen?
    data_dir (sso.toml:1): must be a path
    http.request_timeout (SSO__HTTP__REQUEST_TIMEOUT): must be a duration such as 15m, 10s or 500ms, from 100ms to 5m
    grpc.max_message_size (sso.toml:6): must be a whole number from 16384 to 4194304
    events.sink (SSO__EVENTS__SINK): must be log
    tokens.audience (SSO__TOKENS__AUDIENCE): must be a list of 1 to 16, each a name of 1 to 255 visible ASCII characters; one with a colon must be a URI
    tokens.access_ttl (sso.toml:10): must be a duration in whole seconds, such as 15m or 10d, from 1s to 1d
    tokens.refresh_ttl (sso.toml:11): must be a duration in whole seconds, such as 15m or 10d, from 1s to 366d
    sessions.max_per_user (SSO__SESSIONS__MAX_PER_USER): must be a whole number from 1 to 10000
    passwords.refuse_common (SSO__PASSWORDS__REFUSE_COMMON): must be true or false
    passwords.argon2_memory (SSO__PASSWORDS__ARGON2_MEMORY): must be a whole number from 8 to 262144
    hashing.threads (command line): must be a whole number from 0 to 256
    log.format (sso.toml:16): must be auto, pretty or json
    grpc.listen (sso.toml:4): must be an IP address and a port, such as 127.0.0.1:8000 or [::1]:8000
    http.public_url (SSO__HTTP__PUBLIC_URL): must be an http or https URL, such as https://sso.example.com, without a slash at its end, query, fragment or password
    log.level (sso.toml:15): must be off, error, warn, info, debug or trace, with other levels for single modules as in info,sso_http=debug
    tokens.issuer (sso.toml:12): must be a name of 1 to 255 visible ASCII characters; one with a colon must be a URI
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
fn an_idle_limit_is_off_or_longer_than_an_access_token_lives() {
    assert_eq!(nothing().good().config.sessions.idle_ttl.get(), None);
    let idle = |limit| nothing().env("SSO__SESSIONS__IDLE_TTL", limit);
    let hour = idle("1h").good().config.sessions.idle_ttl;
    assert_eq!(hour.get(), Some(Duration::from_hours(1)));
    assert_eq!(hour.to_string(), "1h");
    assert_snapshot!(idle("15m").problems(), @r#"sessions.idle_ttl (SSO__SESSIONS__IDLE_TTL): must be longer than tokens.access_ttl: clients refresh when that is over"#);
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

#[test]
fn callers_are_required_off_loopback_unless_it_is_written_otherwise() {
    let required = |given: &Given| given.good().config.grpc.require_caller;
    assert!(!required(&nothing()));
    let open = nothing().env("SSO__GRPC__LISTEN", "0.0.0.0:44044");
    assert!(required(&open));
    assert!(!required(&open.env("SSO__GRPC__REQUIRE_CALLER", "false")));
    let loopback = nothing().env("SSO__GRPC__REQUIRE_CALLER", "true");
    assert!(required(&loopback));
}

/// Of the token "abc".
const DIGEST: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn callers_are_read_from_tables_and_from_one_line() {
    let tables = file(&format!(
        "[grpc]\nrequire_caller = true\n\
         [[grpc.callers]]\nname = 'shop'\ntoken_sha256 = '{DIGEST}'\nscopes = ['auth']\n\
         [[grpc.callers]]\nname = 'desk'\ncertificate = 'desk.internal'\n\
         scopes = ['users:admin', 'events:admin']\n"
    ));
    let line = format!(
        "[{{ name = 'shop', token_sha256 = '{DIGEST}', scopes = ['auth'] }}, \
         {{ name = 'desk', certificate = 'desk.internal', \
         scopes = ['users:admin', 'events:admin'] }}]"
    );
    let read = |given: &Given| given.good().config.grpc.callers;
    let callers = read(&tables);
    let names: Vec<_> = callers.iter().map(|caller| caller.name.as_str()).collect();
    assert_eq!(names, ["shop", "desk"]);
    assert_eq!(read(&nothing().env("SSO__GRPC__CALLERS", &line)), callers);
    assert_eq!(read(&nothing().flag("grpc.callers", &line)), callers);
    assert!(read(&nothing().env("SSO__GRPC__CALLERS", "")).is_empty());

    let shown = show(&tables.good());
    let expected = "callers = [{ name = \"shop\", token_sha256 = \"<set>\", scopes = [\"auth\"] }";
    assert!(shown.contains(expected), "{shown}");
    let loaded = format!("{:?}", tables.good());
    assert!(
        !loaded.contains("ba7816") && !loaded.contains("186, 120"),
        "{loaded}"
    );
}

#[test]
fn everything_that_is_wrong_with_callers_is_told_and_no_value() {
    let given = file(&format!(
        "[[grpc.callers]]\nname = 'sh op'\ntoken_sha256 = 'hunter2'\nscope = ['auth']\n\
         [[grpc.callers]]\nscopes = ['everything']\n\
         [[grpc.callers]]\nname = 'a'\ntoken_sha256 = '{DIGEST}'\nscopes = ['auth']\n\
         [[grpc.callers]]\nname = 'a'\ntoken_sha256 = '{DIGEST}'\nscopes = ['auth']\n\
         certificate = ''\n"
    ));
    assert_snapshot!(given.problems().replace("; caller", ";\ncaller"), @r"
    grpc.callers (sso.toml:1): caller 1: scope: unknown key; did you mean scopes?;
    caller 1: name must be a name of 1 to 64 letters, digits, dots, hyphens or underscores;
    caller 1: token_sha256 must be the SHA-256 of the token in hex (64 digits) or base64, and the token not empty;
    caller 1: scopes must be a list, each auth, revocations:read, users:admin, events:admin or audit:read;
    caller 2: name must be a name of 1 to 64 letters, digits, dots, hyphens or underscores;
    caller 2: token_sha256 or certificate must say how it is known;
    caller 2: scopes must be a list, each auth, revocations:read, users:admin, events:admin or audit:read;
    caller 4: certificate must be a name of 1 to 255 characters as it stands in the certificate;
    caller 4: name is also another caller's;
    caller 4: token_sha256 is also another caller's
    ");
    for bad in ["shop", "[1]", "[{", "{}", "[[]]"] {
        let given = nothing().env("SSO__GRPC__CALLERS", bad);
        assert_eq!(
            given.problems(),
            "grpc.callers (SSO__GRPC__CALLERS): must be a list of up to 256 tables, each with \
             name, token_sha256 or certificate, and scopes",
            "{bad}"
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

#[test]
fn variables_of_others_are_ignored() {
    // What Kubernetes sets for a service named `sso`.
    let given = nothing()
        .env("SSO_PORT", "tcp://10.0.0.1:8000")
        .env("sso__http__listen", "x");
    assert_eq!(given.good().config, Config::default());
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf8_is_a_problem() {
    use std::os::unix::ffi::OsStrExt;
    let value = std::ffi::OsStr::from_bytes(b"/srv/\xff");
    assert_eq!(
        nothing().env("SSO__DATA_DIR", value).problems(),
        "data_dir (SSO__DATA_DIR): must be UTF-8"
    );
}

#[test]
fn the_bounds_of_every_key_hold_its_default() {
    let catalogue = Catalogue::new();
    let properties = |json: &serde_json::Value| json["properties"].as_object().unwrap().clone();
    let leaves: usize = properties(&schema())
        .values()
        .map(|part| {
            if part["type"] == "object" {
                properties(part).len()
            } else {
                1
            }
        })
        .sum();
    assert_eq!(
        catalogue.keys().count(),
        leaves,
        "a key has a shape that is not understood"
    );
    for key in catalogue.keys() {
        assert!(key.text.ends_with('.'), "{} has no manual", key.path);
        if let Some(default) = &key.default {
            let raw = kind::Raw::Toml(default.clone());
            assert_eq!(key.kind.read(raw).as_ref(), Some(default), "{}", key.path);
        }
    }
}

#[test]
fn the_example_uncommented_is_the_default() {
    let text = example_toml();
    let live: String = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let set = live
        .lines()
        .filter(|line| line.contains(" = ") && !line.starts_with('#'))
        .count();
    let keys = Catalogue::new()
        .keys()
        .filter(|key| key.default.is_some())
        .count();
    assert_eq!(set, keys);
    let loaded = file(&live).good();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(file(&text).good().config, Config::default());
    assert!(matches!(loaded.origins.of("http.listen"), Origin::File(..)));
}

#[test]
fn what_is_shown_loads_as_the_same() {
    let given = file("[http]\nlisten = '127.0.0.1:9'\n").env("SSO__TOKENS__AUDIENCE", "a,b");
    let loaded = given.good();
    let shown = show(&loaded);
    assert_eq!(file(&shown).good().config, loaded.config);
    let origins = shown.replace(given.folder.path().to_str().unwrap(), "");
    for line in [
        "listen = \"127.0.0.1:9\" # /sso.toml:2",
        "public_url = \"http://127.0.0.1:9\" # from http.listen",
        "audience = [\"a\", \"b\"] # SSO__TOKENS__AUDIENCE",
        "drain_timeout = \"20s\" # default",
        "# master_key is not set",
    ] {
        assert!(origins.lines().any(|l| l == line), "{line} in\n{origins}");
    }
}

#[test]
fn the_manual_and_the_schema_have_every_key() {
    let manual = manual_md();
    for key in Catalogue::new().keys() {
        let heading = format!("\n### `{}`\n", key.path);
        assert!(manual.contains(&heading), "{heading}");
        assert!(manual.contains(&format!("- Variable: `{}`\n", key.variable())));
    }
    let schema = schema();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    assert_eq!(schema["additionalProperties"], false);
    let http = &schema["properties"]["http"];
    assert_eq!(http["additionalProperties"], false);
    assert_eq!(http["properties"]["request_timeout"]["default"], "10s");
}

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
