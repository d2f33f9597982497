//! TLS of a listener: files, protocols, certificates of clients.

use std::{fs, sync::Arc, time::Duration};

use aws_lc_rs::{
    encoding::{AsDer, EcPrivateKeyRfc5915Der, Pkcs8V1Der},
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
};
use axum::{Extension, Router, routing::get};
use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::{
    ClientConfig, HandshakeKind, ProtocolVersion,
    pki_types::{PrivateKeyDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use sso_testkit::pki::{Authority, Issued, Wanted};
use sso_web::{
    ClientCertificate,
    listener::{Limits, Settings, Shutdown, serve},
    tls::{Reload, Tls, TlsFiles},
};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

#[expect(
    clippy::disallowed_methods,
    reason = "rustls verifies by the real time"
)]
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// A folder with the files of a listener.
struct Site {
    folder: TempDir,
    authority: Authority,
    files: TlsFiles,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles {
            certificate: folder.path().join("cert.pem"),
            key: folder.path().join("key.pem"),
            client_ca: None,
        };
        let site = Self {
            authority: Authority::new().unwrap(),
            folder,
            files,
        };
        site.write(&site.issue(&["localhost"]));
        site
    }

    fn issue(&self, names: &[&str]) -> Issued {
        self.authority.issue(&Wanted::of(names, now())).unwrap()
    }

    fn write(&self, issued: &Issued) {
        fs::write(&self.files.certificate, &issued.certificate).unwrap();
        fs::write(&self.files.key, &issued.key).unwrap();
    }

    fn with_client_ca(mut self, authority: &Authority) -> Self {
        let file = self.folder.path().join("clients.pem");
        fs::write(&file, authority.root()).unwrap();
        self.files.client_ca = Some(file);
        self
    }

    fn load(&self) -> Arc<Tls> {
        Arc::new(Tls::load(self.files.clone()).unwrap())
    }

    fn problem(&self) -> String {
        let text = Tls::load(self.files.clone()).unwrap_err().to_string();
        text.replace(&format!("{}/", self.folder.path().display()), "")
    }

    /// A client that trusts this authority, with a certificate or without.
    fn client(&self, identity: Option<&Issued>) -> ClientConfig {
        self.client_of(&[&TLS13, &TLS12], identity)
    }

    fn client_of(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        identity: Option<&Issued>,
    ) -> ClientConfig {
        self.authority.client(versions, identity).unwrap()
    }
}

struct Server {
    listener: std::net::SocketAddr,
    _stop: tokio_util::sync::DropGuard,
}

async fn start(tls: Arc<Tls>) -> Server {
    let names = async |certificate: Option<Extension<ClientCertificate>>| match certificate {
        Some(Extension(certificate)) => certificate.names().join(","),
        None => "nobody".to_owned(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let settings = Settings {
        tls: Some(tls),
        limits: Limits {
            header_timeout: Duration::from_millis(300),
            ..Limits::default()
        },
        ..Settings::default()
    };
    let shutdown = Shutdown {
        stop: stop.clone(),
        drain: Duration::from_millis(300),
    };
    let app = Router::new().route("/", get(names));
    tokio::spawn(serve(listener, app, settings, shutdown));
    Server {
        listener: address,
        _stop: stop.drop_guard(),
    }
}

impl Server {
    async fn connect(&self, client: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.listener).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(client))
            .connect(name, stream)
            .await
    }

    /// The body of an answer; empty when there was none.
    async fn ask(&self, client: ClientConfig) -> String {
        let Ok(mut stream) = self.connect(client).await else {
            return String::new();
        };
        let _ = stream
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        answer
            .split("\r\n\r\n")
            .nth(1)
            .unwrap_or_default()
            .to_owned()
    }
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken_and_h2_is_preferred() {
    let site = Site::new();
    let server = start(site.load()).await;
    for (version, expected) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let mut client = site.client_of(&[version], None);
        client.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
        let stream = server.connect(client.clone()).await.unwrap();
        let session = stream.get_ref().1;
        assert_eq!(session.protocol_version(), Some(expected));
        assert_eq!(session.alpn_protocol(), Some(&b"h2"[..]));
        client.alpn_protocols.pop();
        let stream = server.connect(client.clone()).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(server.ask(client).await, "nobody");
    }
}

#[tokio::test]
async fn who_does_not_finish_the_handshake_is_dropped_and_others_are_served() {
    let site = Site::new();
    let server = start(site.load()).await;
    for sent in [
        &b""[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
    ] {
        let mut stream = TcpStream::connect(server.listener).await.unwrap();
        stream.write_all(sent).await.unwrap();
        assert_eq!(server.ask(site.client(None)).await, "nobody");
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer))
            .await
            .expect("it is dropped");
        assert!(!answer.starts_with(b"HTTP"), "answered in clear");
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_of_the_authority_is_refused() {
    let clients = Authority::new().unwrap();
    let site = Site::new().with_client_ca(&clients);
    let server = start(site.load()).await;
    let issue = |wanted: &Wanted<'_>| clients.issue(wanted).unwrap();

    assert_eq!(server.ask(site.client(None)).await, "");
    let foreign = site.issue(&["billing.internal"]);
    assert_eq!(server.ask(site.client(Some(&foreign))).await, "");
    let mut wanted = Wanted::of(&["billing.internal"], now());
    wanted.not_before = now() - time::Duration::days(100);
    let over = issue(&wanted);
    assert_eq!(server.ask(site.client(Some(&over))).await, "");

    let good = issue(&Wanted::of(&["billing.internal"], now()));
    for version in [&TLS12, &TLS13] {
        let client = site.client_of(&[version], Some(&good));
        assert_eq!(server.ask(client.clone()).await, "billing.internal");
        // A session that is resumed would show nothing again.
        let mut again = server.connect(client).await.unwrap();
        again.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        again.read_to_end(&mut Vec::new()).await.unwrap();
        let kind = again.get_ref().1.handshake_kind();
        assert_eq!(kind, Some(HandshakeKind::Full));
    }
}

#[tokio::test]
async fn the_names_of_a_client_are_those_of_its_certificate() {
    let clients = Authority::new().unwrap();
    let site = Site::new().with_client_ca(&clients);
    let server = start(site.load()).await;
    let with_names = Wanted {
        uris: &["spiffe://internal/billing"],
        common_name: Some("ignored"),
        ..Wanted::of(&["billing.internal", "b.internal", "192.0.2.1"], now())
    };
    let common = Wanted {
        common_name: Some("Billing"),
        ..Wanted::of(&[], now())
    };
    let without_dns = Wanted {
        common_name: Some("admin"),
        ..Wanted::of(&["192.0.2.1"], now())
    };
    let nameless = Wanted::of(&[], now());
    for (wanted, expected) in [
        (
            with_names,
            "billing.internal,b.internal,spiffe://internal/billing",
        ),
        (common, "Billing"),
        (without_dns, ""),
        (nameless, ""),
    ] {
        let issued = clients.issue(&wanted).unwrap();
        let names = server.ask(site.client(Some(&issued))).await;
        assert_eq!(names, expected, "{wanted:?}");
    }
}

#[tokio::test]
async fn a_new_pair_is_served_to_new_connections_and_a_broken_one_is_not() {
    let site = Site::new();
    let tls = site.load();
    let server = start(tls.clone()).await;
    let shown = async || {
        let stream = server.connect(site.client(None)).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    assert_eq!(tls.reload(), Ok(Reload::Unchanged));

    let next = site.issue(&["localhost"]);
    site.write(&next);
    let open = server.connect(site.client(None)).await.unwrap();
    assert_eq!(tls.reload(), Ok(Reload::Replaced));
    assert_eq!(shown().await, next.der);
    assert_eq!(tls.reload(), Ok(Reload::Unchanged));
    drop(open);

    // Half written: the certificate is there, its key is not.
    let third = site.issue(&["localhost"]);
    fs::write(&site.files.certificate, &third.certificate).unwrap();
    let problem = tls.reload().unwrap_err();
    assert_eq!(problem.problem, "not the key of the certificate");
    assert_eq!(tls.reload(), Ok(Reload::Unchanged), "told once");
    assert_eq!(shown().await, next.der);
    fs::remove_file(&site.files.certificate).unwrap();
    assert!(tls.reload().is_err());
    assert_eq!(shown().await, next.der);

    site.write(&third);
    assert_eq!(tls.reload(), Ok(Reload::Replaced));
    assert_eq!(shown().await, third.der);
}

#[tokio::test]
async fn keys_are_read_in_each_of_their_forms() {
    let site = Site::new();
    let pem = |label: &str, der: &[u8]| {
        let text = STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    };
    let issued = site.issue(&["localhost"]);
    let pkcs8 = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.secret_der()).unwrap();
    let sec1: EcPrivateKeyRfc5915Der<'_> = ec.private_key().as_der().unwrap();
    site.write(&Issued {
        key: pem("EC PRIVATE KEY", sec1.as_ref()),
        ..issued
    });
    assert_eq!(
        start(site.load()).await.ask(site.client(None)).await,
        "nobody"
    );

    let rsa = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let pkcs8: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
    let wanted = Wanted::of(&["localhost"], now());
    let key = pem("PRIVATE KEY", pkcs8.as_ref());
    let issued = site.authority.issue_for(&wanted, &key).unwrap();
    // RFC 5958: PKCS#8 of RSA is 26 bytes of head and the key of PKCS#1.
    for key in [key, pem("RSA PRIVATE KEY", &pkcs8.as_ref()[26..])] {
        site.write(&Issued {
            key,
            ..issued.clone()
        });
        assert_eq!(
            start(site.load()).await.ask(site.client(None)).await,
            "nobody"
        );
    }
}

#[test]
fn what_cannot_be_served_from_is_named_without_its_contents() {
    let site = Site::new();
    let good = site.issue(&["localhost"]);
    let other = site.issue(&["localhost"]);
    let cases = [
        (
            String::new(),
            good.key.clone(),
            "cert.pem: no certificate in PEM",
        ),
        (
            good.key.clone(),
            good.key.clone(),
            "cert.pem: no certificate in PEM",
        ),
        (
            good.certificate.clone(),
            good.certificate.clone(),
            "key.pem: no private key in PEM (PKCS#8, SEC1 or PKCS#1)",
        ),
        (
            good.certificate.clone(),
            format!("-----BEGIN PRIVATE KEY{}", &good.key[27..]),
            "key.pem: no private key in PEM (PKCS#8, SEC1 or PKCS#1)",
        ),
        (
            good.certificate.clone(),
            other.key,
            "key.pem: not the key of the certificate",
        ),
        (
            "x".repeat(1_048_577),
            good.key,
            "cert.pem: longer than 1 MiB",
        ),
    ];
    for (certificate, key, expected) in cases {
        site.write(&Issued {
            certificate,
            key,
            der: Vec::new(),
        });
        assert_eq!(site.problem(), expected);
    }
    fs::remove_file(&site.files.key).unwrap();
    fs::write(&site.files.certificate, good.certificate).unwrap();
    assert_eq!(
        site.problem(),
        "key.pem: cannot be read: No such file or directory (os error 2)"
    );
}

#[test]
fn the_expiry_is_that_of_the_first_certificate_to_end() {
    let site = Site::new();
    let wanted = Wanted::of(&["localhost"], now());
    let end = wanted.not_before + wanted.lasts;
    site.write(&site.authority.issue(&wanted).unwrap());
    assert_eq!(site.load().expiry(), end.unix_timestamp());
}
