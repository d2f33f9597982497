//! Everything that runs, and how it hangs together.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::Result;
use base64::{Engine, prelude::BASE64_STANDARD};
use sso_testkit::servers::{
    Backend, Balancer, Patroni, Port, Prometheus, RedisSentinel, Room, Sandbox, SmtpSink,
    kafka::Kafka, registry::Registry,
};

use crate::{
    ground::Ground,
    programs::{LOYALTY, Program, SSO, WELCOME},
    traces::Traces,
};

/// The whole system. Fields are dropped in their order: programs before what they need.
pub(crate) struct System {
    pub(crate) sso: [Program; 2],
    pub(crate) welcome: Program,
    pub(crate) loyalty: Program,
    pub(crate) balancer: Balancer,
    pub(crate) prometheus: Prometheus,
    pub(crate) traces: Traces,
    pub(crate) mail: SmtpSink,
    pub(crate) registry: Registry,
    pub(crate) kafka: Kafka,
    pub(crate) redis: RedisSentinel,
    pub(crate) patroni: Patroni,
    pub(crate) sandbox: Sandbox,
    pub(crate) took: Duration,
}

impl System {
    /// Starts everything; prints a line for each part that is ready.
    pub(crate) async fn start() -> Result<Self> {
        let started = Instant::now();
        let said = |what: &str| println!("{:6.1} s  {what}", started.elapsed().as_secs_f64());
        let sandbox = Sandbox::new()?;
        let ground = Ground::start(&said).await?;
        let room = sandbox.room();
        let (sso, balancer) = instances(room, &ground).await?;
        said("two sso behind a balancer");

        let mut welcome = Program::new("welcome", &WELCOME, room)?;
        let mut loyalty = Program::new("loyalty", &LOYALTY, room)?;
        ground.configure_welcome(&mut welcome);
        ground.configure_loyalty(&mut loyalty, &balancer);
        for program in [&mut welcome, &mut loyalty] {
            program.start()?;
            program.ready().await?;
            said(program.name);
        }
        let targets = [
            ("sso", sso[0].also(ADMIN)?),
            ("sso", sso[1].also(ADMIN)?),
            ("welcome", welcome.address()),
            ("loyalty", loyalty.address()),
        ];
        let prometheus = Prometheus::start_with_jobs(&targets, "groups: []\n").await?;
        said("Prometheus");
        Ok(Self {
            sso,
            welcome,
            loyalty,
            balancer,
            prometheus,
            traces: ground.traces,
            mail: ground.mail,
            registry: ground.registry,
            kafka: ground.kafka,
            redis: ground.redis,
            patroni: ground.patroni,
            sandbox,
            took: started.elapsed(),
        })
    }

    /// The programs of ours.
    pub(crate) fn programs(&self) -> [&Program; 4] {
        let [one, two] = &self.sso;
        [one, two, &self.welcome, &self.loyalty]
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

/// The second port of an instance, and its third.
const GRPC: usize = 0;
const ADMIN: usize = 1;

/// Two instances, migrated and ready, and the balancer before them.
async fn instances(room: &Room, ground: &Ground) -> Result<([Program; 2], Balancer)> {
    let (http, grpc) = (Port::free()?, Port::free()?);
    let master_key = BASE64_STANDARD.encode(random()?);
    let make = |name| -> Result<Program> {
        let mut program = Program::new(name, &SSO, room)?;
        ground.configure_sso(&mut program, &master_key)?;
        let (own_grpc, admin) = (Port::free()?, Port::free()?);
        program
            .set(
                "SSO__HTTP__PUBLIC_URL",
                format!("http://{}", http.address()),
            )
            .set("SSO__GRPC__LISTEN", own_grpc.address())
            .set("SSO__ADMIN__LISTEN", admin.address());
        program.keep(own_grpc);
        program.keep(admin);
        Ok(program)
    };
    let mut sso = [make("sso1")?, make("sso2")?];
    sso[0].run(&["migrate", "up"])?;
    for program in &mut sso {
        program.start()?;
    }
    for program in &mut sso {
        program.ready().await?;
    }
    let backend = |program: &Program| -> Result<Backend> {
        Ok(Backend {
            http: program.address(),
            grpc: program.also(GRPC)?,
        })
    };
    let backends = [backend(&sso[0])?, backend(&sso[1])?];
    let balancer = Balancer::start(room, (http, grpc), &backends)?;
    Ok((sso, balancer))
}

fn random() -> Result<[u8; 32]> {
    use std::io::Read;
    let mut bytes = [0; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
