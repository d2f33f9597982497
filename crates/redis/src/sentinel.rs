//! Who is the master: what the sentinels say.
//!
//! A failover that a majority has allowed has a number, the configuration epoch, and a sentinel
//! that has heard of it says so: of the sentinels that answer, the one with the highest number has
//! the newest word of the quorum.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use redis::aio::MultiplexedConnection;
use tokio::{
    sync::{Mutex, Notify},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    connector::Connector,
    sentence::{Problem, Whose},
    settings::Address,
};

/// A subscription is made anew so often: one whose other side is gone hears nothing.
const RESUBSCRIBE: Duration = Duration::from_mins(1);
/// Between two attempts to subscribe.
const PAUSE: Duration = Duration::from_secs(1);
/// How long others are waited for when most have answered: one of them may know more.
const STRAGGLERS: Duration = Duration::from_millis(50);
/// Told to us by a sentinel that has a new master.
const SWITCHED: &str = "+switch-master";

/// A master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Master {
    pub(crate) address: Address,
    /// The configuration epoch; 0 where there are no sentinels.
    pub(crate) epoch: u64,
    /// Whether most of the sentinels answered.
    pub(crate) by_most: bool,
}

/// The sentinels of one master.
pub(crate) struct Sentinels {
    connector: Arc<Connector>,
    name: String,
    all: Vec<Sentinel>,
}

struct Sentinel {
    address: Address,
    connection: Arc<Mutex<Option<MultiplexedConnection>>>,
}

impl Sentinels {
    pub(crate) fn new(connector: Arc<Connector>, addresses: &[Address], name: &str) -> Self {
        let sentinel = |address: &Address| Sentinel {
            address: address.clone(),
            connection: Arc::default(),
        };
        Self {
            connector,
            name: name.to_owned(),
            all: addresses.iter().map(sentinel).collect(),
        }
    }

    /// Asks all at once, and takes the newest word when most have answered, or nobody else does.
    pub(crate) async fn master(&self) -> Result<Master, Problem> {
        let mut asked = JoinSet::new();
        for sentinel in &self.all {
            let ask = ask(
                Arc::clone(&self.connector),
                sentinel.address.clone(),
                Arc::clone(&sentinel.connection),
                self.name.clone(),
            );
            asked.spawn(ask);
        }
        let most = self.all.len() / 2 + 1;
        let (mut said, mut problem) = (Vec::new(), None);
        while let Some(answer) = next(&mut asked, said.len() >= most).await {
            match answer {
                Ok(Ok(master)) => said.push(master),
                Ok(Err(why)) => problem = Some(why),
                Err(error) => problem = Some(Problem::new(error.to_string())),
            }
        }
        let by_most = said.len() >= most;
        let newest = said.into_iter().max_by_key(|(_, epoch)| *epoch);
        match (newest, problem) {
            (Some((address, epoch)), _) => Ok(Master {
                address,
                epoch,
                by_most,
            }),
            (None, Some(problem)) => Err(problem),
            (None, None) => Err(Problem::new("there is no sentinel")),
        }
    }

    /// Listens to each sentinel, and wakes whoever follows when one has a new master.
    pub(crate) fn listen(&self, wake: &Arc<Notify>, stop: &CancellationToken) -> JoinSet<()> {
        let mut listening = JoinSet::new();
        for sentinel in &self.all {
            let (connector, wake) = (Arc::clone(&self.connector), Arc::clone(wake));
            let (address, stop) = (sentinel.address.clone(), stop.clone());
            listening.spawn(async move {
                while !stop.is_cancelled() {
                    let hear = hear(&connector, &address, &wake);
                    let _ = stop.run_until_cancelled(hear).await;
                    let _ = stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
                }
            });
        }
        listening
    }
}

/// Those that are late are not waited for when most have answered.
async fn next<T: 'static>(
    asked: &mut JoinSet<T>,
    enough: bool,
) -> Option<Result<T, tokio::task::JoinError>> {
    if !enough {
        return asked.join_next().await;
    }
    timeout(STRAGGLERS, asked.join_next()).await.ok().flatten()
}

/// Until the subscription ends, or is old.
async fn hear(connector: &Connector, address: &Address, wake: &Notify) {
    let Ok(client) = connector.client(address, Whose::Sentinel) else {
        return;
    };
    let subscribe = async {
        let mut subscription = client.get_async_pubsub().await?;
        subscription.subscribe(SWITCHED).await?;
        Ok::<_, redis::RedisError>(subscription)
    };
    let Ok(Ok(subscription)) = timeout(connector.connect_timeout(), subscribe).await else {
        return;
    };
    let mut heard = subscription.into_on_message();
    while let Ok(Some(_)) = timeout(RESUBSCRIBE, heard.next()).await {
        wake.notify_one();
    }
}

/// The address that this sentinel names, and the epoch of that.
async fn ask(
    connector: Arc<Connector>,
    address: Address,
    kept: Arc<Mutex<Option<MultiplexedConnection>>>,
    name: String,
) -> Result<(Address, u64), Problem> {
    let mut kept = kept.lock().await;
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => {
            let patience = connector.command_timeout();
            connector
                .connect(&address, Whose::Sentinel, patience)
                .await?
        }
    };
    let failed = |error| connector.problem(&address, Whose::Sentinel, &error);
    let mut question = redis::cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(&name);
    let named: Option<(String, u16)> = question
        .query_async(&mut connection)
        .await
        .map_err(failed)?;
    let Some((host, port)) = named else {
        return Err(Problem::new(format!(
            "the sentinel {address} knows no master of this name: correct redis.master_name"
        )));
    };
    let epoch = epoch(&mut connection, &name).await.map_err(failed)?;
    *kept = Some(connection);
    Ok((Address { host, port }, epoch))
}

async fn epoch(connection: &mut MultiplexedConnection, name: &str) -> redis::RedisResult<u64> {
    let mut question = redis::cmd("SENTINEL");
    question.arg("MASTER").arg(name);
    let fields: Vec<String> = question.query_async(connection).await?;
    let mut pairs = fields.chunks_exact(2);
    let found = pairs.find_map(|pair| (pair[0] == "config-epoch").then(|| pair[1].parse().ok()));
    Ok(found.flatten().unwrap_or(0))
}
