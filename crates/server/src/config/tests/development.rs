//! Development mode: what begins and what ends it.

use super::*;

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
