//! How long a request waits for PostgreSQL, in all, with the settings as they come.

use std::time::{Duration, Instant};

use anyhow::ensure;
use http::StatusCode;
use serde_json::json;
use sso_testkit::{
    http::Reply,
    persona::Persona,
    servers::{Postgres, Proxy},
};

use super::{cluster::Instance, *};
use crate::support::unique;

/// `http.request_timeout`: what is not answered by then is 504.
const REQUEST: Duration = Duration::from_secs(10);

/// It is refused in time, and is to come again.
async fn refused(answer: impl Future<Output = Result<Reply>>) -> Result<()> {
    let start = Instant::now();
    let reply = answer.await?;
    let took = start.elapsed();
    let unavailable = reply.status == StatusCode::SERVICE_UNAVAILABLE;
    ensure!(unavailable && took < REQUEST, "after {took:?}: {reply:?}");
    let later: u64 = reply.header("retry-after").parse()?;
    ensure!(later >= 1, "{reply:?}");
    Ok(())
}

/// A statement is not answered for 6 s, and then waits for another connection: with the whole bound
/// for each wait that would be 504.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_primary_that_hangs_is_told_to_come_again_before_its_time_is_over()
-> Result<()> {
    let server = Postgres::shared().await?;
    let url = server.database("patience").await?;
    let network = Proxy::start(server.node.address())?;
    let at = Instance::start(on(&through(&url, network.address())?)?).await?;
    let alice = Persona::register(&at.server.http, &unique()).await?;
    network.freeze();
    let new = json!({ "email": format!("{}@example.com", unique()), "password": "a long secret" });
    let known = json!({ "email": alice.email, "password": alice.password });
    tokio::try_join!(
        refused(alice.try_login(&alice.password)),
        refused(at.server.http.post("/auth/registration", &new)),
        refused(alice.use_refresh_token(&alice.refresh)),
        refused(at.call("login", known)),
    )?;
    Ok(())
}
