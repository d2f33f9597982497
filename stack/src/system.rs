//! Everything that runs, and how it hangs together.

use std::{fmt::Write, fs, net::SocketAddr, time::Instant};

use anyhow::{Context, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use sso_testkit::servers::{
    Daemon, Patroni, Port, Prometheus, RedisSentinel, Room, Sandbox, SmtpSink,
    kafka::Kafka,
    redis::{PASSWORD, SENTINEL_PASSWORD},
    registry::Registry,
};

use crate::programs::{LOYALTY, Program, SSO, WELCOME};

/// What the services read and park.
const TOPICS: [&str; 3] = [
    "registration",
    "registration.welcome.dead-letter",
    "registration.loyalty.dead-letter",
];
/// What loyalty shows to sso.
const CALLER_TOKEN: &str = "the token of loyalty in this stack";

/// The whole system. Fields are dropped in their order: programs before what they need.
pub(crate) struct System {
    pub(crate) sso: [Program; 2],
    welcome: Program,
    loyalty: Program,
    balancer: Balancer,
    prometheus: Prometheus,
    mail: SmtpSink,
    pub(crate) registry: Registry,
    pub(crate) kafka: Kafka,
    pub(crate) redis: RedisSentinel,
    pub(crate) patroni: Patroni,
    sandbox: Sandbox,
    took: std::time::Duration,
}

/// HAProxy before the two instances.
struct Balancer {
    http: Port,
    grpc: Port,
    _daemon: Daemon,
}

/// What the programs need.
struct Ground {
    registry: Registry,
    kafka: Kafka,
    redis: RedisSentinel,
    patroni: Patroni,
    mail: SmtpSink,
}

impl System {
    /// Starts everything; prints a line for each part that is ready.
    pub(crate) async fn start() -> Result<Self> {
        let started = Instant::now();
        let said = |what: &str| println!("{:6.1} s  {what}", started.elapsed().as_secs_f64());
        let sandbox = Sandbox::new()?;
        let ground = Ground::start(&said).await?;
        let room = sandbox.room();
        let (http, grpc) = (Port::free()?, Port::free()?);

        let master_key = BASE64_STANDARD.encode(random()?);
        let mut sso = Vec::new();
        for name in ["sso1", "sso2"] {
            let mut program = Program::new(name, &SSO, room)?;
            configure(&mut program, &ground, &master_key)?;
            program.set(
                "SSO__HTTP__PUBLIC_URL",
                format!("http://{}", http.address()),
            );
            sso.push(program);
        }
        sso[0].run(&["migrate", "up"])?;
        for program in &mut sso {
            program.start()?;
        }
        for program in &mut sso {
            program.ready().await?;
        }
        let sso: [Program; 2] = sso
            .try_into()
            .map_err(|_| anyhow::anyhow!("two instances"))?;
        let backends = [&sso[0], &sso[1]].map(Program::address);
        let grpc_backends = [sso[0].also(0)?, sso[1].also(0)?];
        let balancer = Balancer::start(room, (http, grpc), backends, grpc_backends)?;
        said("two sso behind a balancer");

        let mut welcome = Program::new("welcome", &WELCOME, room)?;
        let mut loyalty = Program::new("loyalty", &LOYALTY, room)?;
        configure_welcome(&mut welcome, &ground);
        configure_loyalty(&mut loyalty, &ground, &balancer);
        for program in [&mut welcome, &mut loyalty] {
            program.start()?;
            program.ready().await?;
            said(program.name);
        }
        let targets = [
            ("sso", sso[0].also(1)?),
            ("sso", sso[1].also(1)?),
            ("welcome", welcome.address()),
            ("loyalty", loyalty.address()),
        ];
        let prometheus = Prometheus::start_with_jobs(&targets, "groups: []\n").await?;
        said("Prometheus");
        let Ground {
            registry,
            kafka,
            redis,
            patroni,
            mail,
        } = ground;
        Ok(Self {
            sso,
            welcome,
            loyalty,
            balancer,
            prometheus,
            mail,
            registry,
            kafka,
            redis,
            patroni,
            sandbox,
            took: started.elapsed(),
        })
    }

    /// Where everything listens, and how it is.
    pub(crate) async fn status(&self) -> String {
        let (http, grpc) = (self.balancer.http.address(), self.balancer.grpc.address());
        let mut text = String::new();
        let mut line = |what: &str, value: String| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "  {what:12} {value}");
        };
        line(
            "HTTP",
            format!("http://{http}      Swagger UI http://{http}/swagger/index.html"),
        );
        line(
            "gRPC",
            format!("{grpc}             Swagger UI http://{}/sw/", self.grpc()),
        );
        line(
            "loyalty",
            format!(
                "http://{0}/loyalty  Swagger UI http://{0}/swagger/index.html",
                self.loyalty.address()
            ),
        );
        line(
            "Prometheus",
            format!("http://{}", self.prometheus.address()),
        );
        line(
            "PostgreSQL",
            format!(
                "leader {}   replicas {}",
                self.patroni.url("sso"),
                self.patroni.replicas_url("sso")
            ),
        );
        line(
            "Kafka",
            format!(
                "{}   registry {}",
                self.kafka.brokers(),
                self.registry.url()
            ),
        );
        line(
            "mail",
            format!(
                "{} received by {}",
                self.mail.mails().len(),
                self.mail.address()
            ),
        );
        for program in [&self.sso[0], &self.sso[1], &self.welcome, &self.loyalty] {
            let is = if program.is_ready().await {
                "ready"
            } else {
                "not ready"
            };
            line(program.name, format!("{is}   http://{}", program.address()));
        }
        line("data", self.sandbox.room().folder().display().to_string());
        format!("started in {:.1} s\n{text}", self.took.as_secs_f64())
    }

    /// Of the first instance: browsers do not speak HTTP/2 in clear, which the balancer wants.
    fn grpc(&self) -> String {
        let address = self.sso[0].also(0);
        address
            .map(|address| address.to_string())
            .unwrap_or_default()
    }

    /// The end of a log, or the names of all.
    pub(crate) fn logs(&self, name: Option<&str>) -> String {
        let programs = [&self.sso[0], &self.sso[1], &self.welcome, &self.loyalty];
        match programs.iter().find(|program| Some(program.name) == name) {
            Some(program) => program.tail(),
            None => programs.map(|program| program.name).join("\n"),
        }
    }

    /// Programs first, each drained.
    pub(crate) async fn stop(mut self) -> Result<()> {
        for program in [&mut self.welcome, &mut self.loyalty]
            .into_iter()
            .chain(&mut self.sso)
        {
            program.stop().await?;
        }
        Ok(())
    }
}

impl Ground {
    async fn start(said: &impl Fn(&str)) -> Result<Self> {
        let patroni = Patroni::start().await?;
        patroni.ready().await?;
        let leader = patroni.leader().await?;
        for database in ["sso", "loyalty"] {
            patroni.server(leader).database(database).await?;
        }
        said("Patroni x3, etcd, HAProxy");
        let redis = RedisSentinel::start().await?;
        said("Redis x3, Sentinel x3");
        let kafka = Kafka::start().await?;
        for topic in TOPICS {
            kafka.create_topic(topic, 6).await?;
        }
        let registry = Registry::start(&kafka).await?;
        said("Kafka, Schema Registry");
        let mail = SmtpSink::start()?;
        Ok(Self {
            registry,
            kafka,
            redis,
            patroni,
            mail,
        })
    }
}

fn configure(program: &mut Program, ground: &Ground, master_key: &str) -> Result<()> {
    let callers = format!(
        "[[grpc.callers]]\nname = 'loyalty'\ntoken_sha256 = '{}'\nscopes = ['auth', 'revocations:read']\n",
        hex(&sso_crypto::sha256(CALLER_TOKEN.as_bytes()))
    );
    let file = program.folder().join("callers.toml");
    fs::write(&file, callers)?;
    let sentinels: Vec<_> = ground
        .redis
        .sentinel_addresses()
        .iter()
        .map(ToString::to_string)
        .collect();
    let (grpc, admin) = (Port::free()?, Port::free()?);
    let (http, folder) = (program.address(), program.folder().to_owned());
    program
        .set("SSO_CONFIG", file.display())
        .set("SSO__DATA_DIR", folder.display())
        .set("SSO__HTTP__LISTEN", http)
        .set("SSO__HTTP__TRUSTED_PROXIES", "127.0.0.1")
        .set("SSO__GRPC__LISTEN", grpc.address())
        // For people who look around; a service shows its token all the same.
        .set("SSO__GRPC__REQUIRE_CALLER", false)
        .set("SSO__ADMIN__LISTEN", admin.address())
        .set("SSO__DATABASE__URL", ground.patroni.url("sso"))
        .set(
            "SSO__DATABASE__REPLICAS",
            ground.patroni.replicas_url("sso"),
        )
        .set("SSO__KEYS__MASTER_KEY", master_key)
        .set("SSO__REDIS__SENTINELS", sentinels.join(","))
        .set("SSO__REDIS__MASTER_NAME", "sso")
        .set("SSO__REDIS__PASSWORD", PASSWORD)
        .set("SSO__REDIS__SENTINEL_PASSWORD", SENTINEL_PASSWORD)
        .set("SSO__EVENTS__SINK", "kafka")
        .set("SSO__KAFKA__BROKERS", ground.kafka.brokers())
        .set("SSO__KAFKA__REGISTRY_URL", ground.registry.url())
        .set("SSO__LOG__FORMAT", "json");
    program.keep(grpc);
    program.keep(admin);
    Ok(())
}

fn configure_welcome(program: &mut Program, ground: &Ground) {
    let http = program.address();
    let store = program.folder().join("welcome.db");
    program
        .set("WELCOME__HTTP__LISTEN", http)
        .set("WELCOME__KAFKA__BROKERS", ground.kafka.brokers())
        .set("WELCOME__KAFKA__REGISTRY_URL", ground.registry.url())
        .set(
            "WELCOME__DATABASE__URL",
            format!("sqlite:{}", store.display()),
        )
        .set(
            "WELCOME__SMTP__URL",
            format!("smtp://{}", ground.mail.address()),
        )
        .set("WELCOME__SMTP__FROM", "welcome@example.com");
}

fn configure_loyalty(program: &mut Program, ground: &Ground, balancer: &Balancer) {
    let http = program.address();
    let sso = balancer.http.address();
    program
        .set("LOYALTY__HTTP__LISTEN", http)
        .set("LOYALTY__KAFKA__BROKERS", ground.kafka.brokers())
        .set("LOYALTY__KAFKA__REGISTRY_URL", ground.registry.url())
        .set("LOYALTY__DATABASE__URL", ground.patroni.url("loyalty"))
        .set(
            "LOYALTY__SSO__JWKS_URL",
            format!("http://{sso}/.well-known/jwks.json"),
        )
        .set(
            "LOYALTY__SSO__GRPC_URL",
            format!("http://{}", balancer.grpc.address()),
        )
        .set("LOYALTY__SSO__CALLER_TOKEN", CALLER_TOKEN);
}

impl Balancer {
    fn start(
        room: &Room,
        (http, grpc): (Port, Port),
        https: [SocketAddr; 2],
        grpcs: [SocketAddr; 2],
    ) -> Result<Self> {
        let text = format!(
            "global
    noreuseport
defaults
    mode http
    timeout connect 1s
    timeout client 1h
    timeout server 1h
    timeout check 1s
    option redispatch
frontend http
    bind {}
    option forwardfor
    default_backend https
backend https
    balance leastconn
    option httpchk GET /auth/ready
    default-server check inter 250ms fall 1 rise 1
    server sso1 {}
    server sso2 {}
frontend grpc
    bind {} proto h2
    default_backend grpcs
backend grpcs
    balance roundrobin
    option httpchk GET /auth/ready
    default-server check inter 250ms fall 1 rise 1 proto h2 check-proto h1
    server sso1 {} addr {} port {}
    server sso2 {} addr {} port {}
",
            http.address(),
            https[0],
            https[1],
            grpc.address(),
            grpcs[0],
            https[0].ip(),
            https[0].port(),
            grpcs[1],
            https[1].ip(),
            https[1].port(),
        );
        let folder = room.subfolder("balancer")?;
        let file = room.write("balancer/haproxy.cfg", &text)?;
        let mut command = room.command("haproxy", &folder);
        command.arg("-db").arg("-f").arg(file);
        let log = room.folder().join("balancer.log");
        let daemon = Daemon::start("the balancer", command, &log).context("haproxy")?;
        Ok(Self {
            http,
            grpc,
            _daemon: daemon,
        })
    }
}

fn random() -> Result<[u8; 32]> {
    use std::io::Read;
    let mut bytes = [0; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
