//! Memory of an idle server, and how long a start takes.

use std::time::{Duration, Instant};

use anyhow::Result;
use sso_testkit::process::Site;

use crate::{
    Plan,
    load::float,
    report::{Report, Series},
};

/// How long a server is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(3);

/// Starts on an empty folder and on one with data.
pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let (mut first, mut again, mut idle) =
        (Series::default(), Series::default(), Series::default());
    for _ in 0..plan.runs {
        let mut site = Site::new(&plan.binary)?;
        site.unset("SSO__PASSWORDS__ARGON2_MEMORY")
            .unset("SSO__PASSWORDS__ARGON2_ITERATIONS");
        for series in [&mut first, &mut again] {
            let started = Instant::now();
            let server = site.serve().await?;
            series.push(started.elapsed().as_secs_f64() * 1000.0);
            tokio::time::sleep(IDLE).await;
            idle.push(float(server.resident_bytes()?) / 1e6);
        }
    }
    report.goal("start to ready, empty folder", "ms", "<= 100", &first);
    report.goal("start to ready, with data", "ms", "<= 100", &again);
    report.goal("idle resident memory", "MB", "<= 20", &idle);
    Ok(())
}
