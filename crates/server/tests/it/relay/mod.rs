//! The relay on PostgreSQL and real brokers: whatever dies or hangs, each acknowledged registration
//! has its event in the topic, in order, under one id, and its status says so.

mod brokers;
mod calm;
// A release build has no failpoints.
#[cfg(debug_assertions)]
mod kills;
mod shards;

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use sso_testkit::{
    http::Http,
    persona::Persona,
    process::{Server, Site},
    servers::{
        Postgres,
        kafka::{Kafka, Record},
        registry::Registry,
    },
};
use tokio::task::JoinSet;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::{kafka::TOPIC, postgres, support::eventually_within};

/// For what must come, however busy the machine is.
const LONG: Duration = Duration::from_mins(2);
/// Partitions of the topic.
const PARTITIONS: i32 = 3;

/// Brokers, a registry, and a database.
struct World {
    kafka: Kafka,
    registry: Registry,
    url: String,
    sql: Client,
}

/// An event as the database has it.
struct Row {
    id: Uuid,
    user: Uuid,
    status: String,
}

impl World {
    async fn start(name: &str) -> Result<Self> {
        Self::on(Kafka::start().await?, name).await
    }

    async fn on(kafka: Kafka, name: &str) -> Result<Self> {
        kafka.create_topic(TOPIC, PARTITIONS).await?;
        let registry = Registry::in_memory()?;
        let url = Postgres::shared().await?.database(name).await?;
        let (sql, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        let world = Self {
            kafka,
            registry,
            url,
            sql,
        };
        world.site()?.run_ok(&["migrate", "up"])?;
        Ok(world)
    }

    /// A site of one more instance.
    fn site(&self) -> Result<Site> {
        let mut site = postgres::unmigrated(&self.url)?;
        site.set("SSO__EVENTS__SINK", "kafka")
            .set("SSO__KAFKA__BROKERS", self.kafka.brokers())
            .set("SSO__KAFKA__REGISTRY_URL", self.registry.url())
            .set("SSO__KAFKA__DELIVERY_TIMEOUT", "2s")
            .set("SSO__DATABASE__MAX_CONNECTIONS", 4)
            .set("SSO__THROTTLE__ENABLED", false);
        Ok(site)
    }

    /// All events in the order of their sequence.
    async fn rows(&self) -> Result<Vec<Row>> {
        let sql = "select id, user_id, status from outbox order by sequence";
        let rows = self.sql.query(sql, &[]).await?;
        let row = |row: &tokio_postgres::Row| Row {
            id: row.get(0),
            user: row.get(1),
            status: row.get(2),
        };
        Ok(rows.iter().map(row).collect())
    }

    /// Two more events of a user, as if more had happened to him.
    async fn more_of(&self, user: Uuid) -> Result<()> {
        let sql =
            "insert into outbox (id, user_id, shard, kind, payload, status, attempts, created_at)
                   select gen_random_uuid(), user_id, shard, kind, payload, 'inProgress', 0, now()
                   from outbox where user_id = $1 order by sequence limit 1";
        for _ in 0..2 {
            self.sql.execute(sql, &[&user]).await?;
        }
        Ok(())
    }

    /// As many events as are not delivered.
    async fn waiting(&self) -> Result<i64> {
        let sql = "select count(*) from outbox where status <> 'Success'";
        Ok(self.sql.query_one(sql, &[]).await?.get(0))
    }

    async fn drained(&self) -> Result<()> {
        eventually_within(LONG, "every event stands as Success", async || {
            Ok(self.waiting().await? == 0)
        })
        .await
    }

    /// What stands as `Success` is in the topic: asked in this order, at any time.
    async fn no_status_lies(&self) -> Result<()> {
        let rows = self.rows().await?;
        let topic = self.kafka.consume_all(TOPIC).await?;
        let there: HashSet<_> = topic.iter().map(id_of).collect::<Result<_>>()?;
        let lie = rows
            .iter()
            .find(|row| row.status == "Success" && !there.contains(&row.id));
        match lie {
            Some(lie) => bail!("{} stands as Success and is not in the topic", lie.id),
            None => Ok(()),
        }
    }

    /// All is delivered, nothing is lost, nothing is there that never was, first deliveries are in
    /// order, duplicates are the same. How many duplicates there are.
    async fn check(&self, acknowledged: &[Uuid]) -> Result<usize> {
        self.drained().await?;
        let rows = self.rows().await?;
        let topic = self.kafka.consume_all(TOPIC).await?;
        let (mut seen, mut order) = (HashMap::new(), HashMap::<Uuid, Vec<Uuid>>::new());
        for record in &topic {
            let id = id_of(record)?;
            match seen.entry(id) {
                Entry::Vacant(new) => {
                    new.insert(record);
                    order.entry(user_of(record)?).or_default().push(id);
                }
                Entry::Occupied(first) => {
                    let first: &Record = first.get();
                    let same = first.value == record.value && first.headers == record.headers;
                    ensure!(same && first.key == record.key, "{id} came as two");
                }
            }
        }
        ensure!(seen.len() == rows.len(), "{} of {}", seen.len(), rows.len());
        let mut expected = HashMap::<Uuid, Vec<Uuid>>::new();
        for row in &rows {
            expected.entry(row.user).or_default().push(row.id);
        }
        for (user, expected) in &expected {
            let came = order.get(user);
            ensure!(came == Some(expected), "{user}: {came:?} for {expected:?}");
        }
        let lost = acknowledged.iter().find(|user| !order.contains_key(user));
        ensure!(lost.is_none(), "the event of {lost:?} is lost");
        Ok(topic.len() - seen.len())
    }
}

fn id_of(record: &Record) -> Result<Uuid> {
    let id = record.header("event-id").context("no event-id")?;
    Ok(id.parse()?)
}

fn user_of(record: &Record) -> Result<Uuid> {
    let key = record.key.as_deref().context("no key")?;
    Ok(std::str::from_utf8(key)?.parse()?)
}

/// Clients that register until they are told to stop, whatever they are answered.
struct Load {
    told: Arc<Mutex<Vec<Uuid>>>,
    stop: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

impl Load {
    /// So many on each of these servers.
    fn start(servers: &[&Http], clients: usize) -> Self {
        let mut load = Self {
            told: Arc::default(),
            stop: Arc::default(),
            clients: JoinSet::new(),
        };
        for server in servers {
            for _ in 0..clients {
                let (http, told, stop) = ((*server).clone(), load.told.clone(), load.stop.clone());
                load.clients
                    .spawn(async move { register(&http, &told, &stop).await });
            }
        }
        load
    }

    fn told(&self) -> Vec<Uuid> {
        let told = self.told.lock();
        told.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until so many are acknowledged.
    async fn until(&self, count: usize) -> Result<()> {
        eventually_within(LONG, "registrations", async || {
            Ok(self.told().len() >= count)
        })
        .await
    }

    /// Who was acknowledged.
    async fn end(mut self) -> Vec<Uuid> {
        self.stop.store(true, Ordering::Relaxed);
        while self.clients.join_next().await.is_some() {}
        self.told()
    }
}

async fn register(http: &Http, told: &Mutex<Vec<Uuid>>, stop: &AtomicBool) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    while !stop.load(Ordering::Relaxed) {
        let name = format!("u{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let asked = tokio::time::timeout(LONG, Persona::register(http, &name)).await;
        if let Ok(Ok(persona)) = asked
            && let Ok(id) = persona.id.parse()
        {
            told.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        } else {
            // Nobody is there.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Waits until the instances deliver so many shards.
async fn deliver(servers: &[(&Server, f64)]) -> Result<()> {
    eventually_within(LONG, "the shards are spread", async || {
        for (server, shards) in servers {
            // One that was frozen closes what was open.
            let told = server.admin.metric::<f64>("sso_outbox_shards").await;
            if !told.is_ok_and(|told| (told - shards).abs() < 0.1) {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .await
}

/// Ends a test that hangs with a word.
async fn within<T>(
    limit: Duration,
    what: &str,
    done: impl Future<Output = Result<T>>,
) -> Result<T> {
    let started = Instant::now();
    let done = tokio::time::timeout(limit, done).await;
    done.with_context(|| format!("{what}: not within {:?}", started.elapsed()))?
}
