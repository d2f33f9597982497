//! The certificates of the listeners, and the private keys beside every certificate of ours.

use std::path::{Path, PathBuf};

use sso_web::tls::Tls;

use super::{Finding, REFUSED, data};
use crate::{
    config::Config,
    serve::{
        certificates::SOON,
        tls_files::{self, Named},
    },
};

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let named = tls_files::of_listeners(config);
    let mut findings: Vec<_> = named.iter().flatten().map(certificate).collect();
    for (check, file) in private_keys(config) {
        if let Some(file) = file {
            data::private(check, file, "600", &mut findings);
        }
    }
    findings
}

/// Loaded as a start does it.
fn certificate(named: &Named) -> Finding {
    match named.load() {
        Ok(tls) => lasting(named.certificate(), &named.files.certificate, &tls),
        Err((key, error)) => Finding::error(key, error.to_string(), REFUSED),
    }
}

fn lasting(check: &'static str, certificate: &Path, tls: &Tls) -> Finding {
    let path = certificate.display();
    let left = tls.expiry() - data::now().unix_timestamp();
    if left >= SOON {
        let what = format!("{path} and its key can be served from");
        return Finding::ok(check, what);
    }
    let renew = "renew it: a running server takes new files over";
    if left < 0 {
        return Finding::error(check, format!("{path} has ended: clients refuse it"), renew);
    }
    let days = left.div_euclid(24 * 60 * 60);
    Finding::warning(check, format!("{path} ends in {days} days"), renew)
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
