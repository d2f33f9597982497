//! 200 rotations while clients verify by a JWKS that they keep for as long as they may.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use sso_testkit::{http::Http, persona::Persona};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    keys::{claim, header, keys},
    support::site,
};

const ROTATIONS: usize = 200;
const CLIENTS: usize = 4;
/// Tokens that a client goes on using while it fetches new ones.
const KEPT: usize = 8;
/// `tokens.access_ttl`: long enough that what a client keeps outlives many rotations.
const LIFE: Duration = Duration::from_secs(8);

/// A verifier that asks again only when its JWKS is too old, never for an unknown `kid`.
struct Verifier {
    http: Http,
    keys: HashMap<String, Vec<u8>>,
    good_until: Instant,
}

impl Verifier {
    fn new(http: Http) -> Self {
        Self {
            http,
            keys: HashMap::new(),
            good_until: Instant::now(),
        }
    }

    async fn verify(&mut self, token: &str) -> Result<()> {
        if Instant::now() >= self.good_until {
            self.fetch().await?;
        }
        let kid = header(token, "kid")?;
        let key = self.keys.get(&kid).with_context(|| {
            let left = self.good_until.saturating_duration_since(Instant::now());
            format!("refused: {kid} is not in the JWKS, which is good for {left:?}")
        })?;
        let (message, signature) = token.rsplit_once('.').context("no token")?;
        UnparsedPublicKey::new(&ED25519, key)
            .verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature)?)
            .map_err(|_| anyhow::anyhow!("refused: bad signature"))
    }

    async fn fetch(&mut self) -> Result<()> {
        // RFC 9111, 4.2.3: what it took to get the answer is part of its age.
        let asked = Instant::now();
        let reply = self.http.get("/.well-known/jwks.json", None).await?;
        let max_age = reply
            .header("cache-control")
            .rsplit_once('=')
            .context("no max-age")?;
        self.good_until = asked + Duration::from_secs(max_age.1.parse()?);
        self.keys.clear();
        for key in reply.json()["keys"].as_array().context("no keys")? {
            let member = |name: &str| key[name].as_str().context("no member");
            let public = URL_SAFE_NO_PAD.decode(member("x")?)?;
            self.keys.insert(member("kid")?.to_owned(), public);
        }
        Ok(())
    }
}

/// What a client saw.
#[derive(Default)]
struct Seen {
    verified: usize,
    kids: HashSet<String>,
}

async fn client(http: Http, number: usize, stop: Arc<AtomicBool>) -> Result<Seen> {
    let mut alice = Persona::register(&http, &format!("client{number}")).await?;
    let mut verifier = Verifier::new(http.clone());
    let (mut seen, mut kept) = (Seen::default(), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let sent = Instant::now();
        let reply = alice.refresh().await?;
        ensure!(reply.status == StatusCode::OK, "not refreshed: {reply:?}");
        kept.push((alice.access.clone(), sent));
        kept.retain(|(_, sent)| sent.elapsed() < LIFE);
        let surplus = kept.len().saturating_sub(KEPT);
        // Not the newest only: the oldest are those that rotation could lose.
        if surplus > 0 {
            kept.remove(KEPT / 2);
        }
        for (token, _) in &kept {
            verifier.verify(token).await?;
            seen.verified += 1;
        }
        let (oldest, _) = kept.first().context("no token")?;
        for token in [oldest, &alice.access] {
            let info = http.get("/auth/info", Some(token)).await?;
            ensure!(
                info.status == StatusCode::OK,
                "refused by the server: {info:?}"
            );
        }
        seen.kids.insert(header(&alice.access, "kid")?);
        // On two processors the rotations must have their turn, too.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_rotations_refuse_no_client_that_keeps_the_jwks_for_its_max_age() -> Result<()>
{
    let mut site = site()?;
    site.set("SSO__KEYS__JWKS_MAX_AGE", "1s")
        .set("SSO__TOKENS__ACCESS_TTL", format!("{}s", LIFE.as_secs()));
    let server = site.serve().await?;
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| tokio::spawn(client(server.http.clone(), number, Arc::clone(&stop))))
        .collect();
    let site = Arc::new(site);
    let rotations = tokio::task::spawn_blocking({
        let site = Arc::clone(&site);
        move || -> Result<String> {
            let mut signs_from = String::new();
            for at in 0..ROTATIONS {
                // Now and then the keys of refresh tokens, too.
                let both: &[&str] = &["rotate"];
                let access = &["rotate", "--use", "access"];
                let made = keys(&site, if at % 20 == 0 { both } else { access })?;
                signs_from = made[0]["signs_from"]
                    .as_str()
                    .context("no time")?
                    .to_owned();
            }
            Ok(signs_from)
        }
    });
    let last = rotations.await??;
    let mut bob = Persona::register(&server.http, "bob").await?;
    let rotated = Instant::now();
    let last = OffsetDateTime::parse(&last, &Rfc3339)?.unix_timestamp();
    while claim(&bob.access, "iat")?.as_i64() < Some(last) {
        ensure!(
            rotated.elapsed() < Duration::from_secs(15),
            "the last key does not sign"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
        ensure!(bob.refresh().await?.status == StatusCode::OK);
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        let seen = client.await??;
        assert!(seen.kids.len() > 5, "{} keys have signed", seen.kids.len());
        assert!(
            seen.verified > 100,
            "{} tokens were verified",
            seen.verified
        );
    }
    Ok(())
}
