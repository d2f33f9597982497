//! TLS by roots of one's own, and a service that is known by its certificate.

use std::fs;

use anyhow::Context;
use serde_json::{Value, json};
use sso_testkit::pki::{Authority, Issued, Wanted};

use super::*;
use crate::network::{
    exchange, request,
    tls::{Secured, connect},
};

const ISSUER: &str = "https://sso.example.com";

/// Both ports speak TLS, and a service is known by the name in its certificate.
struct Place {
    secured: Secured,
    clients: Authority,
}

impl Place {
    fn new() -> Result<Self> {
        let mut secured = Secured::new(&["http", "grpc"])?;
        let clients = Authority::new()?;
        let ca = secured.site.folder().join("clients.pem");
        fs::write(&ca, clients.root())?;
        let callers = "[{ name = 'shop', certificate = 'shop.internal', \
                       scopes = ['auth', 'revocations:read'] }]";
        secured
            .site
            .set("SSO__HTTP__PUBLIC_URL", ISSUER)
            .set("SSO__GRPC__TLS_CLIENT_CA", ca.display())
            .set("SSO__GRPC__REQUIRE_CALLER", true)
            .set("SSO__GRPC__CALLERS", callers);
        Ok(Self { secured, clients })
    }

    fn certificate_of(&self, name: &str) -> Result<Issued> {
        self.clients
            .issue(&Wanted::of(&[name], crate::network::tls::now()))
    }

    fn builder(server: &Server, roots: String) -> Builder {
        let port = server.http_address.port();
        Verifier::builder(ISSUER)
            .jwks_url(format!("https://localhost:{port}/.well-known/jwks.json"))
            .grpc_url(format!("https://localhost:{}", server.grpc_address.port()))
            .roots_pem(roots)
            .when_silent(WhenSilent::Refuse)
            .patience(Duration::from_secs(2))
    }

    async fn post(&self, server: &Server, path: &str, body: &Value) -> Result<Value> {
        let mut stream = connect(server.http_address, self.secured.client(None)?).await?;
        let json = "content-type: application/json\r\n";
        let sent = request("POST", path, json, &body.to_string());
        let answer = exchange(&mut stream, sent).await?;
        let (_, body) = answer.split_once("\r\n\r\n").context("no body")?;
        Ok(serde_json::from_str(body)?)
    }
}

#[tokio::test]
async fn by_roots_and_a_certificate_of_ones_own_it_hears_and_by_others_nothing() -> Result<()> {
    let place = Place::new()?;
    let server = place.secured.site.serve_checked().await?;
    let shop = place.certificate_of("shop.internal")?;
    let known = Place::builder(&server, place.secured.root())
        .client_identity_pem(shop.certificate.as_bytes(), shop.key.as_bytes())
        .patience(Duration::from_secs(20))
        .build()
        .await?;
    ensure!(known.ready(), "{:?}", known.status());
    let body = json!({ "email": "alice@example.com", "password": "a secret of hers" });
    let alice = place.post(&server, "/auth/registration", &body).await?;
    let token = alice["access_token"].as_str().context("no token")?;
    assert_eq!(
        known.verify(token).await?.user_id.to_string(),
        alice["user_id"].as_str().unwrap_or_default()
    );
    place
        .post(&server, "/auth/logout", &json!({ "token": token }))
        .await?;
    revoked_in_time(&known, token, Instant::now()).await?;

    let other = place.certificate_of("other.internal")?;
    let stranger = Authority::new()?;
    let forged = stranger.issue(&Wanted::of(&["shop.internal"], crate::network::tls::now()))?;
    for (roots, identity) in [
        // Who is not ours is not asked for keys; who is not theirs is told nothing.
        (stranger.root(), Some(&shop)),
        (place.secured.root(), None),
        (place.secured.root(), Some(&other)),
        (place.secured.root(), Some(&forged)),
    ] {
        let mut builder = Place::builder(&server, roots);
        if let Some(identity) = identity {
            builder = builder
                .client_identity_pem(identity.certificate.as_bytes(), identity.key.as_bytes());
        }
        let verifier = builder.build().await?;
        assert!(!verifier.ready(), "{:?}", verifier.status());
        assert!(verifier.status().problem.is_some());
        assert_eq!(
            verifier.verify(token).await.err(),
            Some(Refused::Unknowable)
        );
    }
    Ok(())
}
