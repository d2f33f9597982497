//! TLS of a listener: 1.2 and 1.3 by rustls, HTTP/2 and HTTP/1.1 by ALPN, certificates that can be
//! replaced while connections are open.

mod certificate;

use std::{
    fs::File,
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

pub use certificate::ClientCertificate;

/// Longest file of certificates or of a key, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// The protocols offered, the better one first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Where a listener's certificates are. All files are PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, then those that lead to its root.
    pub certificate: PathBuf,
    /// Its private key: PKCS#8, SEC1 or PKCS#1.
    pub key: PathBuf,
    /// Roots of the clients' certificates. With them a client without such a certificate is
    /// refused.
    pub client_ca: Option<PathBuf>,
}

/// Why the files cannot be served from. Says which one; never what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}: {problem}", .file.display())]
pub struct TlsError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

/// What [`Tls::reload`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// Nothing new since the last look, be it good or bad.
    Unchanged,
    /// Connections from now on are served with what is in the files.
    Replaced,
}

/// A listener's certificates.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    /// What the files were when they were looked at last.
    seen: Mutex<u64>,
    current: RwLock<Current>,
}

#[derive(Debug, Clone)]
struct Current {
    config: Arc<ServerConfig>,
    expiry: i64,
}

impl Tls {
    /// Reads the files.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let contents = Contents::read(&files)?;
        let current = contents.parse(&files)?;
        Ok(Self {
            seen: Mutex::new(digest(&Ok(contents))),
            current: RwLock::new(current),
            files,
        })
    }

    /// Looks at the files again. If they are new and good they are served from now on; open
    /// connections stay. If they are new and bad, what was served is served further, and the error
    /// is told once: the next look at the same files finds nothing new. Reads files: not for a
    /// thread that serves.
    pub fn reload(&self) -> Result<Reload, TlsError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = Contents::read(&self.files);
        let digest = digest(&contents);
        if std::mem::replace(&mut *seen, digest) == digest {
            return Ok(Reload::Unchanged);
        }
        let new = contents?.parse(&self.files)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(Reload::Replaced)
    }

    /// When the first of the certificates that are served ends, in seconds since 1970.
    pub fn expiry(&self) -> i64 {
        self.current().expiry
    }

    /// For the next connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.current().config.into()
    }

    fn current(&self) -> Current {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// What is in the files.
struct Contents {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    client_ca: Option<Vec<u8>>,
}

/// Enough to see a change; it keeps no copy of a key.
fn digest(contents: &Result<Contents, TlsError>) -> u64 {
    let mut hasher = DefaultHasher::new();
    match contents {
        Ok(read) => (&read.certificate, &*read.key, &read.client_ca).hash(&mut hasher),
        Err(error) => error.hash(&mut hasher),
    }
    hasher.finish()
}

impl Contents {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let client_ca = files.client_ca.as_deref().map(read).transpose()?;
        Ok(Self {
            certificate: read(&files.certificate)?,
            key: Zeroizing::new(read(&files.key)?),
            client_ca,
        })
    }

    fn parse(&self, files: &TlsFiles) -> Result<Current, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let of_certificate = wrong(&files.certificate);
        let chain = certificates(&self.certificate, &files.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| wrong(&files.key)("no private key in PEM (PKCS#8, SEC1 or PKCS#1)"))?;
        let expiry = certificate::expiry(&chain)
            .ok_or_else(|| of_certificate("not an X.509 certificate"))?;
        let versions = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| of_certificate(&error.to_string()))?;
        let clients = match (&self.client_ca, &files.client_ca) {
            (Some(pem), Some(file)) => versions.with_client_cert_verifier(
                client_verifier(&certificates(pem, file)?, provider)
                    .map_err(|problem| wrong(file)(&problem))?,
            ),
            _ => versions.with_no_client_auth(),
        };
        let mut config = clients
            .with_single_cert(chain, key)
            .map_err(|error| wrong(&files.key)(&of_pair(&error)))?;
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
        if self.client_ca.is_some() {
            // A session that is resumed verifies nothing: a client's certificate would be good for
            // hours after its end.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Current {
            config: Arc::new(config),
            expiry,
        })
    }
}

fn client_verifier(
    roots: &[CertificateDer<'static>],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, String> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).map_err(|error| error.to_string())?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider)
        .build()
        .map_err(|error| error.to_string())
}

fn of_pair(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => "not the key of the certificate".to_owned(),
        error => format!("not a usable key: {error}"),
    }
}

/// Every certificate of a file; at least one.
fn certificates(pem: &[u8], file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        // The library's own words may repeat a line of the file.
        _ => Err(wrong(file)("no certificate in PEM")),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |error: io::Error| wrong(file)(&format!("cannot be read: {error}"));
    let opened = File::open(file).map_err(failed)?;
    let mut bytes = Vec::new();
    opened
        .take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(wrong(file)("longer than 1 MiB"));
    }
    Ok(bytes)
}

fn wrong(file: &Path) -> impl Fn(&str) -> TlsError {
    move |problem| TlsError {
        file: file.to_owned(),
        problem: problem.to_owned(),
    }
}
