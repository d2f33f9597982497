//! From the section to what the client needs.

use std::sync::Arc;

use sso_config::remote::{Credential, Urls};
use sso_kafka::{
    ClientCredentials, Connection, Sasl, Secret, SettingsError, Tls,
    consumer::ConsumerSettings,
    registry::{Credentials, Registry, RegistrySettings},
};

use super::{Kafka, Mechanism};
use crate::{Exit, Failed};

impl Kafka {
    /// How brokers are reached.
    pub fn connect(&self) -> Result<Connection, Failed> {
        connection(self).map_err(|error| of_settings(&error))
    }

    /// The registry. Connects to nothing.
    pub(crate) fn registry(&self) -> Result<Arc<Registry>, Failed> {
        registry(self)
            .map(Arc::new)
            .map_err(|error| of_settings(&error))
    }

    /// What the consumer is told.
    pub(crate) fn consumer(&self, drain: std::time::Duration) -> Result<ConsumerSettings, Failed> {
        let mut settings = ConsumerSettings::new(self.connect()?, self.topic.as_str(), &self.group);
        settings.dead_letter_topic = self.dead_letters();
        settings.concurrency = self.concurrency;
        settings.unknown_schema = self.unknown_schema;
        settings.drain = drain;
        Ok(settings)
    }
}

pub(crate) fn of_settings(error: &SettingsError) -> Failed {
    Failed::new(Exit::Configuration, format!("kafka: {error}"))
}

fn connection(kafka: &Kafka) -> Result<Connection, SettingsError> {
    let tls = kafka.tls.then(|| Tls {
        ca: kafka.tls_ca.clone(),
        identity: kafka.tls_cert.clone().zip(kafka.tls_key.clone()),
    });
    let brokers = kafka
        .brokers
        .iter()
        .map(|broker| broker.as_str().to_owned());
    Ok(Connection {
        brokers: brokers.collect(),
        client_id: kafka.group.clone(),
        tls,
        sasl: sasl(kafka)?,
    })
}

fn sasl(kafka: &Kafka) -> Result<Option<Sasl>, SettingsError> {
    let user = kafka.sasl_username.clone().unwrap_or_default();
    let secret =
        |value: &Option<Credential>| Secret::new(value.as_ref().map_or("", |value| value.reveal()));
    let password = secret(&kafka.sasl_password);
    Ok(Some(match kafka.sasl_mechanism {
        Mechanism::None => return Ok(None),
        Mechanism::Plain => Sasl::Plain { user, password },
        Mechanism::ScramSha256 => Sasl::ScramSha256 { user, password },
        Mechanism::ScramSha512 => Sasl::ScramSha512 { user, password },
        Mechanism::OAuthBearer => {
            let url = kafka.oauth_token_url.as_ref();
            let tokens = ClientCredentials::new(
                url.and_then(|urls| urls.iter().next()).unwrap_or_default(),
                kafka.oauth_client_id.as_deref().unwrap_or_default(),
                &secret(&kafka.oauth_client_secret),
                kafka.oauth_scope.as_deref(),
                kafka.oauth_ca.as_ref(),
            )?;
            Sasl::OAuthBearer(Arc::new(tokens))
        }
    }))
}

fn registry(kafka: &Kafka) -> Result<Registry, SettingsError> {
    let urls = kafka.registry_url.iter().flat_map(Urls::iter);
    let credentials = match (
        &kafka.registry_token,
        &kafka.registry_username,
        &kafka.registry_password,
    ) {
        (Some(token), ..) => Some(Credentials::Bearer(Secret::new(token.reveal()))),
        (None, Some(user), Some(password)) => Some(Credentials::Basic {
            user: user.clone(),
            password: Secret::new(password.reveal()),
        }),
        _ => None,
    };
    Registry::new(&RegistrySettings {
        urls: urls.map(str::to_owned).collect(),
        credentials,
        ca: kafka.registry_ca.clone(),
        patience: kafka.registry_timeout,
    })
}
