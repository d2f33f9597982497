//! An instance that has not heard of a promotion yet: it refuses nobody by what the deposed primary
//! says.
//!
//! Seen red: before refusals were confirmed by a beat, each was 401 or 404.

use std::{sync::OnceLock, time::Duration};

use anyhow::ensure;
use http::StatusCode;
use serde_json::json;
use sso_testkit::{
    http::Reply,
    persona::Persona,
    servers::{Pair, Proxy},
};
use tokio::time::sleep;

use super::{
    cluster::{Instance, instance},
    *,
};
use crate::{
    ready::{DEGRADED, READY, tells},
    support::{eventually_within, unique},
};

/// Until the new primary is asked, once it can be.
const SOON: Duration = Duration::from_secs(10);

/// The replica is the primary, and one of two instances knows.
struct Promoted {
    pair: Pair,
    /// The way of the late one to the new primary: closed.
    way: Proxy,
    late: Instance,
    /// Registered with the one that knows.
    alice: Persona,
}

async fn promoted(lease: &str) -> Result<Promoted> {
    let pair = Pair::start().await?;
    let url = pair.primary.url("postgres");
    on(&url)?;
    // Of the new one when it is the primary nobody will be a standby.
    pair.primary.set("synchronous_standby_names", "*").await?;
    let replica = &pair.replicas[0].node;
    let way = Proxy::start(replica.address())?;
    let there = replica.url("postgres");
    let by_way = through(&there, way.address())?;
    let mut late = instance(&url, &[by_way])?;
    late.set("SSO__REVOCATION__LEASE", lease);
    let late = Instance::start(late).await?;
    let mut soon = instance(&url, &[there])?;
    soon.set("SSO__REVOCATION__LEASE", lease);
    let soon = Instance::start(soon).await?;
    replica.caught_up_with(&pair.primary).await?;
    way.freeze();
    replica.promote().await?;
    let alice = OnceLock::new();
    eventually_within(Duration::from_secs(20), "the promotion", async || {
        let new = Persona::register(&soon.server.http, &unique()).await;
        Ok(new.is_ok_and(|new| alice.set(new).is_ok()))
    })
    .await?;
    let alice = alice.into_inner().context("nobody was registered")?;
    let alice = alice.at(&late.server.http);
    Ok(Promoted {
        pair,
        way,
        late,
        alice,
    })
}

/// What rests on rows that the deposed primary has not.
async fn ask(at: &Instance, alice: &Persona) -> Result<Vec<(&'static str, Reply)>> {
    let no = json!({ "user_id": alice.id });
    let (login, refresh, info, is_admin, shown, disabled) = tokio::join!(
        alice.try_login(&alice.password),
        alice.use_refresh_token(&alice.refresh),
        alice.info(),
        at.is_admin(&alice.id),
        at.users("Get", no.clone()),
        at.users("Disable", no),
    );
    Ok(vec![
        ("login", login?),
        ("refresh", refresh?),
        ("info", info?),
        ("is-admin", is_admin?),
        ("a user", shown?),
        ("disabling", disabled?),
    ])
}

#[tokio::test]
async fn nobody_is_refused_by_what_a_deposed_primary_does_not_know() -> Result<()> {
    let Promoted { late, alice, .. } = &promoted("10s").await?;
    for (what, reply) in ask(late, alice).await? {
        ensure!(
            reply.status == StatusCode::SERVICE_UNAVAILABLE,
            "{what}: {reply:?}"
        );
    }
    tells(&late.server, DEGRADED, ("database", "down")).await
}

#[tokio::test]
async fn who_asks_meanwhile_is_answered_by_the_new_primary_when_it_can_be_asked() -> Result<()> {
    let Promoted {
        late,
        alice,
        way,
        pair,
    } = &promoted("1m").await?;
    let opened = async {
        sleep(Duration::from_millis(500)).await;
        way.mend();
    };
    // A beat that hangs at the deposed primary is not waited for: that would be half a minute.
    let answered = eventually_within(SOON, "an answer of the new primary", async || {
        let login = alice.try_login(&alice.password);
        let (login, is_admin) = tokio::join!(login, late.is_admin(&alice.id));
        let (login, is_admin) = (login?, is_admin?);
        for reply in [&login, &is_admin] {
            let is_told = reply.status != StatusCode::SERVICE_UNAVAILABLE;
            ensure!(!is_told || reply.status == StatusCode::OK, "{reply:?}");
        }
        Ok(login.status == StatusCode::OK && is_admin.status == StatusCode::OK)
    });
    let (answered, ()) = tokio::join!(answered, opened);
    answered?;
    let refresh = alice.use_refresh_token(&alice.refresh).await?;
    ensure!(refresh.status == StatusCode::OK, "{refresh:?}");
    tells(&late.server, READY, ("database", "up")).await?;
    ensure!(!pair.primary.is_standby().await?, "it still takes writes");
    Ok(())
}
