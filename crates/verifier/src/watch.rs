//! `sso.v1.Revocations/Watch`: one stream at a time, from one address after the other.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{sleep, timeout};
use tonic::{Request, Status, Streaming};

use crate::{
    clock::{Steady, monotonic, now},
    jwks::Jwks,
    metrics::Metrics,
    net::{Address, NoChannel},
    proto::v1::{
        Beat, WatchRevocationsRequest, WatchRevocationsResponse,
        revocations_client::RevocationsClient,
    },
    random::{Backoff, one_of},
    set::{OverSet, Unreadable},
    settings::CallerToken,
    trust::{Trust, until},
};

/// A listener that hears nothing for so long stops trusting.
pub(crate) const BOUND: Duration = Duration::from_secs(1);
/// After this much silence another address is asked, in the hope to hear from it within the bound.
const SILENCE: Duration = Duration::from_millis(600);
/// How long a stream is used. Beats are dated from its beginning, so the drift of two clocks grows
/// with it.
const RENEW: Duration = Duration::from_mins(10);
/// First and longest pause between two attempts.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));
/// How often the set is looked through for what can be forgotten.
const SWEEP: Duration = Duration::from_secs(5);

/// What is known of revocations, and by whom it is kept up to date.
pub(crate) struct Watcher {
    pub(crate) addresses: Vec<Address>,
    pub(crate) caller_token: Option<CallerToken>,
    pub(crate) max_entries: usize,
    pub(crate) jwks: Arc<Jwks>,
    pub(crate) set: OverSet,
    /// By which entries of it are forgotten.
    pub(crate) clock: Steady,
    pub(crate) trust: Trust,
    pub(crate) metrics: Metrics,
    pub(crate) view: Mutex<View>,
}

/// What an operator wants to know.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    /// The address whose beats are heard.
    pub(crate) heard: Option<String>,
    /// Why the last stream ended.
    pub(crate) problem: Option<String>,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("its time is over")]
    Renew,
    #[error("no connection: {0}")]
    NoConnection(#[from] NoChannel),
    #[error("nothing was heard for {SILENCE:?}")]
    Silent,
    #[error("the service ended the stream")]
    Closed,
    #[error("{0}")]
    Refused(String),
    #[error("the issuer's keys are too old, and cannot be loaded")]
    StaleKeys,
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("more than {0} revocations: raise max_revocations")]
    Full(usize),
}

impl From<Status> for Ended {
    fn from(status: Status) -> Self {
        Self::Refused(format!("{:?}: {}", status.code(), status.message()))
    }
}

impl Watcher {
    /// Watches for ever.
    pub(crate) async fn run(&self) {
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        // Many verifiers spread over the instances.
        let mut at = one_of(self.addresses.len());
        loop {
            at %= self.addresses.len().max(1);
            let Some(address) = self.addresses.get(at) else {
                return;
            };
            let mut heard = false;
            let ended = match self.listen(address, &mut heard).await {
                Ok(never) => match never {},
                Err(ended) => ended,
            };
            if heard {
                backoff.reset();
            }
            if let Ended::Renew = ended {
                continue;
            }
            self.left(address, &ended);
            at += 1;
            sleep(backoff.pause()).await;
        }
    }

    fn left(&self, address: &Address, ended: &Ended) {
        tracing::warn!(%address, reason = %ended, "revocations are not heard any more");
        self.metrics.stream_ended();
        self.metrics.trusted(Duration::ZERO);
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.heard = None;
        view.problem = Some(format!("{address}: {ended}"));
    }

    /// Listens to one stream until it ends.
    async fn listen(
        &self,
        address: &Address,
        heard: &mut bool,
    ) -> Result<std::convert::Infallible, Ended> {
        // While nobody listened a key may have been retired, so long ago that the set does not tell
        // of it any more: it is not among keys that were loaded since.
        if !self.trust.holds() && !self.jwks.is_fresh() {
            self.jwks.reload().await;
            if !self.jwks.is_fresh() {
                return Err(Ended::StaleKeys);
            }
        }
        let mut client = RevocationsClient::new(address.open().await?);
        let called = monotonic();
        let mut request = Request::new(WatchRevocationsRequest {});
        if let Some(token) = &self.caller_token {
            token.put_into(request.metadata_mut());
        }
        let answer = timeout(BOUND, client.watch(request)).await;
        let mut stream = answer.map_err(|_| Ended::Silent)??.into_inner();
        let mut swept = called;
        loop {
            let message = next(&mut stream).await?;
            self.set.apply(&message.revocations)?;
            if let Some(beat) = &message.beat {
                self.trust.extend(good_until(called, beat));
                if !std::mem::replace(heard, true) {
                    self.hears(address);
                }
                self.metrics.trusted(self.trust.left());
            }
            let time = monotonic();
            if time.saturating_sub(swept) >= SWEEP {
                swept = time;
                self.sweep();
            }
            if self.set.len() > self.max_entries {
                self.sweep();
            }
            if self.set.len() > self.max_entries {
                // What is forgotten would be accepted.
                self.trust.lose();
                return Err(Ended::Full(self.max_entries));
            }
            if time.saturating_sub(called) >= RENEW {
                return Err(Ended::Renew);
            }
        }
    }

    fn hears(&self, address: &Address) {
        tracing::info!(%address, revocations = self.set.len(), "revocations are heard");
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.heard = Some(address.to_string());
        view.problem = None;
    }

    fn sweep(&self) {
        let now = self.clock.at(now(), monotonic());
        self.set
            .forget_before(now.unix_timestamp(), &self.jwks.keys());
        self.metrics.entries(self.set.len());
    }
}

async fn next(
    stream: &mut Streaming<WatchRevocationsResponse>,
) -> Result<WatchRevocationsResponse, Ended> {
    let message = timeout(SILENCE, stream.message()).await;
    message.map_err(|_| Ended::Silent)??.ok_or(Ended::Closed)
}

fn good_until(called: Duration, beat: &Beat) -> Duration {
    let time = |field: Option<prost_types::Duration>| {
        field
            .and_then(|duration| Duration::try_from(duration).ok())
            .unwrap_or_default()
    };
    until(called, time(beat.sent_after), time(beat.trusted_for), BOUND)
}
