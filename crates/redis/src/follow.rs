//! A connection to whoever is the master, and to nobody else.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::aio::MultiplexedConnection;
use tokio::{
    sync::{Notify, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    connector::Connector,
    metrics,
    sentence::{Problem, Whose, is_lost},
    sentinel::{Master, Sentinels},
    settings::{Address, Settings, SettingsError, Target},
};

/// While connected: how often the sentinels are asked who is the master, and he for his role.
const LOOK: Duration = Duration::from_secs(1);
/// While not: first and longest pause between two attempts.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// Least pause between two looks, however often somebody asks for one.
const BREATH: Duration = Duration::from_millis(50);

/// Redis as this process sees it. Cheap to clone. It is connected only while
/// [`follow`](Self::follow) runs, and no call of it waits for that.
#[derive(Clone)]
pub struct Redis {
    inner: Arc<Inner>,
}

struct Inner {
    connector: Arc<Connector>,
    sentinels: Option<Sentinels>,
    link: watch::Sender<Option<Link>>,
    wake: Arc<Notify>,
    /// Numbers links.
    links: AtomicU64,
    /// The last one.
    last: Mutex<Option<Address>>,
    /// Why there is no link.
    problem: Mutex<Option<Problem>>,
    /// Why the stream does not go although there is one.
    stream_problem: Mutex<Option<Problem>>,
    looked: AtomicBool,
}

/// A connection to a master.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) master: Master,
    pub(crate) number: u64,
}

/// How it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Nobody has looked yet.
    Unknown,
    /// Connected to this master.
    Up(Address),
    /// Not, or not for everything: why, in a sentence.
    Down(String),
}

impl Redis {
    /// By these settings. Connects to nothing.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        let connector = Arc::new(Connector::new(settings)?);
        let sentinels = match connector.target() {
            Target::One(_) => None,
            Target::Sentinels {
                addresses,
                master_name,
            } => Some(Sentinels::new(connector.clone(), addresses, master_name)),
        };
        Ok(Self {
            inner: Arc::new(Inner {
                connector,
                sentinels,
                link: watch::Sender::new(None),
                wake: Arc::default(),
                links: AtomicU64::new(0),
                last: Mutex::default(),
                problem: Mutex::default(),
                stream_problem: Mutex::default(),
                looked: AtomicBool::new(false),
            }),
        })
    }

    /// Looks for the master and stays with him as long as he is the master, until `stop`.
    pub async fn follow(&self, stop: CancellationToken) {
        let inner = &*self.inner;
        let _listening = inner
            .sentinels
            .as_ref()
            .map(|sentinels| sentinels.listen(&inner.wake, &stop));
        metrics::connected(false);
        let mut pause = RETRY.0;
        let turns = async {
            loop {
                let wait = match inner.look().await {
                    Ok(()) => {
                        pause = RETRY.0;
                        inner.note(None);
                        LOOK
                    }
                    Err(problem) => {
                        inner.note(Some(problem));
                        let wait = pause;
                        pause = (pause * 2).min(RETRY.1);
                        wait
                    }
                };
                sleep(BREATH).await;
                tokio::select! {
                    () = inner.wake.notified() => {}
                    () = sleep(wait) => {}
                }
            }
        };
        let _: Option<std::convert::Infallible> = stop.run_until_cancelled(turns).await;
        inner.drop_link();
    }

    /// One look, for who wants to know whether it could work.
    pub async fn examine(&self) -> Status {
        let looked = self.inner.look().await;
        self.inner.note(looked.err());
        self.status()
    }

    /// How it is.
    pub fn status(&self) -> Status {
        if !self.inner.looked.load(Ordering::Acquire) {
            return Status::Unknown;
        }
        let problem = |of: &Mutex<Option<Problem>>| {
            let of = of.lock().unwrap_or_else(PoisonError::into_inner);
            of.as_ref().map(ToString::to_string)
        };
        match (self.link(), problem(&self.inner.problem)) {
            (Some(link), _) => match problem(&self.inner.stream_problem) {
                None => Status::Up(link.master.address),
                Some(why) => Status::Down(why),
            },
            (None, Some(why)) => Status::Down(why),
            (None, None) => Status::Down("the connection was lost".to_owned()),
        }
    }

    /// The connection, if there is one.
    pub(crate) fn link(&self) -> Option<Link> {
        self.inner.link.borrow().clone()
    }

    /// The connection as it comes and goes.
    pub(crate) fn links(&self) -> watch::Receiver<Option<Link>> {
        self.inner.link.subscribe()
    }

    pub(crate) fn connector(&self) -> &Connector {
        &self.inner.connector
    }

    /// A command failed. If it is the connection's fault, or the server is no master any more, the
    /// connection is not used again.
    pub(crate) fn failed(&self, link: &Link, error: &redis::RedisError) {
        if is_lost(error) {
            let problem = self
                .connector()
                .problem(&link.master.address, Whose::Server, error);
            self.inner.lose(link.number, problem);
        }
    }

    pub(crate) fn note_stream(&self, problem: Option<Problem>) {
        let noted = &self.inner.stream_problem;
        *noted.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }
}

impl Inner {
    fn note(&self, problem: Option<Problem>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
        self.looked.store(true, Ordering::Release);
    }

    fn lose(&self, number: u64, problem: Problem) {
        let lost = self.link.send_if_modified(|link| {
            let is_it = link.as_ref().is_some_and(|link| link.number == number);
            if is_it {
                *link = None;
            }
            is_it
        });
        if lost {
            metrics::connected(false);
            self.note(Some(problem));
            self.wake.notify_one();
        }
    }

    fn drop_link(&self) {
        self.link.send_replace(None);
        metrics::connected(false);
    }

    /// Whether the link leads to the master; if not, makes one that does.
    async fn look(&self) -> Result<(), Problem> {
        let current = self.link.borrow().clone();
        let master = match self.master().await {
            Ok(master) => master,
            // Nobody knows better than he does himself.
            Err(problem) => match &current {
                Some(link) => return self.check(link).await,
                None => return Err(problem),
            },
        };
        if let Some(link) = &current {
            let older = master.epoch < link.master.epoch && !master.by_most;
            if older || master.address == link.master.address {
                return self.check(link).await;
            }
            // Deposed, whatever he says of himself.
            let successor = format!("the master is {} now", master.address);
            self.lose(link.number, Problem::new(successor));
        }
        self.connect(master).await
    }

    async fn master(&self) -> Result<Master, Problem> {
        match (&self.sentinels, self.connector.target()) {
            (Some(sentinels), _) => sentinels.master().await,
            (None, Target::One(address)) => Ok(Master {
                address: address.clone(),
                epoch: 0,
                by_most: true,
            }),
            (None, Target::Sentinels { .. }) => Err(Problem::new("there is no sentinel")),
        }
    }

    async fn check(&self, link: &Link) -> Result<(), Problem> {
        let mut connection = link.connection.clone();
        let role = self.role(&mut connection, &link.master.address).await;
        role.inspect_err(|problem| self.lose(link.number, problem.clone()))
    }

    async fn connect(&self, master: Master) -> Result<(), Problem> {
        let patience = self.connector.command_timeout();
        let mut connection = self
            .connector
            .connect(&master.address, Whose::Server, patience)
            .await?;
        self.role(&mut connection, &master.address).await?;
        metrics::count_connection();
        metrics::connected(true);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.replace(master.address.clone());
        if before.is_some_and(|before| before != master.address) {
            metrics::count_master_change();
        }
        drop(last);
        tracing::info!(master = %master.address, "Redis is connected");
        let number = self.links.fetch_add(1, Ordering::Relaxed);
        self.link.send_replace(Some(Link {
            connection,
            master,
            number,
        }));
        Ok(())
    }

    /// Asks the server whether it is a master.
    async fn role(
        &self,
        connection: &mut MultiplexedConnection,
        address: &Address,
    ) -> Result<(), Problem> {
        let answer: redis::RedisResult<Vec<redis::Value>> =
            redis::cmd("ROLE").query_async(connection).await;
        let answer =
            answer.map_err(|error| self.connector.problem(address, Whose::Server, &error))?;
        let role = answer
            .into_iter()
            .next()
            .and_then(|role| redis::from_redis_value::<String>(role).ok());
        match role.as_deref() {
            Some("master") => Ok(()),
            Some("sentinel") => Err(Problem::new(format!(
                "{address} is a sentinel, not a Redis: name it in redis.sentinels"
            ))),
            _ => Err(Problem::new(format!("Redis {address} is not a master"))),
        }
    }
}
