//! Signing keys beside a running server: made, published, used, retired.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use rusqlite::Connection;
use serde_json::{Value, json};
use sso_testkit::{
    persona::Persona,
    process::{Server, Site},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::support::{eventually, eventually_within, site, validate};

/// A member of a token's header.
pub(crate) fn header(token: &str, name: &str) -> Result<String> {
    let part = token.split('.').next().context("no header")?;
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?;
    Ok(header[name].as_str().unwrap_or_default().to_owned())
}

pub(crate) fn claim(token: &str, name: &str) -> Result<Value> {
    let part = token.split('.').nth(1).context("no claims")?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?;
    Ok(claims[name].clone())
}

/// A key command's JSON.
pub(crate) fn keys(site: &Site, arguments: &[&str]) -> Result<Vec<Value>> {
    let arguments = [&["keys"], arguments, &["--output", "json"]].concat();
    let printed: Value = serde_json::from_str(&site.run_ok(&arguments)?)?;
    printed.as_array().cloned().context("no array")
}

pub(crate) async fn published(server: &Server) -> Result<Vec<String>> {
    let jwks = server.http.get("/.well-known/jwks.json", None).await?;
    let kid = |key: &Value| key["kid"].as_str().map(str::to_owned);
    let jwks = jwks.json();
    let keys = jwks["keys"].as_array().context("no keys")?;
    keys.iter().map(|key| kid(key).context("no kid")).collect()
}

fn text<'v>(value: &'v Value, name: &str) -> Result<&'v str> {
    value[name].as_str().with_context(|| format!("no {name}"))
}

/// Waits until fresh tokens are signed by this key.
async fn until_it_signs(alice: &mut Persona, kid: &str) -> Result<()> {
    let started = Instant::now();
    while header(&alice.access, "kid")? != kid {
        ensure!(
            started.elapsed() < Duration::from_secs(10),
            "{kid} does not sign"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
        ensure!(alice.refresh().await?.status == StatusCode::OK);
    }
    Ok(())
}

#[tokio::test]
async fn a_new_key_is_published_for_the_max_age_before_it_signs_and_old_tokens_stay_good()
-> Result<()> {
    let mut site = site()?;
    site.set("SSO__KEYS__JWKS_MAX_AGE", "2s")
        .set("SSO__KEYS__ROTATE_EVERY", "1h");
    let began = Instant::now();
    let server = site.serve().await?;
    let mut alice = Persona::register(&server.http, "alice").await?;
    let (old_token, old_refresh) = (alice.access.clone(), alice.refresh.clone());
    let jwks = server.http.get("/.well-known/jwks.json", None).await?;
    assert_eq!(jwks.header("cache-control"), "public, max-age=2");

    let made = keys(&site, &["rotate"])?;
    assert_eq!(made.len(), 2);
    assert_eq!(
        (&made[0]["use"], &made[0]["state"]),
        (&json!("access"), &json!("next"))
    );
    assert_eq!(made[1]["use"], "refresh");
    let kid = text(&made[0], "kid")?;
    eventually("it is published", async || {
        Ok(published(&server).await?.iter().any(|found| found == kid))
    })
    .await?;
    let seen = Instant::now();
    until_it_signs(&mut alice, kid).await?;
    assert!(
        seen.elapsed() >= Duration::from_secs(2),
        "{:?}",
        seen.elapsed()
    );
    let signs_from = OffsetDateTime::parse(text(&made[0], "signs_from")?, &Rfc3339)?;
    let issued_at = claim(&alice.access, "iat")?.as_i64().context("no iat")?;
    assert!(issued_at >= signs_from.unix_timestamp());

    // The old key verifies still, and is still published.
    let old_kid = header(&old_token, "kid")?;
    assert_ne!(old_kid, kid);
    for token in [&old_token, &alice.access] {
        let info = server.http.get("/auth/info", Some(token)).await?;
        assert_eq!(info.status, StatusCode::OK);
    }
    assert_eq!(published(&server).await?.len(), 2);
    assert_ne!(header(&alice.refresh, "kid")?, header(&old_refresh, "kid")?);
    let states: Vec<_> = keys(&site, &["list"])?
        .iter()
        .map(|key| key["state"].clone())
        .collect();
    assert_eq!(states, ["verifying", "signing", "verifying", "signing"]);

    // So the metrics tell of the new ones.
    let (all, new) = (began.elapsed().as_secs_f64(), seen.elapsed().as_secs_f64());
    for used in ["access", "refresh"] {
        let series = format!(r#"sso_key_age_seconds{{use="{used}"}}"#);
        let age: f64 = server.admin.metric(&series).await?;
        assert!(
            age < all && age <= new + 5.0,
            "{used} {age} of {new} in {all}"
        );
    }
    let next: f64 = server.admin.metric("sso_key_next_rotation_seconds").await?;
    assert!((3_500.0..=3_600.0).contains(&next), "{next}");
    Ok(())
}

#[tokio::test]
async fn retiring_a_key_ends_its_tokens_when_the_command_says_so() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let mut grpc = server.grpc().await?;
    let mut alice = Persona::register(&server.http, "alice").await?;
    let old = alice.clone();
    let kid = header(&old.access, "kid")?;

    let alone = site.run(&["keys", "retire", &kid])?;
    assert_eq!(alone.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&alone.stderr).contains("rotate first"));

    let made = keys(&site, &["rotate", "--use", "access", "--now"])?;
    let too_early = site.run(&["keys", "retire", &kid])?;
    assert_eq!(
        too_early.status.code(),
        Some(1),
        "the new one does not sign yet"
    );
    until_it_signs(&mut alice, text(&made[0], "kid")?).await?;
    assert_eq!(old.info().await?.status, StatusCode::OK);
    assert!(grpc.validate(validate(&old.access)).await.is_ok());

    let said = site.run_ok(&["keys", "retire", &kid])?;
    assert!(said.contains("retired; obeyed everywhere"), "{said}");
    assert_eq!(old.info().await?.code(), "invalid_token");
    let refused = grpc.validate(validate(&old.access)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    assert_eq!(published(&server).await?, [text(&made[0], "kid")?]);
    assert_eq!(alice.info().await?.status, StatusCode::OK);
    assert_eq!(alice.refresh().await?.status, StatusCode::OK);

    // One of 64 kids begins so.
    let unknown = site.run(&[
        "keys",
        "retire",
        "-rGvYZYqquw_lxR2b7TS3j2CUX0GAY1jQfxH1v3X05Y",
    ])?;
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    ensure!(!said.contains("unexpected argument"), "{said}");
    let again = site.run(&["keys", "retire", &kid])?;
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("no such key"));
    let listed = keys(&site, &["list"])?;
    let retired: Vec<_> = listed
        .iter()
        .filter(|key| key["state"] == "retired")
        .collect();
    assert_eq!(retired.len(), 1);
    assert_eq!(retired[0]["kid"], kid.as_str());
    assert!(retired[0]["retired_at"].is_string());

    // A restart brings nothing back.
    drop(server);
    let server = site.serve().await?;
    assert_eq!(old.info().await?.code(), "invalid_token");
    assert_eq!(published(&server).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn retiring_a_key_of_refresh_tokens_ends_the_sessions_it_signed() -> Result<()> {
    let site = site()?;
    let server = site.serve().await?;
    let mut alice = Persona::register(&server.http, "alice").await?;
    let kid = header(&alice.refresh, "kid")?;
    let made = keys(&site, &["rotate", "--use", "refresh", "--now"])?;
    let next = text(&made[0], "kid")?;
    eventually("the next one signs", async || {
        Ok(keys(&site, &["list"])?
            .iter()
            .any(|key| key["kid"] == next && key["state"] == "signing"))
    })
    .await?;
    site.run_ok(&["keys", "retire", &kid])?;
    assert_eq!(alice.refresh().await?.code(), "invalid_token");
    // It is over: not even a logout is owed to it. The access token lives to its end.
    assert_eq!(alice.info().await?.status, StatusCode::OK);
    assert_eq!(alice.login().await?.status, StatusCode::OK);
    assert_eq!(header(&alice.refresh, "kid")?, next);
    assert_eq!(alice.refresh().await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn the_algorithm_is_that_of_the_next_rotation() -> Result<()> {
    for (algorithm, members) in [
        ("ES256", "alg crv kid kty use x y"),
        ("RS256", "alg e kid kty n use"),
    ] {
        let mut site = site()?;
        let server = site.serve().await?;
        let mut alice = Persona::register(&server.http, "alice").await?;
        drop(server);
        site.set("SSO__KEYS__ALGORITHM", algorithm)
            .set("SSO__KEYS__JWKS_MAX_AGE", "1s");
        let server = site.serve().await?;
        assert!(site.log()?.contains("takes effect with the next rotation"));
        assert_eq!(alice.refresh().await?.status, StatusCode::OK);
        assert_eq!(header(&alice.access, "alg")?, "EdDSA");
        let made = keys(&site, &["rotate", "--use", "access"])?;
        assert_eq!(made[0]["algorithm"], algorithm);
        until_it_signs(&mut alice, text(&made[0], "kid")?).await?;
        assert_eq!(header(&alice.access, "alg")?, algorithm);
        assert_eq!(alice.info().await?.status, StatusCode::OK);
        let jwks = server
            .http
            .get("/.well-known/jwks.json", None)
            .await?
            .json();
        let keys = jwks["keys"].as_array().context("no keys")?;
        let new = keys
            .iter()
            .find(|key| key["alg"] == algorithm)
            .context("no key")?;
        let mut found: Vec<_> = new
            .as_object()
            .context("no object")?
            .keys()
            .cloned()
            .collect();
        found.sort();
        assert_eq!(found.join(" "), members);
    }
    Ok(())
}

#[tokio::test]
async fn keys_are_made_and_retired_by_themselves() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__KEYS__JWKS_MAX_AGE", "1s")
        .set("SSO__KEYS__ROTATE_EVERY", "3s")
        .set("SSO__TOKENS__ACCESS_TTL", "1s");
    let server = site.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    let first = header(&alice.access, "kid")?;
    // It signs for 3 s and 3 s of publication; its last token is over 1 s and 20 s later.
    eventually_within(
        Duration::from_secs(50),
        "the first is retired",
        async || {
            let keys = keys(&site, &["list"])?;
            tokio::time::sleep(Duration::from_millis(500)).await;
            Ok(keys
                .iter()
                .any(|key| key["kid"] == first.as_str() && key["state"] == "retired"))
        },
    )
    .await?;
    let left = published(&server).await?;
    assert!(left.len() > 4 && !left.contains(&first), "{left:?}");
    Ok(())
}

/// Somebody has deleted the rows. Nobody is let in who was not; nobody is thrown out before the
/// restart, which makes new keys.
#[tokio::test]
async fn an_emptied_table_of_keys_is_told_and_ends_all_tokens_with_the_next_start() -> Result<()> {
    let site = site()?;
    let mut server = site.serve().await?;
    let mut alice = Persona::register(&server.http, "alice").await?;
    let raw = Connection::open(site.data_dir().join("sso.db"))?;
    raw.execute_batch("DELETE FROM keys")?;
    eventually("it is degraded", async || {
        let ready = server.http.get("/auth/ready", None).await?;
        let down = ready.json()["dependencies"]
            .as_array()
            .context("no dependencies")?
            .iter()
            .any(|found| found["name"] == "keys" && found["state"] != "up");
        Ok(ready.status == StatusCode::OK && down)
    })
    .await?;
    assert_eq!(alice.info().await?.status, StatusCode::OK);
    assert_eq!(alice.refresh().await?.status, StatusCode::OK);

    server.terminate()?;
    server.wait(Duration::from_secs(10)).await?;
    let server = site.serve().await?;
    assert!(site.log()?.contains("there are users and no signing keys"));
    assert_eq!(alice.info().await?.code(), "invalid_token");
    assert_eq!(alice.refresh().await?.code(), "invalid_token");
    assert_eq!(alice.login().await?.status, StatusCode::OK);
    assert_eq!(alice.info().await?.status, StatusCode::OK);
    assert_eq!(published(&server).await?.len(), 1);
    Ok(())
}

/// A row that was tampered with is refused at the start, and changes nothing while it runs.
#[tokio::test]
async fn a_damaged_key_is_told_and_does_not_start() -> Result<()> {
    let site = site()?;
    let mut server = site.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    let raw = Connection::open(site.data_dir().join("sso.db"))?;
    raw.execute_batch("UPDATE keys SET sealed = substr(sealed, 1, 40) WHERE usage = 'access'")?;
    eventually("it is told", async || {
        Ok(site.log()?.contains("is damaged"))
    })
    .await?;
    assert_eq!(alice.info().await?.status, StatusCode::OK);
    let stranger = format!("{}x", &alice.access[..alice.access.len() - 1]);
    let refused = server.http.get("/auth/info", Some(&stranger)).await?;
    assert_eq!(refused.code(), "invalid_token");
    server.terminate()?;
    server.wait(Duration::from_secs(10)).await?;
    let output = site.run(&["serve"])?;
    assert_eq!(output.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is damaged"));
    Ok(())
}
