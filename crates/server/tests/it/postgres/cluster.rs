//! Several instances on one cluster, and what is asked of them.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use http::StatusCode;
use serde_json::{Value, json};
use sso_core::Scope;
use sso_testkit::{
    http::{Http, Reply},
    persona::Persona,
    process::{Server, Site},
    servers::Pair,
};

use super::unmigrated;
use crate::support::{callers, eventually_within, token_of, unique};

/// `revocation.lease` of these instances: short, so that a test can wait for its end.
pub(super) const LEASE: Duration = Duration::from_secs(3);
/// 1.2 leases: nobody accepts what ended so long ago, whatever happened to him.
pub(super) const BOUND: Duration = Duration::from_millis(3600);

/// An instance and its clients.
pub(super) struct Instance {
    // Before its folder.
    pub(super) server: Server,
    pub(super) json: Http,
    pub(super) site: Site,
}

/// What an instance is started with: the primary by this URL, and all replicas.
pub(super) fn instance(primary: &str, replicas: &[String]) -> Result<Site> {
    let mut site = unmigrated(primary)?;
    site.set("SSO__DATABASE__REPLICAS", replicas.join(","))
        .set("SSO__REVOCATION__LEASE", "3s")
        .set("SSO__REVOCATION__FENCE", "0s")
        // No connection is closed while a client is about to use it.
        .set("SSO__HTTP__HEADER_TIMEOUT", "5m")
        .set("SSO__THROTTLE__ENABLED", false)
        .set("SSO__GRPC__CALLERS", callers());
    Ok(site)
}

/// A migrated pair with so many replicas, and their URLs.
pub(super) async fn pair(replicas: usize) -> Result<(Pair, Vec<String>)> {
    let pair = Pair::with_replicas(replicas, &sso_testkit::servers::Options::new()).await?;
    unmigrated(&pair.primary.url("postgres"))?.run_ok(&["migrate", "up"])?;
    let urls = pair.replicas.iter().map(|one| one.node.url("postgres"));
    let urls = urls.collect();
    Ok((pair, urls))
}

impl Instance {
    pub(super) async fn start(site: Site) -> Result<Self> {
        let server = site.serve().await?;
        let json = server.grpc_json();
        Ok(Self { server, json, site })
    }

    /// A call of `auth.Auth`.
    pub(super) async fn call(&self, rpc: &str, body: Value) -> Result<Reply> {
        self.json.post(&format!("/sso/{rpc}"), &body).await
    }

    pub(super) async fn validate(&self, token: &str) -> Result<Reply> {
        self.call("validate", json!({ "token": token })).await
    }

    pub(super) async fn is_admin(&self, user: &str) -> Result<Reply> {
        self.call("is-admin", json!({ "user_id": user })).await
    }

    /// A call of `sso.v1.Users` by a service that may.
    pub(super) async fn users(&self, rpc: &str, body: Value) -> Result<Reply> {
        let token = token_of(Scope::UsersAdmin);
        let headers = [
            ("content-type", "application/json"),
            ("x-caller-token", &token),
        ];
        let path = format!("/sso.v1.Users/{rpc}");
        let post = http::Method::POST;
        self.json
            .send(post, &path, &headers, body.to_string())
            .await
    }

    /// Waits until revocations are answered `everywhere` at once: not in the first 1.2 leases.
    pub(super) async fn settled(&self) -> Result<()> {
        eventually_within(Duration::from_secs(20), "an early answer", async || {
            let somebody = Persona::register(&self.server.http, &unique()).await?;
            let ended = somebody.logout(&somebody.access, true).await?;
            ensure!(ended.status == StatusCode::OK, "{ended:?}");
            Ok(is_everywhere(&ended))
        })
        .await
        .with_context(|| self.site.log().unwrap_or_default())
    }
}

/// What an answer to a revocation says of the other instances.
pub(super) fn is_everywhere(reply: &Reply) -> bool {
    reply.header("x-revocation") == "everywhere"
}

/// What clients were told and must not have been told.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    wrong: Mutex<Vec<String>>,
}

impl Ledger {
    pub(super) fn wrong(&self, what: String) {
        self.wrong
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(what);
    }

    /// Whether it was answered so.
    pub(super) fn expect(&self, what: &str, reply: &Reply, status: u16) -> bool {
        let right = reply.status.as_u16() == status;
        if !right {
            let said = String::from_utf8_lossy(&reply.bytes);
            self.wrong(format!("{what}: {} {said}", reply.status));
        }
        right
    }

    /// What another instance must hold to from now on after `everywhere`, else after 1.2 leases.
    pub(super) async fn expect_by<F: Future<Output = Result<bool>> + Send>(
        &self,
        what: &str,
        ended: &Reply,
        holds: impl Fn() -> F,
    ) -> Result<()> {
        let end = Instant::now() + BOUND;
        while !is_everywhere(ended) && Instant::now() < end {
            if holds().await? {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if !holds().await? {
            self.wrong(format!("{what}, after {}", ended.header("x-revocation")));
        }
        Ok(())
    }

    /// Fails if there was anything.
    pub(super) fn close(&self) -> Result<()> {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(
            wrong.is_empty(),
            "{} answers were wrong:\n{}",
            wrong.len(),
            wrong[..wrong.len().min(20)].join("\n")
        );
        Ok(())
    }
}

/// Whether the full numbers of the contract are wanted, not those of CI.
pub(super) fn full_size() -> bool {
    std::env::var_os("SSO_FULL_SIZE").is_some()
}
