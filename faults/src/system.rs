//! Everything that runs, and who uses it.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};
use sso_testkit::{
    history::{Durability, History, Terms, Verdict},
    process::Site,
    program::Program,
    servers::{
        Patroni, RedisSentinel, SmtpSink,
        kafka::Kafka,
        patroni,
        redis::{PASSWORD, SENTINEL_PASSWORD},
        registry::Registry,
    },
    workload::Workload,
};

use crate::{
    delivered::{self, Delivered},
    parts::{Events, Instances, Parts, Service, Services},
};

/// The topic of registrations.
pub(crate) const TOPIC: &str = "registration";
/// The stream of revocations in Redis.
pub(crate) const STREAM: &str = "sso:revocations";
/// How long an instance is trusted without a beat.
pub(crate) const LEASE: Duration = Duration::from_secs(10);

const FENCE: Duration = Duration::from_secs(1);
/// How long a refresh token has its successor.
const GRACE: Duration = Duration::from_secs(30);
/// 32 bytes in base64: instances share it.
const MASTER_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
/// What loyalty shows to sso, and its SHA-256.
const CALLER: &str = "the token of loyalty among faults";
const CALLER_SHA256: &str = "3eead2c999af2a9dddf0cdcadac63a57147231ece30209157ae2b5befa916a0f";

/// Fields are dropped in their order: users before programs, programs before what they need.
pub(crate) struct System {
    workload: Workload,
    pub(crate) history: History,
    pub(crate) services: Services,
    pub(crate) instances: Instances,
    events: Events,
    redis: RedisSentinel,
    postgres: Patroni,
    /// When failovers began.
    pub(crate) failovers: Vec<Duration>,
}

/// What is known at the end.
pub(crate) struct End {
    pub(crate) verdict: Verdict,
    pub(crate) delivered: Delivered,
    pub(crate) calls: usize,
}

impl System {
    pub(crate) async fn start(binaries: &Path, clients: usize, seed: u64) -> Result<Self> {
        let postgres = patroni::Options::new().synchronous().start().await?;
        postgres.ready().await?;
        let leader = postgres.leader().await?;
        for database in ["sso", "loyalty"] {
            postgres.server(leader).database(database).await?;
        }
        let redis = RedisSentinel::start().await?;
        let events = Events::start().await?;
        let instances = Instances::start(binaries, &postgres, &redis, &events).await?;
        let services = Services::start(binaries, &postgres, &events, &instances).await?;
        let history = History::default();
        let servers: Vec<_> = instances.servers.iter().collect();
        let workload = Workload::start(&history, &servers, clients, seed).await?;
        Ok(Self {
            workload,
            history,
            services,
            instances,
            events,
            redis,
            postgres,
            failovers: Vec::new(),
        })
    }

    pub(crate) fn parts(&mut self) -> Parts<'_> {
        Parts {
            postgres: &mut self.postgres,
            redis: &mut self.redis,
            events: &mut self.events,
            instances: &mut self.instances,
            services: &mut self.services,
        }
    }

    /// Copies what PostgreSQL's cluster has logged to this folder: the cluster's own goes with it.
    pub(crate) fn keep_logs(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        for (number, log) in self.postgres.logs().enumerate() {
            let name = log.file_name().context("a log without a name")?;
            let kept = format!("{number}-{}", name.to_string_lossy());
            fs::copy(log, folder.join(kept))?;
        }
        Ok(())
    }

    /// Ends the clients, waits for what is still to be delivered, and judges.
    pub(crate) async fn finish(self) -> Result<End> {
        self.workload.stop().await?;
        let calls = self.history.calls();
        let terms = Terms {
            lease: LEASE,
            grace: GRACE,
            durability: Durability::Synchronous,
            failovers: self.failovers,
        };
        let verdict = self.history.judge(&terms);
        let leader = self.postgres.leader().await?;
        let delivered = delivered::check(
            &calls,
            &self.events.kafka,
            &self.services.mail,
            self.postgres.server(leader),
        );
        Ok(End {
            verdict,
            delivered: delivered.await?,
            calls: calls.len(),
        })
    }
}

impl Events {
    async fn start() -> Result<Self> {
        let kafka = Kafka::start_three().await?;
        for topic in [
            TOPIC,
            "registration.welcome.dead-letter",
            "registration.loyalty.dead-letter",
        ] {
            kafka.create_topic(topic, 6).await?;
        }
        let registry = Registry::start(&kafka).await?;
        Ok(Self { kafka, registry })
    }
}

impl Instances {
    /// Two behind HAProxy, and one that knows the addresses of all nodes.
    async fn start(
        binaries: &Path,
        postgres: &Patroni,
        redis: &RedisSentinel,
        events: &Events,
    ) -> Result<Self> {
        let balanced = postgres.url("sso");
        let mut sites = Vec::new();
        for url in [&balanced, &balanced, &postgres.nodes_url("sso")] {
            let mut site = Site::new(binaries.join("sso"))?;
            configure(&mut site, url, redis, events);
            if *url == balanced {
                site.set("SSO__DATABASE__REPLICAS", postgres.replicas_url("sso"));
            }
            sites.push(site);
        }
        sites[0].run_ok(&["migrate", "up"])?;
        let mut servers = Vec::new();
        for site in &sites {
            servers.push(site.serve().await?);
        }
        Ok(Self {
            sites,
            servers,
            next: 0,
        })
    }
}

fn configure(site: &mut Site, url: &str, redis: &RedisSentinel, events: &Events) {
    let sentinels: Vec<_> = redis
        .sentinel_addresses()
        .iter()
        .map(ToString::to_string)
        .collect();
    let callers = format!(
        "[{{ name = 'loyalty', token_sha256 = '{CALLER_SHA256}', \
         scopes = ['auth', 'revocations:read'] }}]"
    );
    site.set("SSO__DATABASE__URL", url)
        .set("SSO__KEYS__MASTER_KEY", MASTER_KEY)
        .set("SSO__HTTP__PUBLIC_URL", "https://sso.example.com")
        .set("SSO__GRPC__CALLERS", callers)
        .set("SSO__THROTTLE__ENABLED", false)
        // A token lives as long as the run.
        .set("SSO__TOKENS__ACCESS_TTL", "1d")
        .set("SSO__REVOCATION__LEASE", format!("{}s", LEASE.as_secs()))
        .set("SSO__REVOCATION__FENCE", format!("{}s", FENCE.as_secs()))
        .set("SSO__REDIS__SENTINELS", sentinels.join(","))
        .set("SSO__REDIS__MASTER_NAME", RedisSentinel::MASTER_NAME)
        .set("SSO__REDIS__PASSWORD", PASSWORD)
        .set("SSO__REDIS__SENTINEL_PASSWORD", SENTINEL_PASSWORD)
        .set("SSO__EVENTS__SINK", "kafka")
        .set("SSO__KAFKA__BROKERS", events.kafka.brokers())
        .set("SSO__KAFKA__REGISTRY_URL", events.registry.url());
}

impl Services {
    async fn start(
        binaries: &Path,
        postgres: &Patroni,
        events: &Events,
        instances: &Instances,
    ) -> Result<Self> {
        let mail = SmtpSink::start()?;
        let (brokers, registry) = (events.kafka.brokers(), events.registry.url());
        let mut welcome = Program::new("welcome", binaries.join("welcome"))?;
        let store = welcome.folder().join("welcome.db");
        welcome
            .set("kafka.brokers", &brokers)
            .set("kafka.registry_url", &registry)
            .set("database.url", format!("sqlite:{}", store.display()))
            .set("smtp.url", format!("smtp://{}", mail.address()))
            .set("smtp.from", "welcome@example.com");
        let mut loyalty = Program::new("loyalty", binaries.join("loyalty"))?;
        let sso = &instances.servers[0];
        loyalty
            .set("kafka.brokers", &brokers)
            .set("kafka.registry_url", &registry)
            .set("database.url", postgres.url("loyalty"))
            .set(
                "sso.jwks_url",
                format!("http://{}/.well-known/jwks.json", sso.http_address),
            )
            .set("sso.grpc_url", format!("http://{}", sso.grpc_address))
            .set("sso.caller_token", CALLER);
        Ok(Self {
            welcome: Service::start(welcome).await?,
            loyalty: Service::start(loyalty).await?,
            mail,
        })
    }
}
