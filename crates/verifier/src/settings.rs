//! What a verifier is told before it starts.

use std::{fmt, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

/// What to do with a good token while the revocations are not heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenSilent {
    /// Ask `auth.Auth/Validate`, of another address if need be: the token is accepted if the answer
    /// is yes. Questions are bounded: where they are too many, or nobody answers, the token is
    /// refused as [`Refused::Unknowable`](crate::Refused::Unknowable). Needs a caller with the scope
    /// `auth` besides `revocations:read`.
    #[default]
    Ask,
    /// Refuse it as [`Refused::Unknowable`](crate::Refused::Unknowable).
    Refuse,
}

/// The token by which this service is known to `sso`.
#[derive(Clone)]
pub(crate) struct CallerToken(MetadataValue<Ascii>);

impl CallerToken {
    pub(crate) fn parse(token: &str) -> Option<Self> {
        let mut value: MetadataValue<Ascii> = token.parse().ok()?;
        value.set_sensitive(true);
        (!token.is_empty()).then_some(Self(value))
    }

    pub(crate) fn put_into(&self, metadata: &mut MetadataMap) {
        metadata.insert("x-caller-token", self.0.clone());
    }
}

/// Not the token.
impl fmt::Debug for CallerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallerToken(..)")
    }
}

/// A client's certificate with what leads to its root, and its key, both in PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

/// TLS 1.2 and 1.3 with these roots; without any, those of the machine.
pub(crate) fn tls(
    roots: Option<&[u8]>,
    identity: Option<&Identity>,
) -> Result<ClientConfig, String> {
    let mut store = RootCertStore::empty();
    match roots {
        Some(pem) => {
            for root in CertificateDer::pem_slice_iter(pem) {
                let added = root.map(|root| store.add(root));
                if !matches!(added, Ok(Ok(()))) {
                    return Err("roots_pem: a certificate in it cannot be read".to_owned());
                }
            }
            if store.is_empty() {
                return Err("roots_pem: there is no certificate in it".to_owned());
            }
        }
        None => {
            // What cannot be read of them is missing then, and a connection says so.
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(store);
    let Some(Identity { certificate, key }) = identity else {
        return Ok(builder.with_no_client_auth());
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
    let chain = chain.map_err(|_| "client_identity_pem: the certificate cannot be read")?;
    let key = PrivateKeyDer::from_pem_slice(key);
    let key = key.map_err(|_| "client_identity_pem: the key cannot be read")?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|_| "client_identity_pem: the key is not the certificate's".to_owned())
}
