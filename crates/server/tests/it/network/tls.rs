//! TLS of the three listeners.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::Result;
use rustls::{
    ClientConfig,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};
use sso_testkit::{
    pki::{Authority, Issued, Wanted},
    process::Site,
};
use time::OffsetDateTime;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{exchange, get, logged, request, value};
use crate::support::{eventually_within, site};

#[expect(
    clippy::disallowed_methods,
    reason = "the server verifies by the real time"
)]
pub(crate) fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// A site whose listeners have certificates of this authority.
pub(crate) struct Secured {
    pub(crate) site: Site,
    authority: Authority,
}

impl Secured {
    pub(crate) fn new(listeners: &[&str]) -> Result<Self> {
        let mut secured = Self {
            site: site()?,
            authority: Authority::new()?,
        };
        for listener in listeners {
            secured.write(listener, &secured.issue(90)?)?;
            let (certificate, key) = secured.files(listener);
            let name = |key: &str| format!("SSO__{}__TLS_{key}", listener.to_uppercase());
            secured
                .site
                .set(&name("CERT"), certificate.display())
                .set(&name("KEY"), key.display());
        }
        Ok(secured)
    }

    fn issue(&self, days: i64) -> Result<Issued> {
        let mut wanted = Wanted::of(&["localhost"], now());
        wanted.lasts = time::Duration::days(days + 1);
        self.authority.issue(&wanted)
    }

    fn files(&self, listener: &str) -> (PathBuf, PathBuf) {
        let file = |kind: &str| self.site.folder().join(format!("{listener}-{kind}.pem"));
        (file("cert"), file("key"))
    }

    fn write(&self, listener: &str, issued: &Issued) -> Result<()> {
        let (certificate, key) = self.files(listener);
        fs::write(certificate, &issued.certificate)?;
        Ok(fs::write(key, &issued.key)?)
    }

    /// What clients believe.
    pub(crate) fn root(&self) -> String {
        self.authority.root()
    }

    pub(crate) fn client(&self, identity: Option<&Issued>) -> Result<ClientConfig> {
        self.authority.client(&[&TLS13, &TLS12], identity)
    }

    /// The certificate that a new connection is shown.
    async fn shown(&self, to: SocketAddr) -> Result<Vec<u8>> {
        let stream = connect(to, self.client(None)?).await?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        Ok(chain.first().map(|der| der.to_vec()).unwrap_or_default())
    }
}

pub(crate) async fn connect(to: SocketAddr, client: ClientConfig) -> Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(to).await?;
    let connector = TlsConnector::from(Arc::new(client));
    Ok(connector
        .connect(ServerName::try_from("localhost")?, stream)
        .await?)
}

#[tokio::test]
async fn every_listener_speaks_tls_and_nothing_else() -> Result<()> {
    let secured = Secured::new(&["http", "grpc", "admin"])?;
    let server = secured.site.serve_checked().await?;
    for (address, asked, expected) in [
        (server.http_address, get("/auth/healthz"), "\"Success\""),
        (
            server.grpc_address,
            request(
                "POST",
                "/sso/is-admin",
                "content-type: application/json\r\n",
                "{}",
            ),
            "user_id is required",
        ),
        (
            server.admin_address,
            get("/metrics"),
            "sso_http_requests_total",
        ),
    ] {
        for version in [&TLS12, &TLS13] {
            let client = secured.authority.client(&[version], None)?;
            let answer = exchange(&mut connect(address, client).await?, &asked).await?;
            assert!(answer.contains(expected), "{address}: {answer}");
        }
        let mut clear = TcpStream::connect(address).await?;
        let answer = exchange(&mut clear, &asked).await?;
        assert!(!answer.contains("HTTP"), "answered in clear: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn over_tls_grpc_is_spoken_by_alpn() -> Result<()> {
    let secured = Secured::new(&["grpc"])?;
    let server = secured.site.serve().await?;
    let mut client = secured.client(None)?;
    client.alpn_protocols = vec![b"h2".to_vec()];
    let stream = connect(server.grpc_address, client).await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut requests, connection) = h2::client::handshake(stream).await?;
    tokio::spawn(connection);
    let health = http::Request::post("https://localhost/grpc.health.v1.Health/Check")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let (answer, mut body) = requests.send_request(health, false)?;
    body.send_data(vec![0; 5].into(), true)?;
    let mut answer = answer.await?.into_body();
    // A frame of gRPC with status=SERVING (1) in field 1.
    let data = answer.data().await.transpose()?.unwrap_or_default();
    assert_eq!(&data[..], [0, 0, 0, 0, 2, 8, 1]);
    Ok(())
}

#[tokio::test]
async fn the_issuer_follows_tls() -> Result<()> {
    let secured = Secured::new(&["http"])?;
    let shown = secured.site.run_ok(&["config", "show"])?;
    assert!(
        shown.contains("public_url = \"https://127.0.0.1:"),
        "{shown}"
    );
    assert!(shown.contains("issuer = \"https://127.0.0.1:"), "{shown}");
    Ok(())
}

#[tokio::test]
async fn health_is_asked_over_tls_and_of_a_listener_on_every_address() -> Result<()> {
    for host in ["0.0.0.0", "[::]"] {
        let mut secured = Secured::new(&["http"])?;
        let _server = loop {
            let port = sso_testkit::process::free_port()?;
            let listen = format!("{host}:{port}");
            secured.site.set("SSO__HTTP__LISTEN", listen);
            match secured.site.serve_checked().await {
                // Free on loopback is not free on all addresses.
                Err(error) if error.to_string().contains("in use") => {}
                served => break served?,
            }
        };
        // Of a certificate that has ended the clients must judge.
        secured.write("http", &secured.issue(-1)?)?;
        let _over = secured.site.run_ok(&["healthcheck"])?;
    }
    Ok(())
}

#[tokio::test]
async fn certificates_are_renewed_without_a_restart() -> Result<()> {
    let secured = Secured::new(&["http", "admin"])?;
    let server = secured.site.serve_checked().await?;
    let metrics = async || {
        let stream = &mut connect(server.admin_address, secured.client(None)?).await?;
        exchange(stream, get("/metrics")).await
    };
    let limit = std::time::Duration::from_secs(20);
    let expiry = r#"sso_tls_certificate_expiry_seconds{listener="http"}"#;
    let replaced = r#"sso_tls_reloads_total{listener="http",outcome="replaced"}"#;
    let refused = r#"sso_tls_reloads_total{listener="http",outcome="refused"}"#;
    let first_end = value(&metrics().await?, expiry);

    let next = secured.issue(5)?;
    secured.write("http", &next)?;
    let shows_next = async || Ok(secured.shown(server.http_address).await? == next.der);
    eventually_within(limit, "the new certificate is shown", shows_next).await?;
    let text = metrics().await?;
    assert_eq!(value(&text, replaced), 1);
    // Seconds have passed between the two.
    let hours = (first_end + 3600 - value(&text, expiry)) / 3600;
    assert!((85 * 24..=85 * 24 + 1).contains(&hours), "{hours}");
    logged(&secured.site, "ends soon")?;

    // A key that is not the certificate's, and told at once.
    let third = secured.issue(90)?;
    fs::write(secured.files("http").0, &third.certificate)?;
    server.hang_up()?;
    let is_refused = async || Ok(value(&metrics().await?, refused) == 1);
    eventually_within(limit, "the broken pair is refused", is_refused).await?;
    assert!(shows_next().await?);
    let line = logged(&secured.site, "refused")?;
    assert!(
        line.contains("http-key.pem") && line.contains("ERROR"),
        "{line}"
    );

    fs::write(secured.files("http").1, &third.key)?;
    server.hang_up()?;
    let shows_third = async || Ok(secured.shown(server.http_address).await? == third.der);
    eventually_within(limit, "the whole pair is shown", shows_third).await
}

#[tokio::test]
async fn the_grpc_port_can_demand_certificates_of_its_clients() -> Result<()> {
    let mut secured = Secured::new(&["grpc"])?;
    let clients = Authority::new()?;
    let ca = secured.site.folder().join("clients.pem");
    fs::write(&ca, clients.root())?;
    secured.site.set("SSO__GRPC__TLS_CLIENT_CA", ca.display());
    let server = secured.site.serve().await?;
    let good = clients.issue(&Wanted::of(&["billing.internal"], now()))?;
    let foreign = secured
        .authority
        .issue(&Wanted::of(&["billing.internal"], now()))?;
    for (identity, answered) in [(None, false), (Some(&foreign), false), (Some(&good), true)] {
        let client = secured.client(identity)?;
        let answer = match connect(server.grpc_address, client).await {
            Ok(mut stream) => exchange(&mut stream, get("/sw/doc.json")).await?,
            Err(_) => String::new(),
        };
        assert_eq!(answer.starts_with("HTTP/1.1 200"), answered, "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn a_service_is_known_by_its_certificate() -> Result<()> {
    let mut secured = Secured::new(&["grpc"])?;
    let clients = Authority::new()?;
    let ca = secured.site.folder().join("clients.pem");
    fs::write(&ca, clients.root())?;
    let callers = "[{ name = 'billing', certificate = 'billing.internal', scopes = ['auth'] }]";
    secured
        .site
        .set("SSO__GRPC__TLS_CLIENT_CA", ca.display())
        .set("SSO__GRPC__REQUIRE_CALLER", true)
        .set("SSO__GRPC__CALLERS", callers);
    let server = secured.site.serve().await?;
    let json = "content-type: application/json\r\n";
    for (name, path, answered) in [
        ("billing.internal", "/sso/validate", "token is required"),
        ("billing.internal", "/sso.v1.Users/List", "forbidden"),
        ("other.internal", "/sso/validate", "caller_required"),
    ] {
        let identity = clients.issue(&Wanted::of(&[name], now()))?;
        let client = secured.client(Some(&identity))?;
        let mut stream = connect(server.grpc_address, client).await?;
        let answer = exchange(&mut stream, request("POST", path, json, "{}")).await?;
        assert!(answer.contains(answered), "{name} {path}: {answer}");
    }
    Ok(())
}

#[test]
fn certificates_that_cannot_be_served_from_are_a_wrong_configuration() -> Result<()> {
    let fails = |site: &Site, sentence: &str| -> Result<()> {
        let output = site.run(&["serve"])?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains(sentence), "{sentence:?} is not in {said:?}");
        Ok(())
    };
    let secured = Secured::new(&["http"])?;
    let (certificate, key) = secured.files("http");
    fs::write(&key, secured.issue(90)?.key)?;
    fails(&secured.site, "http.tls_key: ")?;
    fails(&secured.site, "not the key of the certificate")?;
    fs::remove_file(certificate)?;
    fails(&secured.site, "http.tls_cert: ")?;

    let mut site = site()?;
    site.set("SSO__HTTP__TLS_CERT", "cert.pem")
        .set("SSO__GRPC__TLS_KEY", "key.pem")
        .set("SSO__GRPC__TLS_CLIENT_CA", "ca.pem");
    fails(&site, "needs http.tls_key")?;
    fails(&site, "needs grpc.tls_cert")
}
