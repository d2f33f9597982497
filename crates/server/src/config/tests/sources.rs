//! Where values come from, and which goes before which.

use super::*;

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
    assert_eq!(config.log.format, sso_config::log::LogFormat::Json);
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
fn variables_of_others_are_ignored() {
    // What Kubernetes sets for a service named `sso`.
    let given = nothing()
        .env("SSO_PORT", "tcp://10.0.0.1:8000")
        .env("sso__http__listen", "x");
    // Nothing is set.
    assert_eq!(given.good().config, nothing().good().config);
}

#[test]
fn an_empty_name_of_the_file_is_a_problem_that_names_the_variable() {
    let given = nothing().env("SSO_CONFIG", "");
    assert_eq!(
        given.problems(),
        "SSO_CONFIG: is empty: name the configuration file in it, or unset it"
    );
    // Which file is meant is said by the flag.
    let given = file("[log]\nlevel = 'debug'").env("SSO_CONFIG", "");
    assert_eq!(given.good().config.log.level.to_string(), "debug");
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
