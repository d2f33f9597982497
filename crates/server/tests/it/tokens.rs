//! Tokens over the wire: each manipulation is refused with its code.

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use serde_json::{Value, json};
use sso_testkit::persona::Persona;

use crate::support::{site, validate};

fn part(token: &str, index: usize) -> Result<Value> {
    let part = token.split('.').nth(index).context("no such part")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?)
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[tokio::test]
async fn an_access_token_says_what_the_contract_says() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__HTTP__PUBLIC_URL", "https://id.example.com");
    let server = site.serve().await?;
    let alice = Persona::register(&server.http, "Alice").await?;

    let header = part(&alice.access, 0)?;
    assert_eq!(
        (&header["alg"], &header["typ"]),
        (&json!("EdDSA"), &json!("at+jwt"))
    );
    let claims = part(&alice.access, 1)?;
    assert_eq!(claims["token_type"], "access");
    assert_eq!(
        (&claims["uid"], &claims["sub"]),
        (&json!(alice.id), &json!(alice.id))
    );
    assert_eq!(claims["email"], "Alice@example.com");
    assert_eq!(claims["email_verified"], false);
    assert_eq!(
        (&claims["iss"], &claims["aud"]),
        (
            &json!("https://id.example.com"),
            &json!("https://id.example.com")
        )
    );
    assert_eq!(claims["adm"], Value::Null);
    let lifetime = claims["exp"].as_i64().zip(claims["iat"].as_i64());
    assert_eq!(lifetime.map(|(exp, iat)| exp - iat), Some(15 * 60));
    for member in ["jti", "sid", "ver"] {
        assert_ne!(claims[member], Value::Null, "{member}");
    }

    let header = part(&alice.refresh, 0)?;
    assert_eq!(
        (&header["alg"], &header["typ"]),
        (&json!("HS256"), &json!("rt+jwt"))
    );
    let claims = part(&alice.refresh, 1)?;
    assert_eq!(
        (&claims["token_type"], &claims["aud"]),
        (&json!("refresh"), &claims["iss"])
    );
    let lifetime = claims["exp"].as_i64().zip(claims["iat"].as_i64());
    assert_eq!(
        lifetime.map(|(exp, iat)| exp - iat),
        Some(10 * 24 * 60 * 60)
    );
    Ok(())
}

/// A verifier that checks the signature by the JWKS and nothing else must not be fooled.
#[tokio::test]
async fn a_refresh_token_passes_nowhere_as_an_access_token() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    let jwks = server.http.get("/.well-known/jwks.json", None).await?;
    assert!(jwks.header("cache-control").contains("max-age="));
    let jwks = jwks.json();
    let kids: Vec<_> = jwks["keys"]
        .as_array()
        .context("no keys")?
        .iter()
        .map(|key| &key["kid"])
        .collect();
    assert!(kids.contains(&&part(&alice.access, 0)?["kid"]));
    assert!(!kids.contains(&&part(&alice.refresh, 0)?["kid"]));
    for key in jwks["keys"].as_array().context("no keys")? {
        let members: Vec<_> = key
            .as_object()
            .context("no object")?
            .keys()
            .cloned()
            .collect();
        assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x"]);
    }

    let reply = server.http.get("/auth/info", Some(&alice.refresh)).await?;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (StatusCode::UNAUTHORIZED, "wrong_token_type")
    );
    assert_eq!(reply.header("www-authenticate"), "Bearer");
    let mut grpc = server.grpc().await?;
    let refused = grpc.validate(validate(&alice.refresh)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    assert_eq!(
        alice.use_refresh_token(&alice.access).await?.code(),
        "wrong_token_type"
    );
    Ok(())
}

#[tokio::test]
async fn every_manipulation_is_an_invalid_token() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    let mut grpc = server.grpc().await?;
    let parts: Vec<_> = alice.access.split('.').map(str::to_owned).collect();
    let (header, claims, signature) = (&parts[0], &parts[1], &parts[2]);
    let with_header = |change: &dyn Fn(&mut Value)| -> Result<String> {
        let mut header = part(&alice.access, 0)?;
        change(&mut header);
        Ok(format!("{}.{claims}.{signature}", encode(&header)))
    };
    let with_claims = |change: &dyn Fn(&mut Value)| -> Result<String> {
        let mut claims = part(&alice.access, 1)?;
        change(&mut claims);
        Ok(format!("{header}.{}.{signature}", encode(&claims)))
    };
    let mut flipped = signature.clone().into_bytes();
    flipped[10] = if flipped[10] == b'A' { b'B' } else { b'A' };
    let forged = [
        format!(
            "{}.{claims}.",
            encode(&json!({ "alg": "none", "typ": "at+jwt" }))
        ),
        with_header(&|header| header["alg"] = json!("none"))?,
        with_header(&|header| header["alg"] = json!("HS256"))?,
        with_header(&|header| header["kid"] = json!("another"))?,
        with_header(&|header| header["kid"] = Value::Null)?,
        with_header(&|header| header["typ"] = json!("JWT"))?,
        with_header(&|header| header["crit"] = json!(["exp"]))?,
        with_claims(&|claims| claims["adm"] = json!(true))?,
        with_claims(&|claims| claims["exp"] = json!(32_503_680_000_i64))?,
        with_claims(&|claims| claims["aud"] = json!("https://other.example"))?,
        format!("{header}.{claims}.{}", String::from_utf8(flipped)?),
        format!("{header}.{claims}.{signature}="),
        format!("{header}.{claims}.{signature}A"),
        format!("{header}.{claims}"),
        format!("{header}.{claims}.{signature}.{signature}"),
        format!("{header}.{signature}.{claims}"),
        format!(" {}", alice.access),
        "..".to_owned(),
        "x".to_owned(),
        ".".repeat(1_000),
        "A".repeat(9_000),
    ];
    for token in forged {
        let refused = grpc.validate(validate(&token)).await;
        let code = refused.err().map(|status| status.code());
        assert_eq!(code, Some(tonic::Code::Unauthenticated), "{token}");
        let reply = server
            .http
            .post("/auth/logout", &json!({ "token": token }))
            .await?;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (StatusCode::UNAUTHORIZED, "invalid_token"),
            "{token}"
        );
    }
    assert_eq!(alice.info().await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn an_expired_token_is_told_so_and_can_still_log_out() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__TOKENS__ACCESS_TTL", "1s");
    let server = site.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    assert_eq!(alice.info().await?.status, StatusCode::OK);
    // 10 s of leeway and 1 s of life.
    crate::support::eventually_within(
        std::time::Duration::from_secs(20),
        "it expires",
        async || Ok(alice.info().await?.code() == "token_expired"),
    )
    .await?;
    assert_eq!(
        alice.logout(&alice.access, false).await?.status,
        StatusCode::OK
    );
    assert_eq!(
        alice.use_refresh_token(&alice.refresh).await?.code(),
        "token_revoked"
    );
    Ok(())
}
