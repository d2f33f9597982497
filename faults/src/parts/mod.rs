//! The parts that are harmed, and how.

mod instances;
mod kafka;
mod postgres;
mod redis;
mod services;

use std::time::Duration;

use anyhow::Result;

pub(crate) use instances::{Instances, OfInstances};
pub(crate) use kafka::{Events, OfKafka};
pub(crate) use postgres::OfPostgres;
pub(crate) use redis::OfRedis;
pub(crate) use services::{OfServices, Service, Services};
use sso_testkit::servers::{Patroni, RedisSentinel};

/// How long a thing is away, frozen or behind, where a fault has no end of its own.
pub(crate) const AWAY: Duration = Duration::from_secs(12);

/// One of the things that happen. Each ends with its part as it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    Postgres(OfPostgres),
    Redis(OfRedis),
    Kafka(OfKafka),
    Instances(OfInstances),
    Services(OfServices),
}

/// What a fault harms: two at once are never of one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Postgres,
    Redis,
    Kafka,
    Instances,
    Services,
}

impl Fault {
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        all.extend(OfPostgres::ALL.map(Self::Postgres));
        all.extend(OfRedis::ALL.map(Self::Redis));
        all.extend(OfKafka::ALL.map(Self::Kafka));
        all.extend(OfInstances::ALL.map(Self::Instances));
        all.extend(OfServices::ALL.map(Self::Services));
        all
    }

    pub(crate) const fn part(self) -> Part {
        match self {
            Self::Postgres(_) => Part::Postgres,
            Self::Redis(_) => Part::Redis,
            Self::Kafka(_) => Part::Kafka,
            Self::Instances(_) => Part::Instances,
            Self::Services(_) => Part::Services,
        }
    }

    /// As the report calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Postgres(fault) => fault.name(),
            Self::Redis(fault) => fault.name(),
            Self::Kafka(fault) => fault.name(),
            Self::Instances(fault) => fault.name(),
            Self::Services(fault) => fault.name(),
        }
    }

    /// Whether writes may stop for a while: nothing else but PostgreSQL is needed for them.
    pub(crate) const fn stops_writes(self) -> bool {
        matches!(self, Self::Postgres(_) | Self::Instances(_))
    }

    /// Whether an instance may be unable to validate for a while.
    pub(crate) const fn stops_validation(self) -> bool {
        match self {
            Self::Instances(_) => true,
            Self::Postgres(fault) => fault.outlasts_the_lease(),
            Self::Redis(_) | Self::Kafka(_) | Self::Services(_) => false,
        }
    }
}

/// What faults are done to; each part at most once at a time.
pub(crate) struct Parts<'a> {
    pub(crate) postgres: &'a mut Patroni,
    pub(crate) redis: &'a mut RedisSentinel,
    pub(crate) events: &'a mut Events,
    pub(crate) instances: &'a mut Instances,
    pub(crate) services: &'a mut Services,
}

impl Parts<'_> {
    /// Lets them happen at once, each to its end.
    pub(crate) async fn happen(self, faults: &[Fault]) -> Result<()> {
        let Self {
            postgres,
            redis,
            events,
            instances,
            services,
        } = self;
        let of = |part: Part| faults.iter().copied().find(|fault| fault.part() == part);
        let postgres = async {
            match of(Part::Postgres) {
                Some(Fault::Postgres(fault)) => postgres::happen(postgres, fault).await,
                _ => Ok(()),
            }
        };
        let redis = async {
            match of(Part::Redis) {
                Some(Fault::Redis(fault)) => redis::happen(redis, fault).await,
                _ => Ok(()),
            }
        };
        let events = async {
            match of(Part::Kafka) {
                Some(Fault::Kafka(fault)) => events.happen(fault).await,
                _ => Ok(()),
            }
        };
        let instances = async {
            match of(Part::Instances) {
                Some(Fault::Instances(fault)) => instances.happen(fault).await,
                _ => Ok(()),
            }
        };
        let services = async {
            match of(Part::Services) {
                Some(Fault::Services(fault)) => services.happen(fault).await,
                _ => Ok(()),
            }
        };
        tokio::try_join!(postgres, redis, events, instances, services)?;
        Ok(())
    }
}
