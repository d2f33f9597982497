//! Failed logins of all instances, counted together.
//!
//! One script judges and counts. What it answers is taken over by the count of this process, which
//! goes on alone while Redis is away or slow; and what this process counted is the least that the
//! script goes by. So neither a Redis without its data nor its return begins a row anew, and a
//! success that another instance saw ends it here too.

mod registrations;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use redis::Script;
use sso_core::{
    Network,
    ports::{
        Attempt, Clock, Permit, Random, RandomIds, Settled, Throttle, ThrottleReason, Throttled,
    },
    throttle::{Count, LocalThrottle, Rules, Tally},
    values::Email,
};
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Digest, Redis,
    metrics::{Counted, count_attempt},
    traces,
};

/// How long an attempt may be under way: longer than a request may take. Whoever dies with one
/// leaves it unjudged.
const UNDER_WAY: Duration = Duration::from_secs(30);
/// Most attempts that wait for those under way.
const MAX_WAITING: usize = 256;
/// How often who waits asks again.
const AGAIN: Duration = Duration::from_millis(50);
/// What is said to one too many.
const SHORTLY: Duration = Duration::from_secs(1);
/// How long Redis is not asked after it was slow.
const REST: Duration = Duration::from_secs(1);
/// Most outcomes that wait to be told.
const MOST_OUTCOMES: usize = 4_096;

/// How attempts are counted together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedThrottleSettings {
    /// Keys begin so.
    pub prefix: String,
    /// How long a request waits for Redis before it is judged by this process alone.
    pub patience: Duration,
}

/// A [`Throttle`] that all instances share.
pub struct SharedThrottle {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    /// Names attempts.
    random: Arc<dyn Random>,
    waiting: Semaphore,
    /// When Redis may be asked again, in milliseconds of the monotonic clock.
    rests_until: AtomicU64,
    outcomes: mpsc::Sender<News>,
    queue: tokio::sync::Mutex<mpsc::Receiver<News>>,
}

struct Shared {
    redis: Redis,
    local: LocalThrottle,
    rules: Rules,
    settings: SharedThrottleSettings,
    digest: Digest,
    script: Script,
    registrations: Script,
    /// Outcomes that this process counts and Redis does not know yet, by the key of the pair.
    untold: Mutex<HashMap<String, u32>>,
}

/// What Redis is told.
enum News {
    Settled(Outcome),
    /// A network was told that an address has an account.
    Conflict(Network),
}

/// What became of an attempt.
struct Outcome {
    keys: Keys,
    attempt: Uuid,
    settled: Settled,
}

/// The keys of an attempt: of digests, so that nobody reads an address out of Redis.
#[derive(Debug, Clone)]
struct Keys {
    pair: String,
    account: String,
    network: String,
}

enum Verdict {
    Admitted,
    Waits,
    Refused(Throttled),
}

/// What the script answers to an attempt.
type Answer = (String, u64, String, u32, u64, u64, u32, u64, u64);

impl SharedThrottle {
    /// Counts in `redis`, and in `local` beside.
    pub fn new(
        redis: Redis,
        local: LocalThrottle,
        settings: SharedThrottleSettings,
        digest: Digest,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        let (outcomes, queue) = mpsc::channel(MOST_OUTCOMES);
        let rules = local.rules();
        Self {
            shared: Arc::new(Shared {
                redis,
                local,
                rules,
                settings,
                digest,
                script: Script::new(include_str!("throttle.lua")),
                registrations: Script::new(include_str!("throttle/registrations.lua")),
                untold: Mutex::default(),
            }),
            clock,
            random,
            waiting: Semaphore::new(MAX_WAITING),
            rests_until: AtomicU64::new(0),
            outcomes,
            queue: tokio::sync::Mutex::new(queue),
        }
    }

    /// Tells Redis what became of attempts, until `stop`. Runs once.
    pub async fn tell(&self, stop: CancellationToken) {
        let mut queue = self.queue.lock().await;
        while let Some(Some(news)) = stop.run_until_cancelled(queue.recv()).await {
            match news {
                News::Settled(outcome) => self.shared.tell(&outcome).await,
                News::Conflict(network) => {
                    let _ = self.shared.registration(network, "told").await;
                }
            }
        }
    }

    /// `None`: Redis does not say, this process must.
    async fn ask<T>(&self, question: impl Future<Output = Option<T>>) -> Option<T> {
        let now = self.clock.monotonic();
        if now < Duration::from_millis(self.rests_until.load(Ordering::Relaxed)) {
            return None;
        }
        let asked = timeout(self.shared.settings.patience, question).await;
        asked.unwrap_or_else(|_| {
            let until = self.clock.monotonic() + REST;
            let until = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
            self.rests_until.store(until, Ordering::Relaxed);
            tracing::warn!("Redis is slow: attempts are counted by this instance alone");
            None
        })
    }

    fn permit(&self, attempt: &Attempt<'_>, keys: Keys, id: Uuid) -> Permit {
        let local = self.shared.local.count(attempt.email, attempt.network);
        let (shared, outcomes) = (Arc::clone(&self.shared), self.outcomes.clone());
        Permit::new(move |settled| {
            shared.note_untold(&keys, settled);
            local.settle(settled);
            let outcome = Outcome {
                keys,
                attempt: id,
                settled,
            };
            if let Err(full) = outcomes.try_send(News::Settled(outcome))
                && let News::Settled(outcome) = full.into_inner()
            {
                shared.note_told(&outcome);
            }
        })
    }
}

#[async_trait]
impl Throttle for SharedThrottle {
    async fn admit(&self, attempt: Attempt<'_>) -> Result<Permit, Throttled> {
        let keys = self.shared.keys(attempt.email, attempt.network);
        let mut waits = None;
        loop {
            let id = self.random.uuid_v4();
            let asked = self.ask(self.shared.admit(&attempt, &keys, id)).await;
            let Some(verdict) = asked else {
                count_attempt(Counted::Local);
                return self.shared.local.admit(attempt).await;
            };
            match verdict {
                Verdict::Admitted => {
                    count_attempt(Counted::Shared);
                    return Ok(self.permit(&attempt, keys, id));
                }
                Verdict::Refused(throttled) => {
                    count_attempt(Counted::Shared);
                    return Err(throttled);
                }
                Verdict::Waits if waits.is_none() => {
                    let turn = self.waiting.try_acquire();
                    waits = Some(
                        turn.map_err(|_| Throttled::by(ThrottleReason::AccountNetwork, SHORTLY))?,
                    );
                }
                Verdict::Waits => {}
            }
            self.clock.sleep_until(self.clock.monotonic() + AGAIN).await;
        }
    }

    /// What this process counted is the least.
    async fn admit_registration(&self, network: Network) -> Result<(), Throttled> {
        self.shared.local.admit_registration(network).await?;
        match self.ask(self.shared.registration(network, "admit")).await {
            Some(wait) if !wait.is_zero() => Err(Throttled::by(ThrottleReason::Registration, wait)),
            _ => Ok(()),
        }
    }

    async fn registration_told(&self, network: Network) {
        self.shared.local.registration_told(network).await;
        // One that finds no room is counted here.
        let _ = self.outcomes.try_send(News::Conflict(network));
    }
}

impl Shared {
    fn key(&self, kind: &str, parts: [&[u8]; 2]) -> String {
        let bytes = [kind.as_bytes(), b"\0", parts[0], b"\0", parts[1]].concat();
        let digest = u128::from_be_bytes((self.digest)(&bytes));
        let prefix = &self.settings.prefix;
        format!("{prefix}:throttle:{kind}:{digest:032x}")
    }

    fn keys(&self, email: &Email, network: Network) -> Keys {
        let (account, bits) = (email.canonical().as_bytes(), network.bits().to_be_bytes());
        Keys {
            pair: self.key("pair", [&bits, account]),
            account: self.key("account", [account, &[]]),
            network: self.key("network", [&bits, &[]]),
        }
    }

    async fn admit(&self, attempt: &Attempt<'_>, keys: &Keys, id: Uuid) -> Option<Verdict> {
        let mut link = self.redis.link()?;
        let own = self.local.tally(attempt.email, attempt.network);
        let untold = {
            let untold = self.untold();
            let of = |key: &String| untold.get(key).copied().unwrap_or(0);
            [of(&keys.pair), of(&keys.account)]
        };
        let mut call = self.call(keys, "admit", id);
        call.arg(u8::from(attempt.known));
        for (count, untold) in [own.pair, own.account].into_iter().zip(untold) {
            call.arg(count.failures.saturating_sub(untold))
                .arg(milliseconds(count.age))
                .arg(count.mark);
        }
        let answer: redis::RedisResult<Answer> =
            traces::invoke("throttle", &call, &mut link.connection).await;
        match answer {
            Ok(answer) => {
                let (verdict, tally) = read(&answer)?;
                self.local.take_over(attempt.email, attempt.network, &tally);
                Some(verdict)
            }
            Err(error) => {
                tracing::debug!(%error, "Redis does not count");
                self.redis.failed(&link, &error);
                None
            }
        }
    }

    /// Once: an outcome that is lost is in the count of this process, which the next attempt tells.
    async fn tell(&self, outcome: &Outcome) {
        if let Some(mut link) = self.redis.link() {
            let op = match outcome.settled {
                Settled::Succeeded => "succeeded",
                Settled::Failed => "failed",
                Settled::Unjudged => "unjudged",
            };
            let call = self.call(&outcome.keys, op, outcome.attempt);
            let told: redis::RedisResult<i64> = call.invoke_async(&mut link.connection).await;
            if let Err(error) = told {
                self.redis.failed(&link, &error);
            }
        }
        self.note_told(outcome);
    }

    fn call(&self, keys: &Keys, op: &str, id: Uuid) -> redis::ScriptInvocation<'_> {
        let rules = &self.rules;
        let mut call = self.script.prepare_invoke();
        call.key(&keys.pair)
            .key(format!("{}:now", keys.pair))
            .key(&keys.account)
            .key(format!("{}:now", keys.account))
            .key(&keys.network)
            .arg(op)
            .arg(id.as_bytes())
            .arg(milliseconds(UNDER_WAY))
            .arg(rules.free_attempts)
            .arg(milliseconds(rules.longest_delay))
            .arg(rules.account_failures)
            .arg(rules.network_accounts)
            .arg(milliseconds(rules.forget_pair))
            .arg(milliseconds(rules.forget_account))
            .arg(milliseconds(rules.repeater))
            .arg(milliseconds(rules.network_pause));
        call
    }

    fn untold(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Not more than [`MOST_OUTCOMES`] and the one that is being told.
    fn note_untold(&self, keys: &Keys, settled: Settled) {
        if settled == Settled::Failed {
            let mut untold = self.untold();
            for key in [&keys.pair, &keys.account] {
                *untold.entry(key.clone()).or_default() += 1;
            }
        }
    }

    fn note_told(&self, outcome: &Outcome) {
        if outcome.settled != Settled::Failed {
            return;
        }
        let mut untold = self.untold();
        for key in [&outcome.keys.pair, &outcome.keys.account] {
            if let Some(count) = untold.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    untold.remove(key);
                }
            }
        }
    }
}

/// `None` for what the script never answers.
fn read(answer: &Answer) -> Option<(Verdict, Tally)> {
    let (verdict, wait, rule, ..) = answer;
    let wait = Duration::from_millis(*wait);
    let verdict = match verdict.as_str() {
        "admitted" => Verdict::Admitted,
        "waits" => Verdict::Waits,
        "refused" => Verdict::Refused(Throttled::by(ThrottleReason::parse(rule)?, wait)),
        _ => return None,
    };
    let count = |failures, age, mark| Count {
        failures,
        age: Duration::from_millis(age),
        mark,
    };
    let tally = Tally {
        pair: count(answer.3, answer.4, answer.5),
        account: count(answer.6, answer.7, answer.8),
    };
    Some((verdict, tally))
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
