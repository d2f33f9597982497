//! What an error of Kafka says: of the message, or of the way to it.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use sso_events::DeliveryError;

use crate::{context::Context, registry::RegistryError};

/// Why an event was not delivered, as a metric tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    TooLarge,
    Schema,
    Rejected,
    MissingTopic,
    Unauthorised,
    Authentication,
    Registry,
    Unreachable,
    Fatal,
    Other,
}

impl Reason {
    pub(crate) const ALL: [Self; 10] = [
        Self::TooLarge,
        Self::Schema,
        Self::Rejected,
        Self::MissingTopic,
        Self::Unauthorised,
        Self::Authentication,
        Self::Registry,
        Self::Unreachable,
        Self::Fatal,
        Self::Other,
    ];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Schema => "schema",
            Self::Rejected => "rejected",
            Self::MissingTopic => "missing_topic",
            Self::Unauthorised => "unauthorised",
            Self::Authentication => "authentication",
            Self::Registry => "registry",
            Self::Unreachable => "unreachable",
            Self::Fatal => "fatal",
            Self::Other => "other",
        }
    }
}

/// A reason and its sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) reason: Reason,
    pub(crate) error: DeliveryError,
}

impl Verdict {
    pub(crate) fn refused(reason: Reason, why: impl Into<String>) -> Self {
        Self {
            reason,
            error: DeliveryError::Refused(why.into()),
        }
    }

    pub(crate) fn unreachable(reason: Reason, why: impl Into<String>) -> Self {
        Self {
            reason,
            error: DeliveryError::Unreachable(why.into()),
        }
    }

    /// The registry's part: says nothing of any single message, not even when it refuses the schema.
    pub(crate) fn of_registry(error: &RegistryError) -> Self {
        Self::unreachable(Reason::Registry, error.to_string())
    }

    pub(crate) fn sentence(&self) -> String {
        match &self.error {
            DeliveryError::Unreachable(why) | DeliveryError::Refused(why) => why.clone(),
            DeliveryError::HeldBack => self.error.to_string(),
        }
    }
}

/// Whether the brokers may have meant another message of the same request.
pub(crate) fn blames_the_batch(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::MessageSizeTooLarge
                | Code::MessageBatchTooLarge
                | Code::InvalidMessageSize
                | Code::InvalidRecord
                | Code::InvalidTimestamp
        )
    )
}

/// What the error of a message that was alone in its request says.
pub(crate) fn judge(error: &KafkaError, topic: &str, bytes: usize, context: &Context) -> Verdict {
    let Some(code) = error.rdkafka_error_code() else {
        return Verdict::unreachable(Reason::Other, shown(error));
    };
    match code {
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => {
            Verdict::refused(
                Reason::TooLarge,
                format!(
                    "the record of {bytes} bytes is larger than topic {topic} takes (max.message.bytes)"
                ),
            )
        }
        Code::InvalidRecord | Code::InvalidTimestamp => Verdict::refused(
            Reason::Rejected,
            format!("the brokers refuse the record for topic {topic}: {code}"),
        ),
        Code::MessageTimedOut
        | Code::AllBrokersDown
        | Code::BrokerTransportFailure
        | Code::OperationTimedOut => timed_out(topic, context),
        code => of_code(code, topic, &shown(error)),
    }
}

/// What an error that concerns no single message says.
pub(crate) fn of_code(code: Code, topic: &str, detail: &str) -> Verdict {
    match code {
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            Verdict::unreachable(
                Reason::MissingTopic,
                format!("there is no topic {topic}: create it, or correct kafka.topic"),
            )
        }
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => Verdict::unreachable(
            Reason::Unauthorised,
            format!("the brokers do not allow us to write to topic {topic}: grant WRITE on it"),
        ),
        Code::Authentication | Code::SaslAuthenticationFailed => Verdict::unreachable(
            Reason::Authentication,
            format!("the brokers refuse our credentials: {detail}"),
        ),
        Code::SSL => Verdict::unreachable(
            Reason::Authentication,
            format!("no TLS connection to the brokers: {detail}"),
        ),
        _ => Verdict::unreachable(Reason::Other, format!("the brokers answer: {detail}")),
    }
}

/// Why a consumer may not read, if that is what an error says.
pub(crate) fn of_reader(error: &KafkaError, topic: &str, group: &str) -> Option<String> {
    matches!(
        error.rdkafka_error_code()?,
        Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed
    )
    .then(|| {
        format!(
            "the brokers do not let group {group} read topic {topic}: grant READ on both, and DESCRIBE"
        )
    })
}

/// Nobody acknowledged: for what reason, the connections may have told.
pub(crate) fn timed_out(topic: &str, context: &Context) -> Verdict {
    match context.problem() {
        Some((code @ (Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL), why)) => {
            of_code(code, topic, &why)
        }
        Some((_, why)) => {
            Verdict::unreachable(Reason::Unreachable, format!("no broker answers: {why}"))
        }
        None => Verdict::unreachable(
            Reason::Unreachable,
            "no broker has acknowledged in time".to_owned(),
        ),
    }
}

/// librdkafka repeats values of settings, and any of them may be a secret.
pub(crate) fn shown(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, description, key, _) => format!("{key}: {description}"),
        error => error.to_string(),
    }
}
