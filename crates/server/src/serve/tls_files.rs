//! The files by which listeners speak TLS.

use std::path::PathBuf;

use sso_web::tls::{Tls, TlsError, TlsFiles};

use crate::config::Config;

/// The files of one listener, and the settings that name them.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) files: TlsFiles,
    /// Of the certificate, of its private key, and of the roots of clients' certificates.
    keys: [&'static str; 3],
}

/// Those of the listeners for HTTP, gRPC, and the operator; `None` is in clear.
pub(crate) fn of_listeners(config: &Config) -> [Option<Named>; 3] {
    let Config {
        http, grpc, admin, ..
    } = config;
    let named = |keys, certificate: &Option<PathBuf>, key: &Option<PathBuf>, client_ca| {
        let files = TlsFiles {
            certificate: certificate.clone()?,
            key: key.clone()?,
            client_ca,
        };
        Some(Named { files, keys })
    };
    let of_http = ["http.tls_cert", "http.tls_key", ""];
    let of_grpc = ["grpc.tls_cert", "grpc.tls_key", "grpc.tls_client_ca"];
    let of_admin = ["admin.tls_cert", "admin.tls_key", ""];
    let client_ca = grpc.tls_client_ca.clone();
    [
        named(of_http, &http.tls_cert, &http.tls_key, None),
        named(of_grpc, &grpc.tls_cert, &grpc.tls_key, client_ca),
        named(of_admin, &admin.tls_cert, &admin.tls_key, None),
    ]
}

impl Named {
    /// Reads them; what is wrong with the file that a setting names.
    pub(crate) fn load(&self) -> Result<Tls, (&'static str, TlsError)> {
        Tls::load(self.files.clone()).map_err(|error| (self.key_of(&error), error))
    }

    /// The setting that names the certificate.
    pub(crate) const fn certificate(&self) -> &'static str {
        self.keys[0]
    }

    fn key_of(&self, error: &TlsError) -> &'static str {
        let [certificate, key, client_ca] = self.keys;
        if error.file == self.files.certificate {
            certificate
        } else if error.file == self.files.key {
            key
        } else {
            client_ca
        }
    }
}
