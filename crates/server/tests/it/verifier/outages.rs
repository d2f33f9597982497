//! What a verifier does when it hears nothing, or only old news.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use sso_testkit::{persona::Persona, process::Server};
use sso_verifier::{Refused, Verifier, WhenSilent};

use super::{
    BOUND, builder,
    gate::{Gate, Way},
    known_site, revoked_in_time, verifier,
};
use crate::support::eventually;

pub(super) fn signal(server: &Server, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(server.pid())?).context("no process")?;
    Ok(kill_process(pid, signal)?)
}

/// One that listens through a gate.
async fn through(server: &Server, gate: &Gate, when_silent: WhenSilent) -> Result<Verifier> {
    let verifier = builder(server)
        .grpc_url(format!("http://{}", gate.address))
        .when_silent(when_silent)
        .build()
        .await?;
    ensure!(verifier.ready(), "{:?}", verifier.status());
    Ok(verifier)
}

/// Nothing is accepted any more, and that no later than the bound.
async fn falls_silent_in_time(verifier: &Verifier, token: &str, since: Instant) -> Result<()> {
    while verifier.verify(token).await.is_ok() {
        ensure!(since.elapsed() < BOUND, "{:?}", verifier.status());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

#[tokio::test]
async fn behind_a_frozen_instance_nothing_passes_after_a_second_until_it_thaws() -> Result<()> {
    let server = known_site()?.serve().await?;
    let verifier = verifier(&server, WhenSilent::Refuse).await?;
    let alice = Persona::register(&server.http, "alice").await?;
    assert!(verifier.verify(&alice.access).await.is_ok());
    signal(&server, Signal::STOP)?;
    falls_silent_in_time(&verifier, &alice.access, Instant::now()).await?;
    assert_eq!(
        verifier.verify(&alice.access).await,
        Err(Refused::Unknowable)
    );
    // A forged token is none whether or not anything is heard.
    let forged = format!("{}A", alice.access);
    assert_eq!(verifier.verify(&forged).await, Err(Refused::Invalid));
    signal(&server, Signal::CONT)?;
    eventually("she is accepted again", async || {
        Ok(verifier.verify(&alice.access).await.is_ok())
    })
    .await
}

#[tokio::test]
async fn an_instance_that_was_killed_is_found_again_with_what_was_revoked() -> Result<()> {
    let site = known_site()?;
    let mut server = site.serve().await?;
    let verifier = verifier(&server, WhenSilent::Refuse).await?;
    let alice = Persona::register(&server.http, "alice").await?;
    let bob = Persona::register(&server.http, "bob").await?;
    server.kill()?;
    falls_silent_in_time(&verifier, &alice.access, Instant::now()).await?;
    site.run_ok(&["user", "end-sessions", &bob.email])?;
    let _server = site.serve().await?;
    eventually("she is accepted again", async || {
        Ok(verifier.verify(&alice.access).await.is_ok())
    })
    .await?;
    assert_eq!(verifier.verify(&bob.access).await, Err(Refused::Revoked));
    Ok(())
}

#[tokio::test]
async fn another_address_is_heard_before_trust_is_over() -> Result<()> {
    let server = known_site()?.serve().await?;
    let gates = [
        Gate::before(server.grpc_address).await?,
        Gate::before(server.grpc_address).await?,
    ];
    let mut builder = builder(&server).when_silent(WhenSilent::Refuse);
    for gate in &gates {
        builder = builder.grpc_url(format!("http://{}", gate.address));
    }
    let verifier = builder.build().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    for _ in 0..2 {
        let heard = verifier.status().heard.unwrap_or_default();
        let gate = gates
            .iter()
            .find(|gate| heard.contains(&gate.address.to_string()));
        let gate = gate.context("none of them is heard")?;
        gate.set(Way::Shut);
        eventually("the other one is heard", async || {
            assert!(verifier.verify(&alice.access).await.is_ok());
            let now = verifier.status().heard;
            Ok(now.is_some_and(|now| now != heard))
        })
        .await?;
        gate.set(Way::Open);
    }
    alice.logout(&alice.access, false).await?;
    revoked_in_time(&verifier, &alice.access, Instant::now()).await
}

/// Beats that come regularly and later each time: they are no news.
#[tokio::test]
async fn news_that_is_under_way_for_too_long_is_none() -> Result<()> {
    let server = known_site()?.serve().await?;
    let gate = Gate::before(server.grpc_address).await?;
    let verifier = through(&server, &gate, WhenSilent::Refuse).await?;
    let alice = Persona::register(&server.http, "alice").await?;
    // A beat every 300 ms, and after five seconds they are more than a second late.
    gate.set(Way::Dragging(Instant::now()));
    let started = Instant::now();
    let mut revoked = None;
    while started.elapsed() < Duration::from_secs(8) {
        if revoked.is_none() && started.elapsed() > Duration::from_secs(5) {
            let reply = alice.logout(&alice.access, false).await?;
            assert_eq!(reply.header("x-revocation"), "everywhere");
            revoked = Some(Instant::now());
        }
        let accepted = verifier.verify(&alice.access).await.is_ok();
        let late = revoked.is_some_and(|since| since.elapsed() > BOUND);
        ensure!(
            !(accepted && late),
            "accepted after {:?}",
            started.elapsed()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// The stream through the gate holds the only slot of a watcher, so nothing can be heard beside it.
#[tokio::test]
async fn where_nothing_is_heard_validate_is_asked_of_another_address() -> Result<()> {
    let mut site = known_site()?;
    site.set("SSO__GRPC__MAX_WATCHERS", 1);
    let server = site.serve().await?;
    let gate = Gate::before(server.grpc_address).await?;
    let verifier = builder(&server)
        .grpc_url(format!("http://{}", gate.address))
        .grpc_url(format!("http://{}", server.grpc_address))
        .when_silent(WhenSilent::Ask)
        .build()
        .await?;
    let alice = Persona::register(&server.http, "alice").await?;
    let bob = Persona::register(&server.http, "bob").await?;
    eventually("the stream goes through the gate", async || {
        let heard = verifier.status().heard.unwrap_or_default();
        if heard.contains(&gate.address.to_string()) {
            return Ok(true);
        }
        // It goes the other way: freeze the server for a moment, and it looks for another.
        signal(&server, Signal::STOP)?;
        tokio::time::sleep(Duration::from_millis(700)).await;
        signal(&server, Signal::CONT)?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        Ok(false)
    })
    .await?;
    gate.set(Way::Shut);
    eventually("nothing is heard", async || Ok(!verifier.ready())).await?;
    assert!(verifier.verify(&alice.access).await.is_ok());
    assert_eq!(verifier.verify_now(&alice.access), Err(Refused::Unknowable));
    alice.logout(&alice.access, false).await?;
    revoked_in_time(&verifier, &alice.access, Instant::now()).await?;
    assert!(!verifier.ready());
    assert!(verifier.verify(&bob.access).await.is_ok());
    Ok(())
}

/// However many tokens come, an outage is answered at once.
#[tokio::test]
async fn an_outage_is_not_made_worse_by_questions() -> Result<()> {
    let server = known_site()?.serve().await?;
    let verifier = verifier(&server, WhenSilent::Ask).await?;
    let alice = Persona::register(&server.http, "alice").await?;
    signal(&server, Signal::STOP)?;
    let started = Instant::now();
    eventually("nothing is heard", async || Ok(!verifier.ready())).await?;
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let (verifier, token) = (verifier.clone(), alice.access.clone());
        asked.spawn(async move { verifier.verify(&token).await });
    }
    while let Some(outcome) = asked.join_next().await {
        assert_eq!(outcome?, Err(Refused::Unknowable));
    }
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "{:?}",
        started.elapsed()
    );
    // The circuit is open now: nobody waits for an address that does not answer.
    let at_once = Instant::now();
    for _ in 0..10 {
        assert_eq!(
            verifier.verify(&alice.access).await,
            Err(Refused::Unknowable)
        );
    }
    assert!(
        at_once.elapsed() < Duration::from_millis(1_200),
        "{:?}",
        at_once.elapsed()
    );
    signal(&server, Signal::CONT)?;
    eventually("she is accepted again", async || {
        Ok(verifier.verify(&alice.access).await.is_ok())
    })
    .await
}
