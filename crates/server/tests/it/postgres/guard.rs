//! Whoever looks after what is over: every kind of end, and nobody who accepts it any more.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::ensure;
use http::{Method, StatusCode};
use serde_json::json;
use sso_testkit::{http::Reply, persona::Persona, process::Site};
use tokio::{task::JoinSet, time::timeout};

use super::{
    cluster::{BOUND, Instance, Ledger, instance, is_everywhere},
    *,
};
use crate::support::{eventually_within, unique};

/// Who is frozen or cut off answers nobody.
const SHORT: Duration = Duration::from_secs(1);
/// Longer than anybody is frozen.
const LONG: Duration = Duration::from_secs(20);
/// What comes back may take long on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);
/// Most sessions of a user.
const SESSIONS: usize = 3;

/// An instance at which every kind of end can be brought about.
pub(super) fn site(url: &str, replicas: &[String]) -> Result<Site> {
    let mut site = instance(url, replicas)?;
    site.set("SSO__SESSIONS__MAX_PER_USER", SESSIONS)
        // A refresh token that is used twice is theft at once.
        .set("SSO__SESSIONS__REFRESH_GRACE", "0s");
    Ok(site)
}

/// Every way in which access ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Logout,
    LogoutEverywhere,
    Session,
    Password,
    Disable,
    Admin,
    SetPassword,
    EndSessions,
    Delete,
    /// A refresh token is used once more than it may be.
    Reuse,
    /// One more session than a user may have.
    Surplus,
}

impl Kind {
    pub(super) const ALL: [Self; 11] = [
        Self::Logout,
        Self::LogoutEverywhere,
        Self::Session,
        Self::Password,
        Self::Disable,
        Self::Admin,
        Self::SetPassword,
        Self::EndSessions,
        Self::Delete,
        Self::Reuse,
        Self::Surplus,
    ];

    /// Whether the answer says how far it reaches. Who uses a token twice and who logs in did not ask for
    /// an end: it reaches everybody within the bound.
    pub(super) const fn is_told(self) -> bool {
        !matches!(self, Self::Reuse | Self::Surplus)
    }

    const fn answer(self) -> StatusCode {
        match self {
            Self::Reuse => StatusCode::UNAUTHORIZED,
            _ => StatusCode::OK,
        }
    }

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
            Self::Reuse => {
                let first = alice.refresh.clone();
                let reply = alice.refresh().await?;
                ensure!(reply.status == StatusCode::OK, "{reply:?}");
                alice.use_refresh_token(&first).await
            }
            Self::Surplus => {
                for _ in 1..SESSIONS {
                    let reply = alice.login().await?;
                    ensure!(reply.status == StatusCode::OK, "{reply:?}");
                }
                alice.login().await
            }
        }
    }
}

/// A token that nobody may accept any more when asked after `since`.
#[derive(Clone)]
pub(super) struct Dead {
    token: String,
    since: Instant,
    how: String,
}

/// All that is over, and who looks after it.
pub(super) struct Guard {
    pub(super) instances: Mutex<Vec<Arc<Instance>>>,
    pub(super) dead: Mutex<Vec<Dead>>,
    pub(super) alive: Mutex<Vec<String>>,
    ledger: Ledger,
    asked: AtomicUsize,
    over: AtomicBool,
}

impl Guard {
    pub(super) fn new(instances: &[Arc<Instance>]) -> Arc<Self> {
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
    pub(super) fn patrol(self: &Arc<Self>) -> JoinSet<Result<()>> {
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
    pub(super) async fn must_refuse(&self, at: &Instance, dead: &Dead) {
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
        ensure!(reply.status == kind.answer(), "{kind:?}: {reply:?}");
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
    pub(super) async fn revoke(
        &self,
        kind: Kind,
        at: &Instance,
        asked: &[Arc<Instance>],
    ) -> Result<(Duration, bool)> {
        let done = self.try_revoke(kind, at, asked).await?;
        done.with_context(|| format!("{kind:?}: 503"))
    }

    /// One of each kind, at one instance after the other.
    pub(super) async fn each(&self, at: &[Arc<Instance>]) -> Result<()> {
        let each = Kind::ALL.iter().enumerate();
        let each = each.map(|(number, kind)| self.revoke(*kind, &at[number % at.len()], at));
        futures_util::future::try_join_all(each).await?;
        Ok(())
    }

    /// Waits until all is as it was, then until what was answered `pending` is over too. Who has
    /// just come back finds his connections broken and his lease over: he may be unavailable.
    pub(super) async fn recovered(&self, at: &[Arc<Instance>]) -> Result<()> {
        eventually_within(PATIENCE, "answers `everywhere`", async || {
            let each = Kind::ALL.iter().enumerate();
            let each =
                each.map(|(number, kind)| self.try_revoke(*kind, &at[number % at.len()], at));
            let done = futures_util::future::try_join_all(each).await?;
            let mut done = done.iter().zip(Kind::ALL);
            Ok(done.all(|(done, kind)| {
                done.is_some_and(|(_, everywhere)| everywhere || !kind.is_told())
            }))
        })
        .await?;
        self.all_over(at).await
    }

    /// Waits for the bound, and asks everybody for everything that is over.
    pub(super) async fn all_over(&self, at: &[Arc<Instance>]) -> Result<()> {
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

    pub(super) async fn end(&self, mut patrols: JoinSet<Result<()>>) -> Result<()> {
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

/// `None`: somebody was unavailable, and said so.
fn unless_unavailable<T>(done: Result<T>) -> Result<Option<T>> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.to_string().contains("status: 503") => Ok(None),
        Err(error) => Err(error),
    }
}
