//! `sso.v1.Revocations/Watch` of the real binary, without the verifier between.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sso_core::Scope;
use sso_testkit::{
    persona::{
        Persona,
        v1::{
            WatchRevocationsRequest, WatchRevocationsResponse, revocation::Over,
            revocations_client::RevocationsClient,
        },
    },
    process::{Server, Site},
};
use tokio::time::timeout;
use tonic::{
    Code, Request, Status, Streaming,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt;

use crate::support::{callers, site, token_of};

/// Longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(15);

type Stream = Streaming<WatchRevocationsResponse>;

fn known_site() -> Result<Site> {
    let mut site = site()?;
    site.set("SSO__GRPC__CALLERS", callers());
    Ok(site)
}

async fn channel(server: &Server) -> Result<Channel> {
    sso_testkit::persona::channel(server.grpc_address).await
}

async fn watch_as(channel: Channel, name: &'static str, value: &str) -> Result<Stream, Status> {
    let mut request = Request::new(WatchRevocationsRequest {});
    let value = value.parse().map_err(|_| Status::internal("no header"))?;
    request.metadata_mut().insert(name, value);
    let answer = RevocationsClient::new(channel).watch(request).await?;
    Ok(answer.into_inner())
}

async fn watch(channel: Channel) -> Result<Stream, Status> {
    watch_as(channel, "x-caller-token", &token_of(Scope::RevocationsRead)).await
}

async fn next(stream: &mut Stream) -> Result<WatchRevocationsResponse> {
    let message = timeout(PATIENCE, stream.message()).await??;
    message.context("the stream has ended")
}

/// Reads on until the stream ends.
async fn end(stream: &mut Stream) -> Result<Status> {
    let ended = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => anyhow::bail!("it ended without a word"),
                Err(status) => return Ok(status),
            }
        }
    };
    timeout(PATIENCE, ended).await?
}

fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.map(|info| info.reason).unwrap_or_default()
}

fn of_session(message: &WatchRevocationsResponse) -> Vec<&str> {
    let all = message.revocations.iter();
    all.filter_map(|entry| match entry.over.as_ref()? {
        Over::SessionId(session) => Some(session.as_str()),
        _ => None,
    })
    .collect()
}

#[tokio::test]
async fn the_set_comes_first_then_beats_and_what_is_new_at_once() -> Result<()> {
    let server = known_site()?.serve().await?;
    let early = Persona::register(&server.http, "early").await?;
    early.logout(&early.access, false).await?;
    let gone = crate::keys::claim(&early.access, "sid")?;
    let late = Persona::register(&server.http, "late").await?;
    let next_gone = crate::keys::claim(&late.access, "sid")?;

    let mut stream = watch(channel(&server).await?).await?;
    let set = next(&mut stream).await?;
    assert_eq!(set.beat, None);
    assert_eq!(of_session(&set), [gone.as_str().context("no sid")?]);
    let mut before = Duration::ZERO;
    let started = Instant::now();
    for _ in 0..6 {
        let beat = next(&mut stream).await?.beat.context("no beat")?;
        let after = Duration::try_from(beat.sent_after.context("no time")?)?;
        let trusted = Duration::try_from(beat.trusted_for.context("no lease")?)?;
        assert!(
            after >= before && trusted > Duration::from_secs(5),
            "{after:?} {trusted:?}"
        );
        before = after;
    }
    // The first two come together, and some may have come before they were read.
    let took = started.elapsed();
    assert!(
        took > Duration::from_millis(300) && took < Duration::from_secs(3),
        "{took:?}"
    );

    let reply = late.logout(&late.access, false).await?;
    assert_eq!(reply.header("x-revocation"), "everywhere");
    let acknowledged = Instant::now();
    loop {
        let message = next(&mut stream).await?;
        if of_session(&message) == [next_gone.as_str().context("no sid")?] {
            assert!(message.beat.is_some());
            let until = message.revocations[0].until.context("no time")?;
            assert!(until.seconds > 1_700_000_000);
            break;
        }
        ensure!(acknowledged.elapsed() < Duration::from_millis(150), "late");
    }
    Ok(())
}

#[tokio::test]
async fn an_administrators_stream_ends_with_his_token() -> Result<()> {
    let site = known_site()?;
    let server = site.serve().await?;
    for (name, command, expected) in [
        ("ada", &["set-admin", "--revoke"][..], "token_revoked"),
        ("eve", &["disable"][..], "token_revoked"),
    ] {
        let mut admin = Persona::register(&server.http, name).await?;
        site.run_ok(&["user", "set-admin", &admin.email])?;
        admin.login().await?;
        let bearer = format!("Bearer {}", admin.access);
        let mut stream = watch_as(channel(&server).await?, "authorization", &bearer).await?;
        next(&mut stream).await?;
        let arguments = [
            &["user"],
            &command[..1],
            &[admin.email.as_str()],
            &command[1..],
        ]
        .concat();
        site.run_ok(&arguments)?;
        let ended = end(&mut stream).await?;
        assert_eq!(
            (ended.code(), &*reason(&ended)),
            (Code::Unauthenticated, expected)
        );
    }
    Ok(())
}

#[tokio::test]
async fn streams_do_not_hold_up_a_stop() -> Result<()> {
    let server = known_site()?.serve().await?;
    let mut stream = watch(channel(&server).await?).await?;
    next(&mut stream).await?;
    let mut server = server;
    server.terminate()?;
    let ended = end(&mut stream).await?;
    assert_eq!(
        (ended.code(), &*reason(&ended)),
        (Code::Unavailable, "unavailable")
    );
    assert!(server.wait(Duration::from_secs(5)).await?.success());
    Ok(())
}

#[tokio::test]
async fn a_watcher_too_many_is_told_so_and_may_come_when_another_has_gone() -> Result<()> {
    let mut site = known_site()?;
    site.set("SSO__GRPC__MAX_WATCHERS", 2);
    let server = site.serve().await?;
    let mut one = watch(channel(&server).await?).await?;
    let mut two = watch(channel(&server).await?).await?;
    next(&mut one).await?;
    next(&mut two).await?;
    let refused = watch(channel(&server).await?)
        .await
        .err()
        .context("let in")?;
    assert_eq!(
        (refused.code(), &*reason(&refused)),
        (Code::Unavailable, "overloaded")
    );
    assert!(refused.get_details_retry_info().is_some());
    drop(one);
    crate::support::eventually("there is room again", async || {
        Ok(watch(channel(&server).await?).await.is_ok())
    })
    .await
}

#[tokio::test]
async fn who_does_not_read_is_cut_off_and_the_others_are_not() -> Result<()> {
    let server = known_site()?.serve().await?;
    let narrow = Endpoint::from_shared(format!("http://{}", server.grpc_address))?
        .initial_stream_window_size(64)
        .connect()
        .await?;
    let mut slow = watch(narrow).await?;
    let mut good = watch(channel(&server).await?).await?;
    let metric = async || {
        let text = server.admin.get("/metrics", None).await?.bytes;
        let text = String::from_utf8_lossy(&text).into_owned();
        Ok(text.contains("sso_revocation_watches_ended_total{reason=\"slow_reader\"} 1"))
    };
    let reading = tokio::spawn(async move {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(8) {
            next(&mut good).await?;
        }
        anyhow::Ok(())
    });
    crate::support::eventually_within(PATIENCE, "the slow one is cut off", metric).await?;
    let ended = end(&mut slow).await?;
    assert_eq!(
        (ended.code(), &*reason(&ended)),
        (Code::ResourceExhausted, "slow_reader")
    );
    reading.await?
}

/// A few hundred here; `bench` measures what a thousand cost.
#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_watchers_hear_of_a_logout_within_a_second() -> Result<()> {
    const STREAMS: usize = 300;
    let server = known_site()?.serve().await?;
    let alice = Persona::register(&server.http, "alice").await?;
    let session = crate::keys::claim(&alice.access, "sid")?;
    let session = session.as_str().context("no sid")?.to_owned();
    let channels = [channel(&server).await?, channel(&server).await?];
    let mut streams = Vec::new();
    for number in 0..STREAMS {
        let mut stream = watch(channels[number % 2].clone()).await?;
        next(&mut stream).await?;
        streams.push(stream);
    }
    let reply = alice.logout(&alice.access, false).await?;
    assert_eq!(reply.header("x-revocation"), "everywhere");
    let since = Instant::now();
    let mut hearing = tokio::task::JoinSet::new();
    for mut stream in streams {
        let session = session.clone();
        hearing.spawn(async move {
            while !of_session(&next(&mut stream).await?).contains(&session.as_str()) {}
            anyhow::Ok(())
        });
    }
    while let Some(heard) = hearing.join_next().await {
        heard??;
    }
    assert!(
        since.elapsed() < Duration::from_secs(1),
        "{:?}",
        since.elapsed()
    );
    Ok(())
}
