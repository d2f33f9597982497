//! Open-loop load: requests begin at a fixed rate whatever became of those before, as users do.
//!
//! A latency counts from when its request should have begun. A closed loop would stop asking while
//! the server is slow, and so leave out just the requests that would have waited (Tene,
//! "How NOT to Measure Latency": coordinated omission).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use tokio::{
    sync::{Semaphore, mpsc},
    time::{sleep_until, timeout},
};

use crate::load::{cpu_micros, float};

/// Most requests under way. A server that is further behind than this does not carry the rate, and
/// the measurement ends with an error instead of a figure.
const MOST_UNDER_WAY: usize = 10_000;

/// How long the last answers may take.
const LAST: Duration = Duration::from_secs(30);

/// What a run did.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// Processor time of the server for each answer, in microseconds.
    pub(crate) server_micros: f64,
    /// From the intended start to the answer, in microseconds.
    pub(crate) times: Histogram<u64>,
}

impl Outcome {
    /// Milliseconds within which so many of the answers came.
    pub(crate) fn millis(&self, quantile: f64) -> f64 {
        float(self.times.value_at_quantile(quantile)) / 1000.0
    }
}

/// Begins `rate` requests a second for `run`, the `n`th by `request(n)`; a failed one ends the
/// measurement.
pub(crate) async fn open_loop<F>(
    rate: u32,
    run: Duration,
    server: u32,
    mut request: impl FnMut(u64) -> F,
) -> Result<Outcome>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let count = u64::from(rate) * u64::try_from(run.as_millis())? / 1000;
    let room = Arc::new(Semaphore::new(MOST_UNDER_WAY));
    let (tell, told) = mpsc::channel::<Result<u64>>(MOST_UNDER_WAY);
    let listening = tokio::spawn(collect(told));
    let (began, cpu) = (Instant::now(), cpu_micros(server)?);
    for number in 0..count {
        let intended = began + Duration::from_secs_f64(float(number) / f64::from(rate));
        // The timer wakes once a millisecond: what is due by then begins together.
        if intended > Instant::now() {
            sleep_until(intended.into()).await;
        }
        let permit = Arc::clone(&room).try_acquire_owned();
        let permit = permit.with_context(|| format!("{rate} a second are not carried"))?;
        let (tell, asking) = (tell.clone(), request(number));
        tokio::spawn(async move {
            let done = asking.await;
            let micros = u64::try_from(intended.elapsed().as_micros()).unwrap_or(u64::MAX);
            drop(permit);
            // Nobody listens after a failure.
            drop(tell.send(done.map(|()| micros)).await);
        });
    }
    drop(tell);
    let times = timeout(LAST, listening)
        .await
        .context("no last answers")???;
    let cpu = cpu_micros(server)? - cpu;
    ensure!(times.len() == count, "{} answers of {count}", times.len());
    Ok(Outcome {
        server_micros: cpu / float(count),
        times,
    })
}

async fn collect(mut told: mpsc::Receiver<Result<u64>>) -> Result<Histogram<u64>> {
    let mut times = Histogram::new(3)?;
    while let Some(micros) = told.recv().await {
        times.record(micros?)?;
    }
    Ok(times)
}
