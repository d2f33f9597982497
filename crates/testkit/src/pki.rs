//! Certificates of a small authority, in PEM, for servers and clients of tests.

use std::sync::Arc;

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use time::{Duration, OffsetDateTime};

/// An authority with a root of its own.
pub struct Authority {
    root: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate in PEM, followed by the root's.
    pub certificate: String,
    /// The key in PEM (PKCS#8).
    pub key: String,
    /// The certificate alone, in DER.
    pub der: Vec<u8>,
}

impl Issued {
    /// A server that shows this certificate.
    pub fn server(&self) -> Result<rustls::ServerConfig> {
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        Ok(rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain.collect::<Result<_, _>>()?, key)?)
    }
}

/// What is to be certified.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// subjectAltName: DNS names and IP addresses.
    pub names: &'a [&'a str],
    /// subjectAltName: URIs.
    pub uris: &'a [&'a str],
    /// The subject's common name.
    pub common_name: Option<&'a str>,
    /// From then on, by the tests' clock.
    pub not_before: OffsetDateTime,
    /// How long it is good.
    pub lasts: Duration,
}

impl<'a> Wanted<'a> {
    /// For these names, from yesterday for 90 days.
    pub fn of(names: &'a [&'a str], now: OffsetDateTime) -> Self {
        Self {
            names,
            uris: &[],
            common_name: None,
            not_before: now - Duration::DAY,
            lasts: Duration::days(91),
        }
    }
}

impl Authority {
    /// A new one.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        Ok(Self {
            root: CertifiedIssuer::self_signed(params, key)?,
        })
    }

    /// The root in PEM.
    pub fn root(&self) -> String {
        self.root.pem()
    }

    /// Certifies a new key.
    pub fn issue(&self, wanted: &Wanted<'_>) -> Result<Issued> {
        self.certify(wanted, &KeyPair::generate()?)
    }

    /// Certifies this key (PEM).
    pub fn issue_for(&self, wanted: &Wanted<'_>, key: &str) -> Result<Issued> {
        self.certify(wanted, &KeyPair::from_pem(key)?)
    }

    /// A client that speaks these versions of TLS, trusts servers of this authority, and shows this
    /// certificate.
    pub fn client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        identity: Option<&Issued>,
    ) -> Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone())?;
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)?
            .with_root_certificates(roots);
        let Some(issued) = identity else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = CertificateDer::pem_slice_iter(issued.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes())?;
        Ok(builder.with_client_auth_cert(chain.collect::<Result<_, _>>()?, key)?)
    }

    fn certify(&self, wanted: &Wanted<'_>, key: &KeyPair) -> Result<Issued> {
        let names: Vec<String> = wanted.names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names)?;
        for uri in wanted.uris {
            params
                .subject_alt_names
                .push(SanType::URI((*uri).try_into()?));
        }
        params.distinguished_name = DistinguishedName::new();
        if let Some(name) = wanted.common_name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.not_before = wanted.not_before;
        params.not_after = wanted.not_before + wanted.lasts;
        let certificate = params.signed_by(key, &self.root)?;
        Ok(Issued {
            certificate: format!("{}{}", certificate.pem(), self.root()),
            key: key.serialize_pem(),
            der: certificate.der().to_vec(),
        })
    }
}
