//! The mode `hs256`: what the clients and the tokens of the system before this one find.

use anyhow::{Context, Result};
use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use serde_json::{Value, json};
use sso_testkit::{
    persona::Persona,
    process::{Server, Site},
};

use crate::{
    keys::{claim, header},
    support::{site, validate},
};

const SECRET: &str = "a secret that is shared with every service";

fn compat() -> Result<Site> {
    let mut site = site()?;
    site.set("SSO__TOKENS__MODE", "hs256")
        .set("SSO__TOKENS__HS256_SECRET", SECRET);
    Ok(site)
}

fn sign(secret: &str, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!(
        "{}.{}",
        part(&json!({ "alg": "HS256", "typ": "JWT" })),
        part(claims)
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()));
    format!("{message}.{signature}")
}

/// A token as the seed made it, good for `seconds`.
fn seed(of: &Persona, seconds: i64) -> Result<String> {
    let now = claim(&of.access, "iat")?.as_i64().context("no iat")?;
    Ok(sign(
        SECRET,
        &json!({
            "token_type": "access", "uid": of.id, "email": of.email, "exp": now + seconds,
        }),
    ))
}

async fn info(server: &Server, token: &str) -> Result<(StatusCode, String)> {
    let reply = server.http.get("/auth/info", Some(token)).await?;
    Ok((reply.status, reply.code()))
}

fn good() -> (StatusCode, String) {
    (StatusCode::OK, String::new())
}

fn refused(code: &str) -> (StatusCode, String) {
    (StatusCode::UNAUTHORIZED, code.to_owned())
}

#[tokio::test]
async fn a_whole_session_goes_by_tokens_of_the_secret() -> Result<()> {
    let site = compat()?;
    let server = site.serve().await?;
    let mut grpc = server.grpc().await?;
    let mut alice = Persona::register(&server.http, "Alice").await?;
    assert_eq!(
        (header(&alice.access, "alg")?, header(&alice.access, "typ")?),
        ("HS256".to_owned(), "JWT".to_owned())
    );
    let claims = ["token_type", "uid", "email"].map(|name| claim(&alice.access, name));
    let [token_type, uid, email] = claims;
    assert_eq!(token_type?, "access");
    assert_eq!(uid?, alice.id.as_str());
    assert_eq!(email?, "Alice@example.com");
    assert!(claim(&alice.access, "exp")?.is_i64());
    let (message, signature) = alice.access.rsplit_once('.').context("no token")?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    assert!(
        hmac::verify(
            &key,
            message.as_bytes(),
            &URL_SAFE_NO_PAD.decode(signature)?
        )
        .is_ok()
    );

    let jwks = server.http.get("/.well-known/jwks.json", None).await?;
    assert_eq!(jwks.json(), json!({ "keys": [] }));
    assert_eq!(alice.info().await?.status, StatusCode::OK);
    let answer = grpc.validate(validate(&alice.access)).await?.into_inner();
    assert_eq!((answer.user_id, answer.is_admin), (alice.id.clone(), false));

    assert_eq!(header(&alice.refresh, "typ")?, "rt+jwt");
    assert_eq!(
        alice.use_refresh_token(&alice.access).await?.code(),
        "wrong_token_type"
    );
    let old = alice.clone();
    assert_eq!(alice.refresh().await?.status, StatusCode::OK);
    assert_eq!(old.info().await?.status, StatusCode::OK);
    assert_eq!(
        alice.logout(&alice.access, false).await?.status,
        StatusCode::OK
    );
    assert_eq!(
        info(&server, &alice.access).await?,
        refused("token_revoked")
    );
    assert_eq!(info(&server, &old.access).await?, refused("token_revoked"));
    Ok(())
}

#[tokio::test]
async fn no_token_of_the_secret_is_an_administrators() -> Result<()> {
    let site = compat()?;
    let server = site.serve().await?;
    let mut grpc = server.grpc().await?;
    let mut alice = Persona::register(&server.http, "alice").await?;
    site.run_ok(&["user", "set-admin", &alice.email])?;
    assert_eq!(alice.login().await?.status, StatusCode::OK);
    assert_eq!(claim(&alice.access, "adm")?, Value::Null);
    let answer = grpc.validate(validate(&alice.access)).await?.into_inner();
    assert!(answer.success && !answer.is_admin);
    // The row says who he is; the token says nothing.
    assert_eq!(alice.info().await?.json()["is_admin"], true);
    let bearer = format!("Bearer {}", alice.access);
    let headers = [
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
    ];
    let json = server.grpc_json();
    let path = "/sso.v1.Users/List";
    let administered = json.send(http::Method::POST, path, &headers, "{}").await?;
    assert_eq!(administered.status, StatusCode::FORBIDDEN);

    let part = alice.access.split('.').nth(1).context("no claims")?;
    let mut forged: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?;
    assert_eq!(info(&server, &sign(SECRET, &forged)).await?, good());
    forged["adm"] = json!(true);
    assert_eq!(
        info(&server, &sign(SECRET, &forged)).await?,
        refused("invalid_token")
    );
    Ok(())
}

#[tokio::test]
async fn a_token_of_the_seed_is_good_until_it_is_logged_out_alone() -> Result<()> {
    let site = compat()?;
    let mut server = site.serve().await?;
    let mut grpc = server.grpc().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    let (one, other) = (seed(&alice, 3600)?, seed(&alice, 7200)?);
    assert_eq!(info(&server, &one).await?, good());
    let answer = grpc.validate(validate(&one)).await?.into_inner();
    assert_eq!(
        (answer.user_id.as_str(), answer.version),
        (alice.id.as_str(), 0)
    );
    assert_eq!(
        alice.use_refresh_token(&one).await?.code(),
        "wrong_token_type"
    );

    for _ in 0..2 {
        assert_eq!(alice.logout(&one, false).await?.status, StatusCode::OK);
        assert_eq!(info(&server, &one).await?, refused("token_revoked"));
    }
    assert!(grpc.validate(validate(&one)).await.is_err());
    assert_eq!(info(&server, &other).await?, good());
    assert_eq!(alice.info().await?.status, StatusCode::OK);
    server.kill()?;
    let server = site.serve().await?;
    assert_eq!(info(&server, &one).await?, refused("token_revoked"));
    assert_eq!(info(&server, &other).await?, good());

    let expired = seed(&alice, -60)?;
    assert_eq!(info(&server, &expired).await?, refused("token_expired"));
    assert_eq!(alice.logout(&expired, true).await?.status, StatusCode::OK);
    assert_eq!(
        info(&server, &other).await?,
        good(),
        "an expired token ends nothing"
    );
    assert_eq!(alice.logout(&other, true).await?.status, StatusCode::OK);
    assert_eq!(info(&server, &other).await?, refused("token_revoked"));
    assert_eq!(alice.info().await?.code(), "token_revoked");
    Ok(())
}

#[tokio::test]
async fn what_ends_a_users_sessions_ends_his_tokens_of_the_seed_for_good() -> Result<()> {
    let site = compat()?;
    let server = site.serve().await?;
    let mut grpc = server.grpc().await?;
    let mut alice = Persona::register(&server.http, "alice").await?;
    let mut bob = Persona::register(&server.http, "bob").await?;
    let carol = Persona::register(&server.http, "carol").await?;
    let ten_years = 10 * 365 * 86_400;
    let [of_alice, of_bob, of_carol] = [&alice, &bob, &carol].map(|of| seed(of, ten_years));
    let (of_alice, of_bob, of_carol) = (of_alice?, of_bob?, of_carol?);
    assert_eq!(
        alice.change_password("quite another secret").await?.status,
        StatusCode::OK
    );
    site.run_ok(&["user", "disable", &bob.email])?;
    site.run_ok(&["user", "set-admin", &carol.email])?;
    assert_eq!(info(&server, &of_alice).await?, refused("token_revoked"));
    assert_eq!(info(&server, &of_bob).await?, refused("token_revoked"));
    assert_eq!(
        info(&server, &of_carol).await?,
        good(),
        "a role is nothing that it says"
    );
    site.run_ok(&["user", "enable", &bob.email])?;
    assert_eq!(bob.login().await?.status, StatusCode::OK);
    assert_eq!(info(&server, &of_bob).await?, refused("token_revoked"));
    // Validate asks nobody but the token and the user's row.
    for over in [&of_alice, &of_bob] {
        let refused = grpc.validate(validate(over)).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    }
    assert!(grpc.validate(validate(&of_carol)).await.is_ok());
    // Nobody of that id.
    let mut nobody = bob.clone();
    nobody.id = bob.id.replace('0', "1");
    let nobody = seed(&nobody, 60)?;
    assert_eq!(info(&server, &nobody).await?, refused("token_revoked"));
    Ok(())
}

#[tokio::test]
async fn the_secret_opens_nothing_in_the_other_mode_and_sessions_survive_the_change() -> Result<()>
{
    let mut site = compat()?;
    let server = site.serve().await?;
    let mut alice = Persona::register(&server.http, "alice").await?;
    let (seed, before) = (seed(&alice, 3600)?, alice.access.clone());
    drop(server);
    site.unset("SSO__TOKENS__MODE");
    let server = site.serve().await?;
    for token in [&seed, &before] {
        assert_eq!(info(&server, token).await?, refused("invalid_token"));
        assert_eq!(alice.logout(token, false).await?.code(), "invalid_token");
    }
    assert_eq!(alice.refresh().await?.status, StatusCode::OK);
    assert_eq!(header(&alice.access, "alg")?, "EdDSA");
    drop(server);
    site.set("SSO__TOKENS__MODE", "hs256");
    let server = site.serve().await?;
    assert_eq!(
        info(&server, &alice.access).await?,
        good(),
        "what the ring signed is ours"
    );
    Ok(())
}

#[test]
fn a_short_secret_must_be_written_down_as_such() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__TOKENS__MODE", "hs256");
    let none = site.run(&["config", "check"])?;
    assert_eq!(none.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&none.stderr).contains("tokens.hs256_secret"));
    site.set(
        "SSO__TOKENS__HS256_SECRET",
        "31 bytes are one too few ......",
    );
    let short = site.run(&["config", "check"])?;
    assert_eq!(short.status.code(), Some(78));
    let said = String::from_utf8_lossy(&short.stderr).into_owned();
    assert!(
        said.contains("hs256_accept_weak") && !said.contains("31 bytes"),
        "{said}"
    );
    site.set("SSO__TOKENS__HS256_ACCEPT_WEAK", true);
    site.run_ok(&["config", "check"])?;
    let shown = site.run_ok(&["config", "show"])?;
    assert!(!shown.contains("31 bytes"), "{shown}");

    std::fs::write(site.folder().join("secret"), format!("{SECRET}\n"))?;
    site.unset("SSO__TOKENS__HS256_SECRET")
        .unset("SSO__TOKENS__HS256_ACCEPT_WEAK")
        .set("SSO__TOKENS__HS256_SECRET_FILE", "secret");
    site.run_ok(&["config", "check"])?;
    Ok(())
}
