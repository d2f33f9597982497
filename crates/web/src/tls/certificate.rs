//! What is read of certificates beyond what verifying them needs.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

/// The certificate that a client has shown and that `tls_client_ca` vouches for; an extension of
/// every request over such a connection, and of no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    names: Arc<[String]>,
}

impl ClientCertificate {
    /// Of a certificate that has been verified. One that cannot be parsed has no names.
    pub(crate) fn of(der: &CertificateDer<'_>) -> Self {
        Self::named(match X509Certificate::from_der(der) {
            Ok((_, certificate)) => names(&certificate),
            Err(_) => Vec::new(),
        })
    }

    /// Of somebody with these names, verified elsewhere.
    pub fn named(names: Vec<String>) -> Self {
        Self {
            names: names.into(),
        }
    }

    /// Whose it is, in the certificate's order: its DNS names and URIs (SPIFFE); only where it has
    /// no subjectAltName at all, the common name of its subject (RFC 9525, section 2, has done away
    /// with that; private CAs have not).
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(extension) = certificate.subject_alternative_name() else {
        // There are two of them: neither counts.
        return Vec::new();
    };
    let names: Vec<&str> = match &extension {
        Some(extension) => extension
            .value
            .general_names
            .iter()
            .filter_map(|name| match name {
                GeneralName::DNSName(name) | GeneralName::URI(name) => Some(*name),
                _ => None,
            })
            .collect(),
        None => certificate
            .subject()
            .iter_common_name()
            .filter_map(|name| name.as_str().ok())
            .collect(),
    };
    names
        .into_iter()
        .filter(|name| !name.is_empty() && !name.contains(char::is_control))
        .map(ToOwned::to_owned)
        .collect()
}

/// When the first of a chain ends, in seconds since 1970; `None` if one cannot be parsed.
pub(super) fn expiry(chain: &[CertificateDer<'_>]) -> Option<i64> {
    let ends = chain.iter().map(|der| {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Some(certificate.validity().not_after.timestamp())
    });
    ends.min_by_key(|end| end.unwrap_or(i64::MIN)).flatten()
}
