//! What these tests share.

use std::{
    fmt::Write,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use http::Method;
use serde_json::Value;
use sso_core::Scope;
use sso_testkit::{
    persona::auth,
    process::{Server, Site},
};
use tokio::{sync::Semaphore, task::JoinSet};

pub(crate) use sso_testkit::patience::eventually_within;

/// The binary under test.
pub(crate) const SSO: &str = env!("CARGO_BIN_EXE_sso");

/// A new site of the binary under test.
pub(crate) fn site() -> Result<Site> {
    Site::new(SSO)
}

/// Runs `count` rounds, `width` at once, and fails with the first that failed.
pub(crate) async fn rounds<F>(count: usize, width: usize, round: impl Fn(usize) -> F) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(width));
    let mut running = JoinSet::new();
    for number in 0..count {
        let permit = room.clone().acquire_owned().await?;
        let round = round(number);
        running.spawn(async move {
            let result = round.await;
            drop(permit);
            result
        });
        while let Some(done) = running.try_join_next() {
            done??;
        }
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(())
}

/// Asks again until it holds; fails after 5 seconds: what is waited for here is quick.
pub(crate) async fn eventually(what: &str, holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    eventually_within(Duration::from_secs(5), what, holds).await
}

/// A question to Validate.
pub(crate) fn validate(token: &str) -> auth::ValidateRequest {
    auth::ValidateRequest {
        token: token.to_owned(),
    }
}

/// A name that no test has had before.
pub(crate) fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("somebody{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The token of the service that has this scope.
pub(crate) fn token_of(scope: Scope) -> String {
    format!("the token of {scope}")
}

/// The SHA-256 of a token in hex, as `sha256sum` prints it.
pub(crate) fn digest_of(token: &str) -> String {
    let mut hex = String::new();
    for byte in sso_crypto::sha256(token.as_bytes()) {
        // Writing to a string does not fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// `grpc.callers`: a service for each scope.
pub(crate) fn callers() -> String {
    let callers = Scope::ALL.map(|scope| {
        let digest = digest_of(&token_of(scope));
        let name = scope.as_str().replace(':', "-");
        format!("{{ name = '{name}', token_sha256 = '{digest}', scopes = ['{scope}'] }}")
    });
    format!("[{}]", callers.join(", "))
}

/// A JSON call of the service that has this scope; it must succeed.
pub(crate) async fn admin_call(
    server: &Server,
    scope: Scope,
    path: &str,
    body: &Value,
) -> Result<Value> {
    let token = token_of(scope);
    let headers = [
        ("content-type", "application/json"),
        ("x-caller-token", &token),
    ];
    let json = server.grpc_json();
    let reply = json
        .send(Method::POST, path, &headers, body.to_string())
        .await?;
    ensure!(reply.status == 200, "{path}: {reply:?}");
    Ok(reply.json())
}
