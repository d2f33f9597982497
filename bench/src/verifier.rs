//! The verifier in process against a bare check of an Ed25519 signature, and what watchers cost.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use aws_lc_rs::signature::{ED25519, ParsedPublicKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sso_testkit::{
    persona::{
        self, Persona,
        v1::{WatchRevocationsRequest, revocations_client::RevocationsClient},
    },
    process::{Server, Site},
};
use sso_verifier::{Verifier, WhenSilent};
use tonic::Request;

use crate::{
    Plan,
    load::{cpu_micros, float},
    report::{Report, Series},
};

/// Users whose tokens are verified in turn.
const USERS: usize = 64;
const CALLER: &str = "the token of the benchmark";
/// SHA-256 of [`CALLER`].
const DIGEST: &str = "6f1233278c2e0880d97e33fce510144dab2c35c20a64ba6335a8fa8590cd78e8";
const WATCHERS: u64 = 1_000;
/// On one connection; the server allows 200.
const STREAMS: u64 = 100;

/// Measures in turn, on one thread, so that a busy moment hits all.
pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let mut site = Site::new(&plan.binary)?;
    let caller = format!(
        "[{{ name = 'bench', token_sha256 = '{DIGEST}', scopes = ['auth', 'revocations:read'] }}]"
    );
    site.set("SSO__GRPC__CALLERS", caller)
        .set("SSO__GRPC__MAX_WATCHERS", 2 * WATCHERS);
    let server = site.serve().await?;
    let mut tokens = Vec::new();
    for number in 0..USERS {
        let user = Persona::register(&server.http, &format!("user{number}")).await?;
        tokens.push(user.access);
    }
    in_process(plan, report, &server, &tokens).await?;
    watchers(plan, report, &server).await
}

async fn in_process(
    plan: &Plan,
    report: &mut Report,
    server: &Server,
    tokens: &[String],
) -> Result<()> {
    let bare = Bare::of(server, tokens).await?;
    let remembering = verifier(server, 8_192).await?;
    let forgetful = verifier(server, 0).await?;
    let (mut limit, mut first, mut again) =
        (Series::default(), Series::default(), Series::default());
    for warm_up in std::iter::once(true).chain(std::iter::repeat_n(false, plan.runs)) {
        let run = if warm_up { plan.run / 4 } else { plan.run };
        let bare_rate = rate(run, |number| bare.check(number));
        let first_rate = rate(run, |number| verify(&forgetful, tokens, number));
        let again_rate = rate(run, |number| verify(&remembering, tokens, number));
        if !warm_up {
            limit.push(bare_rate?);
            first.push(first_rate?);
            again.push(again_rate?);
        }
    }
    report.figure("bare check of an Ed25519 signature", "1/s", &limit);
    report.figure("verifier, tokens seen for the first time", "1/s", &first);
    report.figure("verifier, tokens seen before", "1/s", &again);
    report.goal(
        "verifier, first time / bare check",
        "ratio",
        ">= 0.90",
        &first.over(&limit),
    );
    report.goal(
        "verifier, seen before / bare check",
        "ratio",
        ">= 0.90",
        &again.over(&limit),
    );
    Ok(())
}

async fn verifier(server: &Server, remembered: usize) -> Result<Verifier> {
    let verifier = Verifier::builder(format!("http://{}", server.http_address))
        .grpc_url(format!("http://{}", server.grpc_address))
        .caller_token(CALLER)
        .when_silent(WhenSilent::Refuse)
        .remembered_tokens(remembered)
        .build()
        .await?;
    anyhow::ensure!(verifier.ready(), "not ready: {:?}", verifier.status());
    Ok(verifier)
}

fn verify(verifier: &Verifier, tokens: &[String], number: usize) -> Result<()> {
    black_box(verifier.verify_now(&tokens[number % tokens.len()])?);
    Ok(())
}

/// What no verifier can do without: the signature, taken apart beforehand.
struct Bare {
    key: ParsedPublicKey,
    signed: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Bare {
    async fn of(server: &Server, tokens: &[String]) -> Result<Self> {
        let jwks = server.http.get("/.well-known/jwks.json", None).await?;
        let jwks = jwks.json();
        let x = jwks["keys"][0]["x"].as_str().context("no key")?;
        let key = ParsedPublicKey::new(&ED25519, URL_SAFE_NO_PAD.decode(x)?);
        let signed = tokens.iter().map(|token| {
            let (signed, signature) = token.rsplit_once('.').context("no signature")?;
            Ok((
                signed.as_bytes().to_vec(),
                URL_SAFE_NO_PAD.decode(signature)?,
            ))
        });
        Ok(Self {
            key: key.ok().context("no key")?,
            signed: signed.collect::<Result<_>>()?,
        })
    }

    fn check(&self, number: usize) -> Result<()> {
        let (message, signature) = &self.signed[number % self.signed.len()];
        let good = self.key.verify_sig(message, signature);
        good.ok().context("a signature does not hold")
    }
}

/// Calls a second of one thread.
fn rate(run: Duration, mut call: impl FnMut(usize) -> Result<()>) -> Result<f64> {
    /// Between two looks at the clock.
    const ROUND: u16 = 256;
    let started = Instant::now();
    let mut rounds = 0;
    while started.elapsed() < run {
        for number in 0..ROUND {
            call(usize::from(number))?;
        }
        rounds += 1;
    }
    Ok(float(rounds) * f64::from(ROUND) / started.elapsed().as_secs_f64())
}

/// What a thousand watchers cost an instance at rest, and how late the last hears of a logout.
async fn watchers(plan: &Plan, report: &mut Report, server: &Server) -> Result<()> {
    let before = server.resident_bytes()?;
    let mut streams = Vec::new();
    for _ in 0..WATCHERS / STREAMS {
        let channel = persona::channel(server.grpc_address).await?;
        for _ in 0..STREAMS {
            let mut request = Request::new(WatchRevocationsRequest {});
            request
                .metadata_mut()
                .insert("x-caller-token", CALLER.parse()?);
            let mut client = RevocationsClient::new(channel.clone());
            streams.push(client.watch(request).await?.into_inner());
        }
    }
    let reading: Vec<_> = streams
        .into_iter()
        .map(|mut stream| {
            tokio::spawn(async move { while let Ok(Some(_)) = stream.message().await {} })
        })
        .collect();
    let (mut cores, mut bytes) = (Series::default(), Series::default());
    for _ in 0..plan.runs {
        let (started, used) = (Instant::now(), cpu_micros(server.pid())?);
        tokio::time::sleep(plan.run).await;
        let used = cpu_micros(server.pid())? - used;
        cores.push(used / 1e6 / started.elapsed().as_secs_f64());
        let grown = server.resident_bytes()?.saturating_sub(before);
        bytes.push(float(grown) / float(WATCHERS));
    }
    report.figure("1,000 watchers, processor of the server", "cores", &cores);
    report.figure("1,000 watchers, memory for each", "bytes", &bytes);
    for task in reading {
        task.abort();
    }
    Ok(())
}
