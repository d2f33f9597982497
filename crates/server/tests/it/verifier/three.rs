//! A service beside three instances on one PostgreSQL with Redis, of which it watches one.

use sso_testkit::servers::RedisSentinel;
use tokio::task::JoinSet;

use super::*;
use crate::redis::{LONG, Three, on};

/// Those whose access is ended while an instance dies.
const USERS: usize = 8;
/// Between two of them.
const STEP: Duration = Duration::from_millis(20);

/// Three instances with the callers of [`known_site`].
async fn three(redis: &RedisSentinel, name: &str) -> Result<Three> {
    let digest = digest_of(CALLER);
    let shop = format!(
        "[{{ name = 'shop', token_sha256 = '{digest}', scopes = ['auth', 'revocations:read'] }}]"
    );
    Three::start_with(name, Some(redis), |database, redis| {
        let mut site = on(database, redis)?;
        site.set("SSO__GRPC__CALLERS", &shop)
            .set("SSO__GRPC__REQUIRE_CALLER", true)
            // Longer than an instance is waited for that says nothing: 1.2 leases.
            .set("SSO__REVOCATION__ACK_WAIT", "8s");
        Ok(site)
    })
    .await
}

async fn watching(three: &Three, when_silent: WhenSilent) -> Result<Verifier> {
    let mut builder = Verifier::builder("https://sso.example.com")
        .caller_token(CALLER)
        .when_silent(when_silent)
        .patience(LONG);
    for server in &three.servers {
        builder = builder
            .jwks_url(format!(
                "http://{}/.well-known/jwks.json",
                server.http_address
            ))
            .grpc_url(format!("http://{}", server.grpc_address));
    }
    let verifier = builder.build().await?;
    ensure!(verifier.ready(), "{:?}", verifier.status());
    Ok(verifier)
}

/// The instance that a verifier listens to.
fn heard(three: &Three, verifier: &Verifier) -> Option<usize> {
    let heard = verifier.status().heard.unwrap_or_default();
    let mut servers = three.servers.iter();
    servers.position(|server| heard.contains(&server.grpc_address.to_string()))
}

/// Ends somebody's access by an instance, and asks the verifiers again and again: from a second
/// after `everywhere` on none accepts her. How many answers came later than that.
async fn ends(
    server: sso_testkit::http::Http,
    user: Persona,
    verifiers: Vec<Verifier>,
) -> Result<usize> {
    let reply = user.at(&server).logout(&user.access, true).await?;
    ensure!(reply.header("x-revocation") == "everywhere", "{reply:?}");
    let (since, mut late) = (Instant::now(), 0);
    while since.elapsed() < 3 * BOUND {
        for verifier in &verifiers {
            let asked = Instant::now();
            let accepted = verifier.verify(&user.access).await.is_ok();
            if asked >= since + BOUND {
                late += 1;
                ensure!(!accepted, "{:?}", verifier.status());
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(late)
}

/// The instance that is watched dies or hangs while access ends by the others.
async fn nothing_passes_late(name: &str, freeze: bool) -> Result<()> {
    let redis = RedisSentinel::start().await?;
    let mut three = three(&redis, name).await?;
    let verifiers = vec![
        watching(&three, WhenSilent::Refuse).await?,
        watching(&three, WhenSilent::Ask).await?,
    ];
    let mut users = Vec::new();
    for _ in 0..USERS {
        users.push(Persona::register(&three.servers[0].http, &crate::support::unique()).await?);
    }
    let alice = Persona::register(&three.servers[0].http, &crate::support::unique()).await?;
    for verifier in &verifiers {
        for user in users.iter().chain([&alice]) {
            ensure!(verifier.verify(&user.access).await.is_ok());
        }
    }
    let watched = heard(&three, &verifiers[0]).unwrap_or_default();
    let others: Vec<_> = (0..3)
        .filter(|at| *at != watched)
        .map(|at| three.servers[at].http.clone())
        .collect();
    let mut ending = JoinSet::new();
    for (number, user) in (0..).zip(users) {
        let server = others[usize::from(number % 2 == 1)].clone();
        let ends = ends(server, user, verifiers.clone());
        ending.spawn(async move {
            tokio::time::sleep(STEP * number).await;
            ends.await
        });
    }
    // In the midst of them.
    tokio::time::sleep(STEP * 3).await;
    if freeze {
        outages::signal(&three.servers[watched], rustix::process::Signal::STOP)?;
    } else {
        three.servers[watched].kill()?;
    }
    let mut late = 0;
    while let Some(ended) = ending.join_next().await {
        late += ended??;
    }
    ensure!(late > 0, "nobody was asked late");
    // Another instance is heard, and who was not ended is accepted again.
    for verifier in &verifiers {
        eventually("another is heard", async || {
            Ok(verifier.verify(&alice.access).await.is_ok()
                && heard(&three, verifier).is_some_and(|at| at != watched))
        })
        .await?;
    }
    if freeze {
        outages::signal(&three.servers[watched], rustix::process::Signal::CONT)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn through_the_death_of_the_instance_that_is_watched_nothing_passes_late() -> Result<()> {
    nothing_passes_late("verifier_death", false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn through_the_freezing_of_the_instance_that_is_watched_nothing_passes_late() -> Result<()> {
    nothing_passes_late("verifier_freeze", true).await
}
