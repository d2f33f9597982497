//! Closed-loop load: each client waits for its answer, then asks again.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use rustix::param::clock_ticks_per_second;
use tokio::task::JoinSet;

/// What a run of load did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    /// Answers a second.
    pub(crate) rate: f64,
    /// Processor time of the server for each answer, in microseconds.
    pub(crate) server_micros: f64,
    /// Half of the answers came within this many milliseconds.
    pub(crate) p50_millis: f64,
    /// 99 of 100 answers came within this many milliseconds.
    pub(crate) p99_millis: f64,
}

/// Lets `clients` ask for `run` and counts their answers; a failed request ends the measurement.
pub(crate) async fn closed_loop<F>(
    clients: usize,
    run: Duration,
    server: u32,
    client: impl Fn(usize) -> F,
) -> Result<Outcome>
where
    F: Ask + Send + 'static,
{
    let stop = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicU64::new(0));
    let mut running = JoinSet::new();
    let (started, cpu) = (Instant::now(), cpu_micros(server)?);
    for number in 0..clients {
        let (mut asking, stop, count) = (client(number), stop.clone(), count.clone());
        running.spawn(async move {
            let mut times = Histogram::<u64>::new(3)?;
            while !stop.load(Ordering::Relaxed) {
                let sent = Instant::now();
                asking.ask().await?;
                times.record(u64::try_from(sent.elapsed().as_micros())?)?;
                count.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(times)
        });
    }
    tokio::time::sleep(run).await;
    // Before the stragglers, so that time and answers belong together.
    let (answers, elapsed) = (count.load(Ordering::Relaxed), started.elapsed());
    let cpu = cpu_micros(server)? - cpu;
    stop.store(true, Ordering::Relaxed);
    let mut times = Histogram::<u64>::new(3)?;
    while let Some(done) = running.join_next().await {
        times.add(done??)?;
    }
    let answers = float(answers);
    Ok(Outcome {
        rate: answers / elapsed.as_secs_f64(),
        server_micros: cpu / answers,
        p50_millis: float(times.value_at_quantile(0.5)) / 1000.0,
        p99_millis: float(times.value_at_quantile(0.99)) / 1000.0,
    })
}

/// One client's next request.
pub(crate) trait Ask {
    /// Sends it and checks the answer.
    fn ask(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// Processor time of a process, user and system, in microseconds.
pub(crate) fn cpu_micros(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the name in parentheses, which may hold spaces.
    let rest = stat.rsplit(')').next().context("no stat")?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || {
        fields
            .next()
            .context("a short stat")?
            .parse::<u64>()
            .context("a number")
    };
    let ticks = ticks()? + ticks()?;
    Ok(float(ticks) * 1e6 / float(clock_ticks_per_second()))
}

#[expect(clippy::cast_precision_loss, reason = "figures below 2^53")]
pub(crate) fn float(number: u64) -> f64 {
    number as f64
}
