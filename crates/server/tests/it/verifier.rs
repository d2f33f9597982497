//! `sso-verifier`, as a service of somebody else has it, against the real binary.

mod gate;
mod keys;
mod languages;
mod layers;
mod outages;
mod secured;
mod three;
mod tokens;
#[path = "../../../verifier/examples/whoami.rs"]
#[expect(dead_code, reason = "the example's main is for people")]
mod whoami;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sso_core::Scope;
use sso_testkit::{
    persona::Persona,
    process::{Server, Site},
};
use sso_verifier::{Builder, Claims, Refused, Verifier, WhenSilent};

use crate::support::{callers, digest_of, eventually, site, token_of};

/// How late a revocation may be obeyed after `everywhere`.
const BOUND: Duration = Duration::from_secs(1);
/// The token of a service that may watch and ask.
const CALLER: &str = "the token of the shop";

/// A site whose services are known.
fn known_site() -> Result<Site> {
    let mut site = site()?;
    let digest = digest_of(CALLER);
    let shop = format!(
        "{{ name = 'shop', token_sha256 = '{digest}', scopes = ['auth', 'revocations:read'] }}"
    );
    let callers = callers().replacen('[', &format!("[{shop}, "), 1);
    site.set("SSO__GRPC__CALLERS", callers)
        .set("SSO__GRPC__REQUIRE_CALLER", true);
    Ok(site)
}

/// A verifier of the tokens of this server, without an address to listen to.
fn builder(server: &Server) -> Builder {
    Verifier::builder(format!("http://{}", server.http_address)).caller_token(CALLER)
}

/// One that listens to it.
async fn verifier(server: &Server, when_silent: WhenSilent) -> Result<Verifier> {
    let builder = builder(server)
        .grpc_url(format!("http://{}", server.grpc_address))
        .when_silent(when_silent);
    let verifier = builder.build().await?;
    ensure!(verifier.ready(), "{:?}", verifier.status());
    Ok(verifier)
}

/// Waits until the token is refused as revoked, at most for the bound.
async fn revoked_in_time(verifier: &Verifier, token: &str, since: Instant) -> Result<()> {
    loop {
        match verifier.verify(token).await {
            Err(Refused::Revoked) => return Ok(()),
            other => ensure!(since.elapsed() < BOUND, "{other:?} {:?}", verifier.status()),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_token_says_who_is_calling() -> Result<()> {
    let server = known_site()?.serve().await?;
    let verifier = verifier(&server, WhenSilent::Refuse).await?;
    let alice = Persona::register(&server.http, "Alice").await?;
    for claims in [
        verifier.verify(&alice.access).await?,
        verifier.verify_now(&alice.access)?,
    ] {
        let Claims {
            user_id,
            email,
            is_admin,
            ..
        } = claims;
        assert_eq!(user_id.to_string(), alice.id);
        assert_eq!((&*email, is_admin), ("Alice@example.com", false));
    }
    Ok(())
}

#[tokio::test]
async fn what_is_ended_in_any_way_is_refused_a_second_after_everywhere_at_the_latest() -> Result<()>
{
    let site = known_site()?;
    let server = site.serve().await?;
    let verifier = verifier(&server, WhenSilent::Refuse).await?;
    let alice = Persona::register(&server.http, "alice").await?;
    assert!(verifier.verify(&alice.access).await.is_ok());
    let reply = alice.logout(&alice.access, false).await?;
    assert_eq!(reply.header("x-revocation"), "everywhere");
    revoked_in_time(&verifier, &alice.access, Instant::now()).await?;

    let mut bob = Persona::register(&server.http, "bob").await?;
    let before = bob.access.clone();
    assert!(verifier.verify(&before).await.is_ok());
    bob.change_password("quite another secret").await?;
    revoked_in_time(&verifier, &before, Instant::now()).await?;
    assert!(verifier.verify(&bob.access).await.is_ok());

    for (name, command) in [("carol", "disable"), ("dave", "set-admin")] {
        let user = Persona::register(&server.http, name).await?;
        assert!(verifier.verify(&user.access).await.is_ok());
        let said = site.run_ok(&["user", command, &user.email])?;
        assert!(said.contains("everywhere"), "{said}");
        revoked_in_time(&verifier, &user.access, Instant::now()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn who_comes_late_is_told_what_was_revoked_before() -> Result<()> {
    let server = known_site()?.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    let mut bob = Persona::register(&server.http, "bob").await?;
    let before = bob.access.clone();
    alice.logout(&alice.access, false).await?;
    bob.change_password("quite another secret").await?;
    let verifier = verifier(&server, WhenSilent::Refuse).await?;
    for over in [&alice.access, &before] {
        assert_eq!(verifier.verify(over).await, Err(Refused::Revoked));
    }
    assert!(verifier.verify(&bob.access).await.is_ok());
    Ok(())
}

#[tokio::test]
async fn keys_come_and_go_without_a_restart() -> Result<()> {
    let mut site = known_site()?;
    site.set("SSO__KEYS__JWKS_MAX_AGE", "10s");
    let server = site.serve().await?;
    let verifier = verifier(&server, WhenSilent::Refuse).await?;
    let mut alice = Persona::register(&server.http, "alice").await?;
    let (first, old) = (
        crate::keys::header(&alice.access, "kid")?,
        alice.access.clone(),
    );
    assert!(verifier.verify(&old).await.is_ok());
    let made = crate::keys::keys(&site, &["rotate", "--now"])?;
    ensure!(!made.is_empty(), "no key was made");
    let bob = Persona::register(&server.http, "bob").await?;
    eventually("fresh tokens are signed by another key", async || {
        let mut bob = bob.clone();
        bob.login().await?;
        Ok(crate::keys::header(&bob.access, "kid")? != first)
    })
    .await?;
    alice.login().await?;
    assert!(verifier.verify(&alice.access).await.is_ok());
    assert!(verifier.verify(&old).await.is_ok());

    site.run_ok(&["keys", "retire", &first])?;
    revoked_in_time(&verifier, &old, Instant::now()).await?;
    assert!(verifier.verify(&alice.access).await.is_ok());
    Ok(())
}

#[tokio::test]
async fn a_whole_service_knows_who_is_calling() -> Result<()> {
    let server = known_site()?.serve().await?;
    let verifier = verifier(&server, WhenSilent::Refuse).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let service = sso_testkit::http::Http::new(listener.local_addr()?);
    let serving =
        tokio::spawn(async move { axum::serve(listener, whoami::router(verifier)).await });
    let alice = Persona::register(&server.http, "alice").await?;
    assert_eq!(service.get("/ready", None).await?.status, 200);
    let reply = service.get("/whoami", Some(&alice.access)).await?;
    assert_eq!(
        (reply.status.as_u16(), reply.text("user_id")),
        (200, alice.id.clone())
    );
    for bad in [None, Some("a.b.c"), Some(alice.refresh.as_str())] {
        let reply = service.get("/whoami", bad).await?;
        assert_eq!(reply.status, 401, "{bad:?}");
        assert_eq!(reply.header("www-authenticate"), "Bearer");
        assert_eq!(reply.text("status"), "Error");
    }
    alice.logout(&alice.access, false).await?;
    eventually("the service refuses her", async || {
        let reply = service.get("/whoami", Some(&alice.access)).await?;
        Ok(reply.status == 401 && reply.code() == "token_revoked")
    })
    .await?;
    serving.abort();
    Ok(())
}

#[tokio::test]
async fn a_caller_without_the_scope_hears_nothing_and_the_status_says_why() -> Result<()> {
    let server = known_site()?.serve().await?;
    let verifier = Verifier::builder(format!("http://{}", server.http_address))
        .caller_token(token_of(Scope::Auth))
        .grpc_url(format!("http://{}", server.grpc_address))
        .when_silent(WhenSilent::Refuse)
        .patience(Duration::from_millis(500))
        .build()
        .await?;
    assert!(!verifier.ready());
    let alice = Persona::register(&server.http, "alice").await?;
    assert_eq!(
        verifier.verify(&alice.access).await,
        Err(Refused::Unknowable)
    );
    let problem = verifier.status().problem.unwrap_or_default();
    assert!(problem.contains("PermissionDenied"), "{problem}");
    Ok(())
}
