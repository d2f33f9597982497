//! TLS to the servers: what `sslmode` asks for, the operator's CA, the client's certificate.

use std::{io, path::Path, sync::Arc};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{OpenError, SslMode, TlsSettings};

/// The TLS of one URL; `None`: in clear.
pub(super) fn connector(
    mode: SslMode,
    settings: &TlsSettings,
) -> Result<Option<MakeRustlsConnect>, OpenError> {
    if mode == SslMode::Disable {
        return Ok(None);
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = verifier(mode, settings, &provider)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| OpenError::Settings(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match (&settings.certificate, &settings.key) {
        (Some(certificate), Some(key)) => {
            let chain = certificates("database.tls_cert", certificate)?;
            let private = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| unreadable("database.tls_key", key, &error))?;
            config
                .with_client_auth_cert(chain, private)
                .map_err(|error| unreadable("database.tls_key", key, &error))?
        }
        _ => config.with_no_client_auth(),
    };
    Ok(Some(MakeRustlsConnect::new(config)))
}

fn verifier(
    mode: SslMode,
    settings: &TlsSettings,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, OpenError> {
    let trust = |ca: &Path| trusting(ca, provider);
    Ok(match (mode, &settings.ca) {
        (SslMode::VerifyFull, Some(ca)) => trust(ca)?,
        // As libpq: whoever gives a CA wants it to be looked at.
        (SslMode::VerifyCa | SslMode::Require, Some(ca)) => Arc::new(AnyName(trust(ca)?)),
        (SslMode::VerifyFull | SslMode::VerifyCa, None) => {
            return Err(OpenError::Settings(format!(
                "sslmode={} of database.url needs database.tls_ca, the CA's certificate (for a \
                 public one the system's bundle)",
                mode.as_str()
            )));
        }
        (SslMode::Disable | SslMode::Prefer, Some(_)) => {
            return Err(OpenError::Settings(format!(
                "database.tls_ca has no effect with sslmode={} in database.url: write \
                 sslmode=verify-full",
                mode.as_str()
            )));
        }
        (SslMode::Disable | SslMode::Prefer | SslMode::Require, None) => {
            Arc::new(AnyCertificate(Arc::clone(provider)))
        }
    })
}

fn trusting(
    ca: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, OpenError> {
    let key = "database.tls_ca";
    let mut roots = RootCertStore::empty();
    for certificate in certificates(key, ca)? {
        roots
            .add(certificate)
            .map_err(|error| unreadable(key, ca, &error))?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| unreadable(key, ca, &error))
}

fn certificates(key: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, OpenError> {
    let read = || CertificateDer::pem_file_iter(file)?.collect::<Result<Vec<_>, _>>();
    let found = read().map_err(|error| unreadable(key, file, &error))?;
    if found.is_empty() {
        return Err(unreadable(key, file, &"no certificate in it"));
    }
    Ok(found)
}

fn unreadable(key: &str, file: &Path, why: &dyn std::fmt::Display) -> OpenError {
    OpenError::Settings(format!("{key}: {}: {why}", file.display()))
}

/// What is wrong with the server's certificate, if that is why the handshake failed.
pub(super) fn objection(error: &io::Error) -> Option<String> {
    let error: &Error = error.get_ref()?.downcast_ref()?;
    Some(match error {
        // A bad signature: the CA's name is the same, its key is another.
        Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => "its certificate is not signed by a CA of database.tls_ca".to_owned(),
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is for another host name (sslmode=verify-full)".to_owned(),
        Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "its certificate has expired".to_owned(),
        // It looks at ours after the handshake.
        Error::AlertReceived(
            alert @ (AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate),
        ) => format!("it does not accept the certificate of database.tls_cert ({alert:?})"),
        other => format!("the TLS handshake failed: {other}"),
    })
}

/// The chain is verified, the name is not: `verify-ca`.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The name is the last thing that it looks at.
        match self
            .0
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// `require` and `prefer` without a CA: against who listens, not against who speaks.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
