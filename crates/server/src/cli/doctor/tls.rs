//! The certificates of the listeners, and the private keys beside every certificate of ours.

use std::path::{Path, PathBuf};

use sso_web::tls::{Tls, TlsError, TlsFiles};
use time::Duration;

use super::{Finding, REFUSED, data};
use crate::config::Config;

/// The server says in its log what ends sooner.
const SOON: Duration = Duration::days(14);

/// The keys of a listener's certificate, of its private key, and of the roots of its clients.
type Keys = [&'static str; 3];

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let mut findings: Vec<_> = served(config)
        .into_iter()
        .map(|(keys, files)| certificate(keys, &files))
        .collect();
    for (check, file) in private_keys(config) {
        if let Some(file) = file {
            data::private(check, file, "600", &mut findings);
        }
    }
    findings
}

/// The files of each listener that speaks TLS.
fn served(config: &Config) -> Vec<(Keys, TlsFiles)> {
    let Config {
        http, grpc, admin, ..
    } = config;
    let http_keys = ["http.tls_cert", "http.tls_key", ""];
    let grpc_keys = ["grpc.tls_cert", "grpc.tls_key", "grpc.tls_client_ca"];
    let admin_keys = ["admin.tls_cert", "admin.tls_key", ""];
    let all = [
        (http_keys, &http.tls_cert, &http.tls_key, None),
        (
            grpc_keys,
            &grpc.tls_cert,
            &grpc.tls_key,
            grpc.tls_client_ca.clone(),
        ),
        (admin_keys, &admin.tls_cert, &admin.tls_key, None),
    ];
    let files = |certificate: &Option<PathBuf>, key: &Option<PathBuf>, client_ca| {
        Some(TlsFiles {
            certificate: certificate.clone()?,
            key: key.clone()?,
            client_ca,
        })
    };
    all.into_iter()
        .filter_map(|(keys, certificate, key, roots)| Some((keys, files(certificate, key, roots)?)))
        .collect()
}

/// Loaded as a start does it.
fn certificate(keys: Keys, files: &TlsFiles) -> Finding {
    let [certificate, ..] = keys;
    match Tls::load(files.clone()) {
        Ok(tls) => lasting(certificate, &files.certificate, &tls),
        Err(error) => Finding::error(key_of(keys, files, &error), error.to_string(), REFUSED),
    }
}

fn key_of([certificate, key, client_ca]: Keys, files: &TlsFiles, error: &TlsError) -> &'static str {
    if error.file == files.certificate {
        certificate
    } else if error.file == files.key {
        key
    } else {
        client_ca
    }
}

fn lasting(check: &'static str, certificate: &Path, tls: &Tls) -> Finding {
    let path = certificate.display();
    let left = Duration::seconds(tls.expiry() - data::now().unix_timestamp());
    if left >= SOON {
        let what = format!("{path} and its key can be served from");
        return Finding::ok(check, what);
    }
    let what = if left.is_negative() {
        format!("{path} has ended: clients refuse it")
    } else {
        format!("{path} ends in {} days", left.whole_days())
    };
    Finding::warning(
        check,
        what,
        "renew it: a running server takes new files over",
    )
}

/// The listeners', and ours for those whom we connect to.
fn private_keys(config: &Config) -> [(&'static str, Option<&PathBuf>); 6] {
    [
        ("http.tls_key", config.http.tls_key.as_ref()),
        ("grpc.tls_key", config.grpc.tls_key.as_ref()),
        ("admin.tls_key", config.admin.tls_key.as_ref()),
        ("database.tls_key", config.database.tls_key.as_ref()),
        ("redis.tls_key", config.redis.tls_key.as_ref()),
        ("kafka.tls_key", config.kafka.tls_key.as_ref()),
    ]
}
