//! Two readers of one table of tokens: what `Validate` says of each, the verifier says too.

use anyhow::{Context, Result};
use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sso_testkit::{persona::Persona, process::Server};
use sso_verifier::{Refused, WhenSilent};
use tonic_types::StatusExt;

use super::{CALLER, known_site, verifier};
use crate::support::validate;

struct Parts {
    header: Value,
    claims: Value,
    signature: String,
}

impl Parts {
    fn of(token: &str) -> Result<Self> {
        let parts: Vec<_> = token.split('.').collect();
        let json = |at: usize| -> Result<Value> {
            let part = parts.get(at).context("no such part")?;
            Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?)
        };
        Ok(Self {
            header: json(0)?,
            claims: json(1)?,
            signature: parts.get(2).context("no signature")?.to_string(),
        })
    }

    fn header(&self, name: &str, value: Value) -> String {
        let mut header = self.header.clone();
        header[name] = value;
        self.join(&header, &self.claims)
    }

    fn claim(&self, name: &str, value: Value) -> String {
        let mut claims = self.claims.clone();
        claims[name] = value;
        self.join(&self.header, &claims)
    }

    fn join(&self, header: &Value, claims: &Value) -> String {
        format!("{}.{}.{}", encode(header), encode(claims), self.signature)
    }
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Signed with what everybody knows, as HMAC keys: the public key in several forms.
fn confused(parts: &Parts, jwks: &Value) -> Vec<String> {
    let mut header = parts.header.clone();
    header["alg"] = json!("HS256");
    let signed = format!("{}.{}", encode(&header), encode(&parts.claims));
    let key = &jwks["keys"][0];
    let x = key["x"].as_str().unwrap_or_default();
    let raw = URL_SAFE_NO_PAD.decode(x).unwrap_or_default();
    let secrets = [raw, x.into(), key.to_string().into(), Vec::new()];
    let sign = |secret: &Vec<u8>| {
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, secret),
            signed.as_bytes(),
        );
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
    };
    secrets.iter().map(sign).collect()
}

/// Tokens that are none, made of one that is good.
fn forged(token: &str, jwks: &Value) -> Result<Vec<String>> {
    let parts = Parts::of(token)?;
    let last = token.chars().last().context("empty")?;
    let mut body = token.to_owned();
    body.pop();
    let (signed, _) = token.rsplit_once('.').context("no signature")?;
    let mut forged = vec![
        // The same bits under another spelling: the last letter has four that no encoder sets.
        format!("{body}{}", if last == 'B' { 'C' } else { 'B' }),
        format!("{token}="),
        format!("{token}."),
        format!(".{token}"),
        format!("{signed}."),
        signed.to_owned(),
        format!(" {token}"),
        format!("{token}\n"),
        token.replace('.', ".."),
        token.to_uppercase(),
        "x".to_owned(),
        "..".to_owned(),
        "a".repeat(8 * 1024),
        format!("{token}{}", "A".repeat(8 * 1024)),
        parts.header("crit", json!(["exp"])),
        parts.header("crit", json!([])),
        parts.header("kid", json!(null)),
        parts.header("kid", json!(["a"])),
        parts.header("kid", json!("../../dev/null")),
        parts.header("kid", json!("0197f2a4-8a3b-7c1e-9f60-2d7f3f1c5b11")),
        parts.header("jwk", jwks["keys"][0].clone()),
        parts.claim("adm", json!(true)),
        parts.claim("exp", json!(4_000_000_000_u64)),
        parts.claim("iss", json!("https://elsewhere.example")),
    ];
    for algorithm in [
        "none", "None", "HS256", "ES256", "RS256", "PS256", "Ed25519", "eddsa", "",
    ] {
        forged.push(parts.header("alg", json!(algorithm)));
        forged.push(format!(
            "{}.{}.",
            encode(&json!({ "alg": algorithm, "typ": "at+jwt", "kid": parts.header["kid"] })),
            encode(&parts.claims)
        ));
    }
    for typ in ["JWT", "AT+JWT", "application/at+jwt", "at+jwt "] {
        forged.push(parts.header("typ", json!(typ)));
    }
    forged.extend(confused(&parts, jwks));
    Ok(forged)
}

async fn reason(server: &Server, token: &str) -> Result<String> {
    let mut request = tonic::Request::new(validate(token));
    request
        .metadata_mut()
        .insert("x-caller-token", CALLER.parse()?);
    Ok(match server.grpc().await?.validate(request).await {
        Ok(_) => "ok".to_owned(),
        Err(status) => status
            .get_details_error_info()
            .map(|info| info.reason)
            .unwrap_or_default(),
    })
}

#[tokio::test]
async fn every_token_is_judged_as_validate_judges_it() -> Result<()> {
    let server = known_site()?.serve().await?;
    let elsewhere = known_site()?.serve().await?;
    let verifier = verifier(&server, WhenSilent::Refuse).await?;
    let jwks = server
        .http
        .get("/.well-known/jwks.json", None)
        .await?
        .json();
    let alice = Persona::register(&server.http, "alice").await?;
    let stranger = Persona::register(&elsewhere.http, "alice").await?;
    let gone = Persona::register(&server.http, "bob").await?;
    gone.logout(&gone.access, false).await?;

    let mut tokens = forged(&alice.access, &jwks)?;
    let forgeries = tokens.len();
    tokens.extend([
        stranger.access,
        stranger.refresh.clone(),
        alice.access,
        alice.refresh,
        gone.access,
    ]);
    let mut seen = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let verdict = verifier.verify(token).await;
        let verdict = verdict.map_or_else(Refused::code, |_| "ok");
        let expected = reason(&server, token).await?;
        if at < forgeries {
            assert_eq!(verdict, "invalid_token", "{at}: {token}");
        }
        // A verifier cannot tell a forged refresh token from a good one, and takes neither.
        if *token != stranger.refresh {
            assert_eq!(verdict, expected, "{at}: {token}");
        }
        seen.push(verdict);
    }
    let refused = [
        "invalid_token",
        "wrong_token_type",
        "ok",
        "wrong_token_type",
        "token_revoked",
    ];
    assert_eq!(seen[forgeries..], refused);
    Ok(())
}
