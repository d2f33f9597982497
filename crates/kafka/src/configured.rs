//! From the section `kafka` of a configuration to brokers and registry. Connects to nothing.

use std::sync::Arc;

use sso_config::{
    kafka::{Kafka, Mechanism},
    remote::{Credential, OneUrl, Urls},
};

use crate::{
    ClientCredentials, Connection, Sasl, SettingsError, Tls,
    registry::{Credentials, Registry, RegistrySettings},
};

impl Connection {
    /// The brokers of a section. They know us as `client_id`.
    pub fn of<Own>(kafka: &Kafka<Own>, client_id: &str) -> Result<Self, SettingsError> {
        let tls = kafka.tls.then(|| Tls {
            ca: kafka.tls_ca.clone(),
            identity: kafka.tls_cert.clone().zip(kafka.tls_key.clone()),
        });
        let brokers = kafka
            .brokers
            .iter()
            .map(|broker| broker.as_str().to_owned());
        Ok(Self {
            brokers: brokers.collect(),
            client_id: client_id.to_owned(),
            tls,
            sasl: sasl(kafka)?,
        })
    }
}

impl Registry {
    /// The registry of a section.
    pub fn of<Own>(kafka: &Kafka<Own>) -> Result<Self, SettingsError> {
        let urls = kafka.registry_url.iter().flat_map(Urls::iter);
        let credentials = match (
            &kafka.registry_token,
            &kafka.registry_username,
            &kafka.registry_password,
        ) {
            (Some(token), ..) => Some(Credentials::Bearer(token.clone())),
            (None, Some(user), Some(password)) => Some(Credentials::Basic {
                user: user.clone(),
                password: password.clone(),
            }),
            _ => None,
        };
        Self::new(&RegistrySettings {
            urls: urls.map(str::to_owned).collect(),
            credentials,
            ca: kafka.registry_ca.clone(),
            patience: kafka.registry_timeout,
        })
    }
}

fn sasl<Own>(kafka: &Kafka<Own>) -> Result<Option<Sasl>, SettingsError> {
    let user = kafka.sasl_username.clone().unwrap_or_default();
    let secret = |value: &Option<Credential>| value.clone().unwrap_or_else(|| Credential::new(""));
    let password = secret(&kafka.sasl_password);
    Ok(Some(match kafka.sasl_mechanism {
        Mechanism::None => return Ok(None),
        Mechanism::Plain => Sasl::Plain { user, password },
        Mechanism::ScramSha256 => Sasl::ScramSha256 { user, password },
        Mechanism::ScramSha512 => Sasl::ScramSha512 { user, password },
        Mechanism::OAuthBearer => {
            let url = kafka.oauth_token_url.as_ref().map(OneUrl::as_str);
            let tokens = ClientCredentials::new(
                url.unwrap_or_default(),
                kafka.oauth_client_id.as_deref().unwrap_or_default(),
                &secret(&kafka.oauth_client_secret),
                kafka.oauth_scope.as_deref(),
                kafka.oauth_ca.as_ref(),
            )?;
            Sasl::OAuthBearer(Arc::new(tokens))
        }
    }))
}
