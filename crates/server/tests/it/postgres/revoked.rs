//! Three instances: what is over is over everywhere when somebody was told so, and 1.2 leases
//! after the answer in any case, whatever happens to an instance meanwhile.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::ensure;
use http::{Method, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use sso_testkit::{
    http::Reply,
    persona::Persona,
    process::Server,
    servers::{Pair, Proxy},
};
use tokio::{task::JoinSet, time::timeout};

use super::{
    cluster::{BOUND, Instance, LEASE, Ledger, full_size, instance, is_everywhere, pair},
    *,
};
use crate::support::{eventually_within, rounds, unique};

/// Who is frozen or cut off answers nobody.
const SHORT: Duration = Duration::from_secs(1);
/// Longer than anybody is frozen.
const LONG: Duration = Duration::from_secs(20);
/// What comes back may take long on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Every way to take access away that is answered with how far it reaches.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Logout,
    LogoutEverywhere,
    Session,
    Password,
    Disable,
    Admin,
    SetPassword,
    EndSessions,
    Delete,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Logout,
        Self::LogoutEverywhere,
        Self::Session,
        Self::Password,
        Self::Disable,
        Self::Admin,
        Self::SetPassword,
        Self::EndSessions,
        Self::Delete,
    ];

    /// Takes away what `alice` has, at `at`.
    async fn revoke(self, at: &Instance, alice: &Persona) -> Result<Reply> {
        let mut alice = alice.at(&at.server.http);
        let token = alice.access.clone();
        let id = json!({ "user_id": alice.id });
        match self {
            Self::Logout => alice.logout(&token, false).await,
            Self::LogoutEverywhere => alice.logout(&token, true).await,
            Self::Session => {
                let list = alice.sessions().await?;
                ensure!(list.status == StatusCode::OK, "{list:?}");
                let session = list.json()["sessions"][0]["id"].clone();
                let path = format!("/auth/sessions/{}", session.as_str().unwrap_or_default());
                let http = &at.server.http;
                http.bearer(Method::DELETE, &path, Some(&token), "").await
            }
            Self::Password => alice.change_password("quite another secret").await,
            Self::Disable => at.users("Disable", id).await,
            Self::Admin => {
                let body = json!({ "user_id": alice.id, "is_admin": true });
                at.users("SetAdmin", body).await
            }
            Self::SetPassword => {
                let body = json!({ "user_id": alice.id, "password": "quite another secret" });
                at.users("SetPassword", body).await
            }
            Self::EndSessions => at.users("EndSessions", id).await,
            Self::Delete => at.users("Delete", id).await,
        }
    }
}

/// A token that nobody may accept any more when asked after `since`.
#[derive(Clone)]
struct Dead {
    token: String,
    since: Instant,
    how: String,
}

/// All that is over, and who looks after it.
struct Guard {
    instances: Mutex<Vec<Arc<Instance>>>,
    dead: Mutex<Vec<Dead>>,
    alive: Mutex<Vec<String>>,
    ledger: Ledger,
    asked: AtomicUsize,
    over: AtomicBool,
}

impl Guard {
    fn new(instances: &[Arc<Instance>]) -> Arc<Self> {
        Arc::new(Self {
            instances: Mutex::new(instances.to_vec()),
            dead: Mutex::default(),
            alive: Mutex::default(),
            ledger: Ledger::default(),
            asked: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        })
    }

    /// Asks every instance for what is over and for what is not, until the end.
    fn patrol(self: &Arc<Self>) -> JoinSet<Result<()>> {
        let mut patrols = JoinSet::new();
        for number in 0..4 {
            let this = Arc::clone(self);
            patrols.spawn(async move {
                let mut round = number;
                while !this.over.load(Ordering::Acquire) {
                    this.look(round).await;
                    round += 7;
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                Ok(())
            });
        }
        patrols
    }

    async fn look(&self, round: usize) {
        let at = {
            let all = self
                .instances
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&all[round % all.len()])
        };
        let dead = {
            let dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
            // The newest most: they are the ones that somebody may not know yet.
            let back = if round.is_multiple_of(3) {
                round
            } else {
                round % 8
            };
            (!dead.is_empty()).then(|| dead[dead.len() - 1 - back % dead.len()].clone())
        };
        if let Some(dead) = dead {
            self.must_refuse(&at, &dead).await;
        }
        let alive = {
            let alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
            (!alive.is_empty()).then(|| alive[round % alive.len()].clone())
        };
        if let Some(token) = alive
            && let Ok(Ok(reply)) = timeout(SHORT, at.validate(&token)).await
            && reply.status == StatusCode::UNAUTHORIZED
        {
            self.ledger.wrong("a live token was refused".to_owned());
        }
    }

    /// `at` may be silent, or not know; it must not accept.
    async fn must_refuse(&self, at: &Instance, dead: &Dead) {
        let sent = Instant::now();
        if sent < dead.since {
            return;
        }
        // Longer than anybody is frozen: it is what he says first that counts.
        if let Ok(Ok(reply)) = timeout(LONG, at.validate(&dead.token)).await {
            self.asked.fetch_add(1, Ordering::Relaxed);
            if reply.status == StatusCode::OK {
                let late = sent - dead.since;
                self.ledger
                    .wrong(format!("{} was accepted {late:?} later", dead.how));
            }
        }
    }

    /// Takes the access of somebody new away; how long the answer took, and whether it was
    /// `everywhere`. Nobody of `asked` accepts after it. `None`: it was not answered but with 503,
    /// and nothing was promised.
    async fn try_revoke(
        &self,
        kind: Kind,
        at: &Instance,
        asked: &[Arc<Instance>],
    ) -> Result<Option<(Duration, bool)>> {
        let alice = Persona::register(&at.server.http, &unique()).await;
        let Some(alice) = unless_unavailable(alice)? else {
            return Ok(None);
        };
        let start = Instant::now();
        let reply = kind.revoke(at, &alice).await;
        let took = start.elapsed();
        let Some(reply) = unless_unavailable(reply)? else {
            return Ok(None);
        };
        if reply.status == StatusCode::SERVICE_UNAVAILABLE {
            return Ok(None);
        }
        ensure!(reply.status == StatusCode::OK, "{kind:?}: {reply:?}");
        let (everywhere, now) = (is_everywhere(&reply), Instant::now());
        let dead = Dead {
            token: alice.access,
            since: if everywhere { now } else { now + BOUND },
            how: format!("{kind:?} ({})", reply.header("x-revocation")),
        };
        self.dead
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(dead.clone());
        for other in asked {
            self.must_refuse(other, &dead).await;
        }
        Ok(Some((took, everywhere)))
    }

    /// The same at an instance that has no reason to be unavailable.
    async fn revoke(
        &self,
        kind: Kind,
        at: &Instance,
        asked: &[Arc<Instance>],
    ) -> Result<(Duration, bool)> {
        let done = self.try_revoke(kind, at, asked).await?;
        done.with_context(|| format!("{kind:?}: 503"))
    }

    /// One of each kind, at one instance after the other.
    async fn each(&self, at: &[Arc<Instance>]) -> Result<usize> {
        let each = Kind::ALL.iter().enumerate();
        let each = each.map(|(number, kind)| self.revoke(*kind, &at[number % at.len()], at));
        let done = futures_util::future::try_join_all(each).await?;
        Ok(done.iter().filter(|(_, everywhere)| *everywhere).count())
    }

    /// Waits until all is as it was, then until what was answered `pending` is over too. Who has
    /// just come back finds his connections broken and his lease over: he may be unavailable.
    async fn recovered(&self, at: &[Arc<Instance>]) -> Result<()> {
        eventually_within(PATIENCE, "answers `everywhere`", async || {
            let each = Kind::ALL.iter().enumerate();
            let each =
                each.map(|(number, kind)| self.try_revoke(*kind, &at[number % at.len()], at));
            let done = futures_util::future::try_join_all(each).await?;
            Ok(done
                .iter()
                .all(|done| done.is_some_and(|(_, everywhere)| everywhere)))
        })
        .await?;
        tokio::time::sleep(BOUND).await;
        let all = self
            .dead
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for dead in all {
            for one in at {
                self.must_refuse(one, &dead).await;
            }
        }
        Ok(())
    }

    async fn end(&self, mut patrols: JoinSet<Result<()>>) -> Result<()> {
        self.over.store(true, Ordering::Release);
        while let Some(done) = patrols.join_next().await {
            done??;
        }
        let asked = self.asked.load(Ordering::Relaxed);
        let dead = self
            .dead
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len();
        eprintln!("{dead} revocations, {asked} questions for what was over");
        ensure!(asked > dead, "nobody looked");
        self.ledger.close()
    }
}

/// Three instances, the third by way of a network that can fail.
struct Three {
    pair: Pair,
    urls: Vec<String>,
    network: Proxy,
    all: Vec<Arc<Instance>>,
    guard: Arc<Guard>,
    patrols: JoinSet<Result<()>>,
}

impl Three {
    async fn start() -> Result<Self> {
        let (pair, urls) = pair(1).await?;
        let url = pair.primary.url("postgres");
        let network = Proxy::start(pair.primary.address())?;
        let far = through(&url, network.address())?;
        let mut all = Vec::new();
        for url in [&url, &url, &far] {
            all.push(Arc::new(Instance::start(instance(url, &urls)?).await?));
        }
        for one in &all {
            one.settled().await?;
        }
        let guard = Guard::new(&all);
        for _ in 0..8 {
            let alive = Persona::register(&all[0].server.http, &unique()).await?;
            guard
                .alive
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(alive.access);
        }
        let patrols = guard.patrol();
        Ok(Self {
            pair,
            urls,
            network,
            all,
            guard,
            patrols,
        })
    }
}

/// `None`: somebody was unavailable, and said so.
fn unless_unavailable<T>(done: Result<T>) -> Result<Option<T>> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.to_string().contains("status: 503") => Ok(None),
        Err(error) => Err(error),
    }
}

fn signal(server: &Server, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(server.pid())?).context("no pid")?;
    Ok(kill_process(pid, signal)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_passes_anywhere_after_everywhere_under_load() -> Result<()> {
    let three = Three::start().await?;
    let count = if full_size() { 1_000 } else { 150 };
    let answers = Arc::new(Mutex::new(Vec::new()));
    // A long write elsewhere in the cluster holds back what every snapshot shows.
    let write = "select pg_current_xact_id(), pg_sleep(8)";
    let held = three.pair.primary.execute(write);
    let revoked = rounds(count, 6, |number| {
        let (guard, all) = (Arc::clone(&three.guard), three.all.clone());
        let answers = Arc::clone(&answers);
        async move {
            let kind = Kind::ALL[number % Kind::ALL.len()];
            let answer = guard.revoke(kind, &all[number % all.len()], &all).await?;
            answers
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(answer);
            Ok(())
        }
    });
    let (held, revoked) = tokio::join!(held, revoked);
    held?;
    revoked?;
    let mut took: Vec<_> = {
        let answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
        let everywhere = answers.iter().filter(|(_, everywhere)| *everywhere);
        everywhere.map(|(took, _)| *took).collect()
    };
    took.sort_unstable();
    let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!(
        "{} of {count} everywhere: p50 {p50:?}, p99 {p99:?}",
        took.len()
    );
    three.guard.end(three.patrols).await?;
    // A machine that is shared may be slow for a moment.
    ensure!(took.len() * 100 >= count * 95, "only {}", took.len());
    let limit = if full_size() { 600 } else { 2_000 };
    ensure!(p99 <= Duration::from_millis(limit), "p99 {p99:?}");
    Ok(())
}

/// Rows of readers that were silent for too long.
const FENCED: &str = "sso_revocation_readers_fenced_total";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_hangs_accepts_nothing_when_it_goes_on() -> Result<()> {
    let three = Three::start().await?;
    let (two, third) = (&three.all[..2], &three.all[2].server);
    let mut silent = 0;
    for (pause, answer_under_way) in [
        (LEASE / 2, false),
        (LEASE * 2, false),
        (LEASE / 2, true),
        (LEASE * 2, true),
    ] {
        if answer_under_way {
            // Its beat is at the server, the answer is on its way.
            three.network.freeze_answers();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        signal(third, Signal::STOP)?;
        let thaw = Instant::now() + pause;
        three.network.mend();
        while Instant::now() < thaw {
            three.guard.each(two).await?;
        }
        let fenced = two[0].server.admin.metric::<u64>(FENCED).await?
            + two[1].server.admin.metric::<u64>(FENCED).await?;
        silent += u64::from(pause > LEASE);
        ensure!(fenced == silent, "{fenced} rows deleted of {silent}");
        signal(third, Signal::CONT)?;
        // At once, before its next beat.
        let dead = three
            .guard
            .dead
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for dead in dead.iter().rev().take(20) {
            three.guard.must_refuse(&three.all[2], dead).await;
        }
        three.guard.recovered(&three.all).await?;
    }
    three.guard.end(three.patrols).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_is_cut_off_accepts_for_its_lease_and_comes_back() -> Result<()> {
    let three = Three::start().await?;
    let (two, third) = (&three.all[..2], &three.all[2]);
    let alive = Persona::register(&three.all[0].server.http, &unique()).await?;
    for frozen in [false, true] {
        if frozen {
            three.network.freeze();
        } else {
            three.network.cut();
        }
        let since = Instant::now();
        let end = eventually_within(LEASE * 2, "the end of the lease", async || {
            let reply = third.validate(&alive.access).await?;
            ensure!(reply.status != StatusCode::UNAUTHORIZED, "{reply:?}");
            Ok(reply.status == StatusCode::SERVICE_UNAVAILABLE)
        });
        let end = async { end.await.map(|()| since.elapsed()) };
        let (lasted, _) = tokio::try_join!(end, three.guard.each(two))?;
        // The beat that was answered last was sent a while before the cut.
        ensure!(lasted > LEASE / 4 && lasted < BOUND, "{lasted:?}");
        three.guard.each(two).await?;
        three.network.mend();
        eventually_within(PATIENCE, "validation", async || {
            Ok(third.validate(&alive.access).await?.status == StatusCode::OK)
        })
        .await?;
        three.guard.recovered(&three.all).await?;
    }
    three.guard.end(three.patrols).await
}

/// Whoever logs out again is told the truth, not that there was nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_that_is_repeated_is_answered_no_sooner_than_the_first() -> Result<()> {
    let three = Three::start().await?;
    let alice = Persona::register(&three.all[0].server.http, &unique()).await?;
    ensure!(three.all[2].validate(&alice.access).await?.status == StatusCode::OK);
    // The third keeps its row and its lease, and is told nothing.
    three.network.freeze();
    let since = Instant::now();
    let mut pending = 0;
    while since.elapsed() < LEASE / 2 {
        for at in &three.all[..2] {
            let again = alice
                .at(&at.server.http)
                .logout(&alice.access, false)
                .await?;
            ensure!(again.status == StatusCode::OK, "{again:?}");
            let third = three.all[2].validate(&alice.access).await?;
            if third.status == StatusCode::OK {
                let late = since.elapsed();
                ensure!(!is_everywhere(&again), "after {late:?}: {again:?}");
                pending += 1;
            }
        }
    }
    ensure!(pending > 1, "the third never accepted");
    eventually_within(PATIENCE, "the truth", async || {
        let again = alice.logout(&alice.access, false).await?;
        Ok(is_everywhere(&again))
    })
    .await?;
    for at in &three.all {
        let reply = at.validate(&alice.access).await?;
        ensure!(reply.status != StatusCode::OK, "{reply:?}");
    }
    three.network.mend();
    three.guard.recovered(&three.all).await?;
    three.guard.end(three.patrols).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_dies_or_starts_meanwhile_accepts_nothing_that_is_over() -> Result<()> {
    let mut three = Three::start().await?;
    let url = three.pair.primary.url("postgres");
    for _ in 0..if full_size() { 20 } else { 3 } {
        let start = Instance::start(instance(&url, &three.urls)?);
        tokio::pin!(start);
        // Revocations commit before, while and after it registers.
        let started = loop {
            let each = three.guard.each(&three.all);
            tokio::pin!(each);
            tokio::select! {
                started = &mut start => {
                    let started = Arc::new(started?);
                    let dead = three.guard.dead.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    for dead in dead.iter().rev().take(40) {
                        three.guard.must_refuse(&started, dead).await;
                    }
                    each.await?;
                    break started;
                }
                done = &mut each => { done?; }
            }
        };
        three
            .guard
            .instances
            .lock()
            .unwrap()
            .push(Arc::clone(&started));
        three.guard.each(&three.all).await?;
        // It is in nobody's list any more but the database's.
        signal(&started.server, Signal::KILL)?;
        three
            .guard
            .instances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        three.guard.each(&three.all).await?;
    }
    three.guard.recovered(&three.all).await?;
    three.guard.end(std::mem::take(&mut three.patrols)).await
}
