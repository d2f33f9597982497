//! Clocks that are wrong: no decision is by the time of a machine, as far as it can be.

use std::{path::Path, sync::Arc};

use anyhow::ensure;
use http::StatusCode;
use sso_testkit::persona::Persona;

use super::{
    cluster::{Instance, Ledger, instance, is_everywhere, pair},
    stale::lives,
    *,
};
use crate::support::unique;

/// Changes the time of the processes that it is loaded into; not that of CLOCK_BOOTTIME.
fn library() -> Result<String> {
    let architecture = format!("{}-linux-gnu", std::env::consts::ARCH);
    let folders = [
        format!("/usr/lib/{architecture}"),
        "/usr/lib".to_owned(),
        "/usr/lib64".to_owned(),
    ];
    folders
        .iter()
        .map(|folder| format!("{folder}/faketime/libfaketime.so.1"))
        .find(|file| Path::new(file).exists())
        .context("this test needs libfaketime: apt install libfaketime")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_whose_clock_is_wrong_by_two_minutes_changes_nothing() -> Result<()> {
    let (pair, urls) = pair(1).await?;
    let url = pair.primary.url("postgres");
    for offset in ["+120", "-120"] {
        let mut skewed = instance(&url, &urls)?;
        skewed
            .set("LD_PRELOAD", library()?)
            .set("FAKETIME", offset)
            .set("FAKETIME_DONT_FAKE_MONOTONIC", 1);
        let (right, wrong) = tokio::try_join!(
            Instance::start(instance(&url, &urls)?),
            Instance::start(skewed)
        )?;
        tokio::try_join!(right.settled(), wrong.settled())?;
        let reply = wrong.server.http.get("/auth/healthz", None).await?;
        ensure!(reply.status == StatusCode::OK);
        let date = reply.header("date").to_owned();
        let exact = right.server.http.get("/auth/healthz", None).await?;
        ensure!(
            date != exact.header("date"),
            "its clock is not wrong: {date}"
        );

        // Revocations here and there are obeyed there and here.
        for (at, other) in [(&right, &wrong), (&wrong, &right)] {
            let alice = Persona::register(&at.server.http, &unique()).await?;
            let reply = other.validate(&alice.access).await?;
            ensure!(reply.status == StatusCode::OK, "{offset}: {reply:?}");
            let ended = alice.logout(&alice.access, true).await?;
            ensure!(is_everywhere(&ended), "{offset}: {ended:?}");
            let reply = other.validate(&alice.access).await?;
            ensure!(
                reply.status == StatusCode::UNAUTHORIZED,
                "{offset}: {reply:?}"
            );
        }
        let (instances, ledger) = ([Arc::new(right), Arc::new(wrong)], Arc::<Ledger>::default());
        lives(30, &instances, &ledger).await?;
        ledger.close().with_context(|| offset)?;
    }
    Ok(())
}
