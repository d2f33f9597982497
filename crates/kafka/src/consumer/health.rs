//! Whether events can be read, for a service's readiness.

use std::{sync::Weak, time::Duration};

use rdkafka::{
    consumer::{Consumer, StreamConsumer},
    error::RDKafkaErrorCode,
    metadata::MetadataTopic,
};
use tokio::task::spawn_blocking;

use super::membership::Membership;
use crate::verdict;

/// How long a look may take.
const LOOK: Duration = Duration::from_secs(3);

/// Looks at the brokers that a consumer reads from.
#[derive(Clone)]
pub struct ConsumerHealth {
    pub(super) member: Weak<StreamConsumer<Membership>>,
    pub(super) topic: String,
}

impl ConsumerHealth {
    /// A sentence if the brokers do not answer, have no such topic, or do not let us read it. Within seconds.
    pub async fn look(&self) -> Option<String> {
        let (member, topic) = (self.member.clone(), self.topic.clone());
        let looked = spawn_blocking(move || look(&member, &topic)).await;
        looked.unwrap_or_else(|error| Some(error.to_string()))
    }
}

fn look(member: &Weak<StreamConsumer<Membership>>, topic: &str) -> Option<String> {
    let Some(member) = member.upgrade() else {
        return Some("the consumer has stopped".to_owned());
    };
    let seen = match member.fetch_metadata(Some(topic), LOOK) {
        Ok(seen) => seen,
        Err(error) => {
            let context = member.context().connections();
            return Some(verdict::judge(&error, topic, 0, context).sentence());
        }
    };
    member.context().connections().well();
    let Some(error) = seen.topics().iter().find_map(MetadataTopic::error) else {
        return member.context().refused();
    };
    let code = RDKafkaErrorCode::from(error);
    Some(verdict::of_code(code, topic, &code.to_string()).sentence())
}
