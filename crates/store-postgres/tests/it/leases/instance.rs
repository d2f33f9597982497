//! Instances in this process.

use std::{
    future::{Future as _, poll_fn},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use anyhow::{Result, anyhow};
use async_trait::async_trait;
use sso_core::{
    ports::{
        AccessClaims, AccessKind, Clock, Random, StoreError, TokenRefused,
        store::{Effect, Reach, Revocation, Revoked, Stamp},
    },
    revocation::{LeaseTerms, Revocations},
    values::{SessionId, UserId, Version},
};
use sso_store_postgres::{
    leases::{Leases, Terms},
    servers::{Servers, Settings},
};
use time::OffsetDateTime;
use tokio::{sync::watch, task::JoinHandle, time::Instant};
use uuid::Uuid;

use super::{FENCE, LEASE};

/// Runs with the real time, and jumps when it is told to.
pub(crate) struct JumpingClock {
    start: Instant,
    jumped: watch::Sender<Duration>,
}

impl JumpingClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            // 0 is never.
            start: Instant::now() - Duration::from_secs(1),
            jumped: watch::Sender::new(Duration::ZERO),
        })
    }

    pub(crate) fn jump(&self, by: Duration) {
        self.jumped.send_modify(|jumped| *jumped += by);
    }
}

#[async_trait]
impl Clock for JumpingClock {
    /// The wall clock is nobody's business here.
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed() + *self.jumped.borrow()
    }

    async fn sleep_until(&self, until: Duration) {
        let mut jumps = self.jumped.subscribe();
        loop {
            let left = until.saturating_sub(self.monotonic());
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                _ = jumps.changed() => {}
            }
        }
    }
}

/// One process of the service, as far as leases go.
pub(super) struct Instance {
    pub(super) revocations: Arc<Revocations>,
    pub(super) leases: Leases,
    pub(super) servers: Servers,
    pub(super) clock: Arc<JumpingClock>,
    pub(super) early: Arc<AtomicU64>,
    beating: Option<JoinHandle<()>>,
}

static NEXT: AtomicU64 = AtomicU64::new(1);

/// What nobody else is.
pub(crate) fn fresh_uuid() -> Uuid {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let process = u128::from(std::process::id());
    Uuid::from_u128((process << 64) | u128::from(number))
}

/// Bytes that nobody else gets.
pub(crate) struct FreshIds;

impl Random for FreshIds {
    fn fill(&self, bytes: &mut [u8]) {
        let fresh = fresh_uuid();
        for (byte, fresh) in bytes.iter_mut().zip(fresh.as_bytes()) {
            *byte = *fresh;
        }
    }
}

impl Instance {
    /// It knows nothing and has sent nothing yet. It is past the time in which it answers nothing
    /// early, unless the test wants to see that.
    pub(super) async fn new(url: &str) -> Result<Self> {
        Self::with(&Settings::new(url.parse()?), LEASE).await
    }

    /// With a lease of its own.
    pub(super) async fn with(settings: &Settings, lease: Duration) -> Result<Self> {
        Self::named("test", settings, lease).await
    }

    /// With a name of its own.
    pub(super) async fn named(name: &str, settings: &Settings, lease: Duration) -> Result<Self> {
        let mut settings = settings.clone();
        settings.probe_interval = Duration::from_millis(50);
        settings.max_connections = 4;
        let servers = Servers::open(&settings).await?;
        let clock = JumpingClock::new();
        let terms = Terms {
            lease,
            fence: FENCE,
            standbys: None,
            name: name.to_owned(),
        };
        let leases = Leases::new(
            servers.clone(),
            Arc::<JumpingClock>::clone(&clock),
            terms,
            Arc::new(FreshIds),
        );
        let terms = LeaseTerms {
            lease,
            ack_wait: Duration::from_millis(400),
        };
        let early = Arc::new(AtomicU64::new(0));
        let asked = Arc::clone(&early);
        let feed = Arc::new(leases.clone());
        let revocations = Revocations::new(feed, Arc::<JumpingClock>::clone(&clock), terms)
            .hastening(Arc::new(move || {
                asked.fetch_add(1, Ordering::Relaxed);
            }));
        Ok(Self {
            revocations: Arc::new(revocations),
            leases,
            servers,
            clock,
            early,
            beating: None,
        })
    }

    /// Registered, loaded, and past the time in which it answers nothing early.
    pub(super) async fn running(url: &str) -> Result<Self> {
        let [this] = Self::all([url]).await?;
        Ok(this)
    }

    /// So many of them, each by a way of its own.
    pub(super) async fn all<const N: usize>(urls: [&str; N]) -> Result<[Self; N]> {
        let mut all = Vec::new();
        for url in urls {
            let this = Self::new(url).await?;
            this.beat().await?;
            all.push(this);
        }
        let all: [Self; N] = all.try_into().map_err(|_| anyhow!("not all"))?;
        Self::settle(&all.each_ref()).await?;
        Ok(all)
    }

    /// Lets the time pass in which nothing is answered early; all of them send beats meanwhile, so
    /// that none is silent for the others.
    pub(super) async fn settle(all: &[&Self]) -> Result<()> {
        for _ in 0..3 {
            for this in all {
                this.clock.jump(super::QUIET / 3);
            }
            for this in all {
                this.beat().await?;
            }
        }
        Ok(())
    }

    /// One beat.
    pub(super) async fn beat(&self) -> Result<(), anyhow::Error> {
        Ok(self.revocations.beat().await?)
    }

    /// A beat that goes on by itself.
    pub(super) fn start_beat(&self) -> JoinHandle<Result<(), StoreError>> {
        let revocations = Arc::clone(&self.revocations);
        tokio::spawn(async move { revocations.beat().await })
    }

    /// Beats from now on as the service does, early ones included.
    pub(super) fn keep_beating(&mut self) {
        let (revocations, early) = (Arc::clone(&self.revocations), Arc::clone(&self.early));
        self.beating = Some(tokio::spawn(async move {
            loop {
                let before = early.load(Ordering::Relaxed);
                let _ = revocations.beat().await;
                let due = Instant::now() + Duration::from_millis(200);
                while Instant::now() < due && early.load(Ordering::Relaxed) == before {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }));
    }

    /// SIGSTOP, as far as its beats go.
    pub(super) fn freeze(&mut self) {
        if let Some(beating) = self.beating.take() {
            beating.abort();
        }
    }

    /// Commits the end of a session as a use case does: obeyed here, announced to nobody yet.
    pub(super) async fn revoke(&self, session: SessionId) -> Result<Revocation> {
        self.store(Revoked::Session(session), None).await
    }

    /// Commits any entry.
    pub(super) async fn store(
        &self,
        revoked: Revoked,
        effect: Option<Effect>,
    ) -> Result<Revocation> {
        let (kind, subject, version) = match revoked {
            Revoked::Session(session) => ("session", session.as_uuid(), None),
            Revoked::TokensBelow(user, below) => {
                ("user", user.as_uuid(), Some(i64::try_from(below.get())?))
            }
            Revoked::Key(key) => ("key", key.as_uuid(), None),
        };
        let until = self.clock.now() + Duration::from_hours(1);
        let primary = self.servers.primary().await?;
        let row = primary
            .query_one(
                "insert into revocations (kind, subject, version, effect, until)
                 values ($1, $2, $3, $4, $5) returning id, xid::text, timeline",
                &[
                    &kind,
                    &subject,
                    &version,
                    &effect.map(Effect::as_str),
                    &until,
                ],
            )
            .await?;
        Ok(Revocation {
            id: row.get(0),
            revoked,
            effect,
            until,
            stamp: Stamp {
                xid: row.get::<_, &str>(1).parse()?,
                timeline: u32::try_from(row.get::<_, i64>(2))?,
            },
        })
    }

    /// Obeys it here and waits for the others, for [`LeaseTerms::ack_wait`].
    pub(super) async fn announce(&self, entry: Revocation) -> Reach {
        self.revocations.announce(&[entry]).await
    }

    /// Waits for the others in the background, for this long by its own clock; from now on.
    pub(super) async fn start_waiting(
        &self,
        entry: Revocation,
        wait: Duration,
    ) -> JoinHandle<Reach> {
        use sso_core::ports::store::RevocationFeed as _;
        let leases = self.leases.clone();
        let mut waiting = Box::pin(async move {
            let reach = leases.acknowledged(&entry, wait).await;
            reach.unwrap_or(Reach::Pending)
        });
        // Its time runs before the test goes on.
        let begun = poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context))).await;
        assert!(begun.is_pending(), "nobody is waited for");
        tokio::spawn(waiting)
    }

    /// Whether a token of this session passes.
    pub(super) fn check(&self, session: SessionId) -> Result<(), TokenRefused> {
        self.revocations.check(&claims(session))
    }

    /// Whether it accepts a token of this session.
    pub(super) fn accepts(&self, session: SessionId) -> bool {
        self.check(session).is_ok()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.freeze();
    }
}

/// One that nobody has ended.
pub(super) fn a_session() -> SessionId {
    SessionId::from_uuid(fresh_uuid())
}

fn claims(session: SessionId) -> AccessClaims {
    AccessClaims {
        user: UserId::from_uuid(Uuid::from_u128(1)),
        session,
        version: Version::new(1),
        kind: AccessKind::Ring,
        email: String::new(),
        email_verified: false,
        is_admin: false,
        id: Uuid::nil(),
        issued_at: OffsetDateTime::UNIX_EPOCH,
        expires_at: OffsetDateTime::UNIX_EPOCH,
    }
}
