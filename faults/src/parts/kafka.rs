//! What happens to Kafka and the registry.

use anyhow::Result;
use sso_testkit::servers::{kafka::Kafka, registry::Registry};
use tokio::time::sleep;

use super::AWAY;
use crate::system::TOPIC;

/// Three brokers, and a registry whose schemas lie in them.
pub(crate) struct Events {
    pub(crate) kafka: Kafka,
    pub(crate) registry: Registry,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OfKafka {
    KillLeader,
    FreezeLeader,
    RestartAll,
    Away,
    RegistryAway,
    RegistryLosesData,
}

impl OfKafka {
    pub(crate) const ALL: [Self; 6] = [
        Self::KillLeader,
        Self::FreezeLeader,
        Self::RestartAll,
        Self::Away,
        Self::RegistryAway,
        Self::RegistryLosesData,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::KillLeader => "a broker that leads is killed",
            Self::FreezeLeader => "a broker that leads hangs and wakes up",
            Self::RestartAll => "all brokers are killed and started",
            Self::Away => "Kafka is away",
            Self::RegistryAway => "the Schema Registry is away",
            Self::RegistryLosesData => "the Schema Registry loses its data",
        }
    }
}

impl Events {
    /// Returns when it is as it was before.
    pub(super) async fn happen(&mut self, fault: OfKafka) -> Result<()> {
        match fault {
            OfKafka::KillLeader => {
                let leader = self.kafka.leader(TOPIC, 0).await?;
                self.kafka.kill9(leader)?;
                sleep(AWAY).await;
                self.kafka.start_all().await?;
            }
            OfKafka::FreezeLeader => {
                let leader = self.kafka.leader(TOPIC, 0).await?;
                self.kafka.freeze(leader)?;
                sleep(AWAY).await;
                self.kafka.thaw(leader)?;
            }
            OfKafka::RestartAll => self.kafka.restart_all().await?,
            OfKafka::Away => {
                self.kafka.kill_all();
                sleep(AWAY).await;
                self.kafka.start_all().await?;
            }
            OfKafka::RegistryAway => {
                self.registry.go_away();
                sleep(AWAY).await;
                self.registry.come_back()?;
            }
            OfKafka::RegistryLosesData => self.registry.lose_data()?,
        }
        self.kafka.in_sync(TOPIC).await
    }
}
