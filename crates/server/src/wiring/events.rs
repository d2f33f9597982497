//! Where events go.

use std::sync::Arc;

use sso_events::{EventSink, LogSink};
use sso_kafka::{
    ClientCredentials, Connection, KafkaSink, Sasl, Secret, SettingsError, SinkSettings, Status,
    Tls,
    registry::{Credentials, Registry, RegistrySettings},
};

use crate::{
    config::{
        Config, Credential, Urls,
        section::{Compression, Kafka, Mechanism, Sink},
    },
    exit::{Exit, Failed},
};

/// The sink, and Kafka's part of it that can be asked how it is.
pub(crate) struct Outlet {
    /// For the relay.
    pub(crate) sink: Arc<dyn EventSink>,
    /// If events go there.
    pub(crate) kafka: Option<Arc<KafkaSink>>,
}

/// Makes the sink. Connects to nothing.
pub(crate) fn outlet(config: &Config) -> Result<Outlet, Failed> {
    match config.events.sink {
        Sink::Log => Ok(Outlet {
            sink: Arc::new(LogSink),
            kafka: None,
        }),
        Sink::Kafka => {
            let kafka = Arc::new(kafka_sink(&config.kafka).map_err(|error| of_settings(&error))?);
            Ok(Outlet {
                sink: Arc::clone(&kafka) as _,
                kafka: Some(kafka),
            })
        }
    }
}

/// Looks at Kafka and the registry, and changes nothing there.
pub(crate) fn examine_kafka(config: &Config) -> Result<Status, Failed> {
    let kafka = kafka_sink(&config.kafka).map_err(|error| of_settings(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Failed::from_error(Exit::Failure, &error))?;
    Ok(runtime.block_on(kafka.examine()))
}

fn of_settings(error: &SettingsError) -> Failed {
    Failed::new(Exit::Configuration, format!("kafka: {error}"))
}

fn kafka_sink(kafka: &Kafka) -> Result<KafkaSink, SettingsError> {
    let settings = SinkSettings {
        connection: connection(kafka)?,
        topic: kafka.topic.as_str().to_owned(),
        delivery_timeout: kafka.delivery_timeout,
        compression: match kafka.compression {
            Compression::None => sso_kafka::Compression::None,
            Compression::Lz4 => sso_kafka::Compression::Lz4,
            Compression::Zstd => sso_kafka::Compression::Zstd,
            Compression::Gzip => sso_kafka::Compression::Gzip,
        },
        max_record: kafka.max_record,
    };
    KafkaSink::new(settings, Arc::new(registry(kafka)?))
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
        client_id: "sso".to_owned(),
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
