//! Tokens that name a key which nobody has.

use anyhow::Context;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;

const TOKENS: u64 = 300;

/// The token as if it were signed by the key number so and so.
fn by_key(token: &str, number: u64) -> Result<String> {
    let (header, rest) = token.split_once('.').context("no token")?;
    let mut header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header)?)?;
    header["kid"] = json!(format!("0197f2a4-8a3b-7c1e-9f60-{number:012x}"));
    let header = URL_SAFE_NO_PAD.encode(header.to_string());
    Ok(format!("{header}.{rest}"))
}

/// How often the server was asked for its keys.
async fn fetches(server: &Server) -> Result<u64> {
    let metrics = server.admin.get("/metrics", None).await?;
    let text = String::from_utf8_lossy(&metrics.bytes).into_owned();
    let counts = text
        .lines()
        .filter(|line| line.starts_with("sso_http_requests_total{") && line.contains("jwks.json"));
    let counts = counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    Ok(counts.sum())
}

#[tokio::test]
async fn an_unknown_key_is_asked_for_once_a_second_however_many_tokens_name_one() -> Result<()> {
    let server = known_site()?.serve().await?;
    let verifier = verifier(&server, WhenSilent::Refuse).await?;
    let alice = Persona::register(&server.http, "alice").await?;
    let (before, started) = (fetches(&server).await?, Instant::now());
    eventually("it is asked for", async || {
        let unknown = by_key(&alice.access, 0)?;
        assert_eq!(verifier.verify(&unknown).await, Err(Refused::Invalid));
        Ok(fetches(&server).await? > before)
    })
    .await?;
    for number in 1..=TOKENS {
        let unknown = by_key(&alice.access, number)?;
        assert_eq!(verifier.verify(&unknown).await, Err(Refused::Invalid));
    }
    let asked = fetches(&server).await? - before;
    let most = started.elapsed().as_secs() + 2;
    assert!(asked <= most, "{asked} in {:?}", started.elapsed());
    assert!(verifier.verify(&alice.access).await.is_ok());
    Ok(())
}
