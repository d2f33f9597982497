//! A cluster that gives up the timeline that an instance has met.
//!
//! Seen red: before it was looked for, the instance waited for a primary until somebody restarted it.

use std::time::Duration;

use anyhow::ensure;
use sso_testkit::{persona::Persona, servers::Options};

use super::{cluster::instance, *};
use crate::support::{eventually_within, unique};

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_instance_ends_when_its_timeline_was_given_up_and_the_next_goes_on() -> Result<()> {
    let mut pair = sso_testkit::servers::Pair::with_replicas(1, &Options::new()).await?;
    let url = pair.primary.url("postgres");
    on(&url)?;
    let mut site = instance(&url, &[pair.replicas[0].node.url("postgres")])?;
    site.set("SSO__SHUTDOWN__DRAIN_TIMEOUT", "5s");
    let mut server = site.serve().await?;
    let before = Persona::register(&server.http, &unique()).await?;
    pair.replicas[0].node.caught_up_with(&pair.primary).await?;
    pair.replicas[0].node.promote().await?;
    let admin = server.admin.clone();
    let gauge = |timeline: u32| format!("sso_store_timeline {timeline}");
    eventually_within(LIMIT, "the promotion", async || {
        let metrics = admin.get("/metrics", None).await?;
        let metrics = String::from_utf8(metrics.bytes.to_vec())?;
        Ok(metrics.contains(&gauge(2)))
    })
    .await?;

    // The first primary goes on, and the promoted one is made its standby.
    pair.replicas[0].node.stop().await?;
    pair.copy_anew(0).await?;
    let ended = server.wait(LIMIT).await?;
    ensure!(ended.code() == Some(69), "{ended:?}");
    let said = site.log()?;
    let sentence = format!(
        "the cluster has given up timeline 2: the server {}, which was the primary on it, follows \
         timeline 1 now",
        pair.replicas[0].node.address()
    );
    ensure!(said.contains(&sentence), "{said}");

    let next = site.serve().await?;
    let login = before.at(&next.http).try_login(&before.password).await?;
    ensure!(login.status == http::StatusCode::OK, "{login:?}");
    Persona::register(&next.http, &unique()).await?;
    Ok(())
}
