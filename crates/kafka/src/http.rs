//! One request at a time over HTTP/1.1, with TLS where the address says so. Asked seldom, so no
//! connection is kept.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header, uri::Scheme};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use sso_config::remote::Credential;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::SettingsError;

/// Longest answer.
const MAX_BODY: usize = 1 << 20;

/// Where a server is.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    host: String,
    port: u16,
    tls: bool,
    /// Without a slash at its end.
    path: String,
}

/// Who we are to it.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// RFC 7617.
    Basic {
        /// Our name.
        user: String,
        /// Sent as it is: only over TLS.
        password: Credential,
    },
    /// RFC 6750.
    Bearer(Credential),
}

/// Asks servers that it trusts.
#[derive(Clone)]
pub(crate) struct Http {
    tls: Arc<ClientConfig>,
    patience: Duration,
}

/// What is asked.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) method: Method,
    /// Appended to the address.
    pub(crate) path: &'a str,
    pub(crate) content_type: &'static str,
    pub(crate) accept: &'static str,
    pub(crate) body: Bytes,
    pub(crate) credentials: Option<&'a Credentials>,
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self, SettingsError> {
        let wrong = || SettingsError::Url(text.to_owned());
        let uri: Uri = text
            .parse()
            .map_err(|_| SettingsError::Url("it".to_owned()))?;
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(wrong());
        };
        if authority.as_str().contains('@') {
            // Whoever wrote it has written a password: it is not repeated.
            return Err(SettingsError::Url("an address with credentials".to_owned()));
        }
        if uri.query().is_some() || (scheme != &Scheme::HTTP && scheme != &Scheme::HTTPS) {
            return Err(wrong());
        }
        let tls = scheme == &Scheme::HTTPS;
        let host = authority.host();
        Ok(Self {
            host: host
                .strip_prefix('[')
                .and_then(|host| host.strip_suffix(']'))
                .unwrap_or(host)
                .to_owned(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            tls,
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// For messages.
    pub(crate) fn shown(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl Http {
    /// Trusts the roots of this file (PEM), or those of this machine.
    pub(crate) fn new(ca: Option<&Path>, patience: Duration) -> Result<Self, SettingsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| of_roots("TLS", &error))?
            .with_root_certificates(roots(ca)?)
            .with_no_client_auth();
        Ok(Self {
            tls: Arc::new(tls),
            patience,
        })
    }

    /// Asks; the answer's status and body, or why there is none.
    pub(crate) async fn ask(
        &self,
        address: &Address,
        question: &Question<'_>,
    ) -> Result<(StatusCode, Bytes), String> {
        match timeout(self.patience, Box::pin(self.exchange(address, question))).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {:?}", self.patience)),
        }
    }

    async fn exchange(
        &self,
        address: &Address,
        question: &Question<'_>,
    ) -> Result<(StatusCode, Bytes), String> {
        let request = request(address, question).map_err(|error| error.to_string())?;
        let stream = TcpStream::connect((&*address.host, address.port)).await;
        let stream = stream.map_err(|error| error.to_string())?;
        if !address.tls {
            return send(stream, request).await;
        }
        let name = ServerName::try_from(address.host.clone()).map_err(|error| error.to_string())?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(name, stream).await;
        send(stream.map_err(|error| error.to_string())?, request).await
    }
}

fn request(
    address: &Address,
    question: &Question<'_>,
) -> Result<Request<Full<Bytes>>, http::Error> {
    let mut request = Request::builder()
        .method(question.method.clone())
        .uri(format!("{}{}", address.path, question.path))
        .header(header::HOST, address.authority())
        .header(header::ACCEPT, question.accept);
    if !question.body.is_empty() {
        request = request.header(header::CONTENT_TYPE, question.content_type);
    }
    if let Some(credentials) = question.credentials {
        request = request.header(header::AUTHORIZATION, credentials.header()?);
    }
    request.body(Full::new(question.body.clone()))
}

impl Credentials {
    fn header(&self) -> Result<HeaderValue, http::Error> {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let text = match self {
            Self::Basic { user, password } => {
                let pair = STANDARD.encode(format!("{user}:{}", password.reveal()));
                format!("Basic {pair}")
            }
            Self::Bearer(token) => format!("Bearer {}", token.reveal()),
        };
        let mut value = HeaderValue::from_str(&text)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), String> {
    let tell = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(tell)?;
    let answer = async {
        let (head, body) = sender
            .send_request(request)
            .await
            .map_err(tell)?
            .into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await;
        let body = body.map_err(|error| error.to_string())?;
        Ok((head.status, body.to_bytes()))
    };
    tokio::pin!(connection);
    tokio::pin!(answer);
    tokio::select! {
        done = &mut answer => done,
        ended = &mut connection => match ended {
            // The answer may have come with the connection's end.
            Ok(()) => answer.await,
            Err(error) => Err(error.to_string()),
        },
    }
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, SettingsError> {
    let mut roots = RootCertStore::empty();
    let Some(ca) = ca else {
        // One that cannot be read is one fewer to trust.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let path = ca.display().to_string();
    let certificates =
        CertificateDer::pem_file_iter(ca).map_err(|error| of_roots(&path, &error))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| of_roots(&path, &error))?;
        roots
            .add(certificate)
            .map_err(|error| of_roots(&path, &error))?;
    }
    if roots.is_empty() {
        return Err(of_roots(&path, &"it has no certificate"));
    }
    Ok(roots)
}

fn of_roots(path: &str, why: &dyn std::fmt::Display) -> SettingsError {
    SettingsError::Roots {
        path: path.to_owned(),
        why: why.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_url_without_credentials() {
        let of = |text| Address::parse(text).map(|address| (address.shown(), address.path));
        assert_eq!(
            of("https://[::1]/a/").unwrap(),
            ("https://[::1]:443".into(), "/a".into())
        );
        assert_eq!(
            of("http://h:8081").unwrap(),
            ("http://h:8081".into(), String::new())
        );
        for wrong in ["h:8081", "ftp://h", "http://h/?a", "", "http://"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
        let error = of("https://me:secret@h").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn credentials_are_not_shown() {
        let basic = Credentials::Basic {
            user: "me".into(),
            password: Credential::new("hidden"),
        };
        let header = basic.header().unwrap();
        assert_eq!(header.to_str().unwrap(), "Basic bWU6aGlkZGVu");
        for shown in [format!("{basic:?}"), format!("{header:?}")] {
            assert!(
                !shown.contains("hidden") && !shown.contains("bWU6"),
                "{shown}"
            );
        }
    }
}
