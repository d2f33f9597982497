//! What is said at the start.

use std::path::PathBuf;

use sso_config::output::say;

use super::listeners::Addresses;
use crate::config::{
    Config, Loaded,
    section::{Grpc, Passwords},
};

/// Prints addresses and links, and in development mode what is relaxed.
pub(super) fn show(loaded: &Loaded, addresses: &Addresses) {
    let Addresses { http, grpc, admin } = addresses;
    let off = || "off".to_owned();
    let admin_text = admin.map_or_else(off, |address| address.to_string());
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        %http, %grpc, admin = admin_text,
        database = %loaded.config.database.url,
        data_dir = %loaded.config.data_dir.display(),
        "ready"
    );
    let Grpc {
        require_caller,
        callers,
        ..
    } = &loaded.config.grpc;
    if *require_caller && callers.is_empty() {
        tracing::warn!(
            "grpc.require_caller is true and grpc.callers is empty: nobody can call auth.Auth"
        );
    }
    if !loaded.development {
        return;
    }
    say(of_development(&loaded.config, addresses));
}

fn of_development(config: &Config, addresses: &Addresses) -> String {
    let Addresses { http, grpc, .. } = addresses;
    let scheme = |tls: &Option<PathBuf>| if tls.is_some() { "https" } else { "http" };
    let http_scheme = scheme(&config.http.tls_cert);
    let grpc_scheme = scheme(&config.grpc.tls_cert);
    let curl = curl(config, &format!("{http_scheme}://{http}"));
    format!(
        "
sso {version}, development mode: not for production

  HTTP   {http_scheme}://{http}    Swagger UI  {http_scheme}://{http}/swagger/index.html
  gRPC   {grpc}          Swagger UI  {grpc_scheme}://{grpc}/sw/
  data   {data}

  Relaxed: {relaxed}.
  Loopback only; other Host headers are refused.
  Any setting without `--dev` ends development mode; `sso config example` shows them all.
{curl}",
        version = env!("CARGO_PKG_VERSION"),
        data = config.data_dir.display(),
        relaxed = relaxed(config).join(",\n           "),
    )
}

/// A line that registers somebody, if anybody may.
fn curl(config: &Config, url: &str) -> String {
    if !config.registration.enabled {
        return String::new();
    }
    let password = password(&config.passwords);
    format!(
        "
  curl -d '{{\"email\":\"test@test.com\",\"password\":\"{password}\"}}' \\
    -H 'content-type: application/json' {url}/auth/registration
"
    )
}

/// What is laxer than the defaults.
fn relaxed(config: &Config) -> Vec<String> {
    let (passwords, strict) = (&config.passwords, Passwords::default());
    let mut relaxed = Vec::new();
    if passwords.min_length < strict.min_length {
        let least = passwords.min_length;
        relaxed.push(format!("passwords from {least} characters"));
    }
    if !passwords.refuse_common {
        relaxed.push("common passwords".to_owned());
    }
    let metrics = if config.http.expose_metrics {
        "/metrics, "
    } else {
        ""
    };
    relaxed.push(format!("{metrics}/log-level and /profile on the HTTP port"));
    relaxed
}

/// One that these settings take; the shortest that everybody tries, if they do.
fn password(passwords: &Passwords) -> String {
    let test = "test";
    if passwords.min_length <= test.len() && !passwords.refuse_common {
        return test.to_owned();
    }
    let words = "correct horse battery staple";
    vec![words; passwords.min_length.div_ceil(words.len())].join(" ")
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use sso_core::values::{Email, NewPassword, PasswordPolicy};

    use super::*;
    use crate::config::{Sources, load};

    fn banner(settings: &[(&str, &str)]) -> String {
        let flags = settings.iter();
        let loaded = load(Sources {
            flags: flags
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            dev: true,
            ..Sources::default()
        })
        .unwrap();
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let addresses = Addresses {
            http: local(8000),
            grpc: local(44044),
            admin: None,
        };
        of_development(&loaded.config, &addresses)
    }

    #[test]
    fn what_is_relaxed_is_what_is_laxer_than_the_defaults() {
        let lax = banner(&[]);
        for part in [
            "Relaxed: passwords from 4 characters,",
            "common passwords,",
            "/metrics, /log-level and /profile on",
            r#""password":"test""#,
            "without `--dev`",
        ] {
            assert!(lax.contains(part), "{part} is not in:{lax}");
        }
        let strict = banner(&[
            ("passwords.min_length", "10"),
            ("passwords.refuse_common", "true"),
            ("http.expose_metrics", "false"),
        ]);
        assert!(strict.contains("Relaxed: /log-level and"), "{strict}");
        assert!(!strict.contains("/metrics") && !strict.contains("\"test\""));
        assert!(!banner(&[("registration.enabled", "false")]).contains("curl"));
    }

    #[test]
    fn the_password_that_is_shown_is_taken() {
        let email = Email::parse("test@test.com").unwrap();
        for min_length in [1, 4, 5, 8, 28, 29, 57, 128] {
            for refuse_common in [false, true] {
                let passwords = Passwords {
                    min_length,
                    refuse_common,
                    ..Passwords::default()
                };
                let policy = PasswordPolicy {
                    min_length,
                    refuse_common,
                };
                let shown = password(&passwords);
                let taken = NewPassword::parse("password", &shown, &email, policy);
                assert!(taken.is_ok(), "{shown} by {policy:?}");
            }
        }
    }
}
