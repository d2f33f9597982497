//! How brokers are reached.

use std::{env, path::PathBuf, sync::Arc};

use rdkafka::ClientConfig;
use sso_config::remote::Credential;

use crate::{ClientCredentials, context::Context};

/// How brokers are reached.
#[derive(Debug, Clone)]
pub struct Connection {
    /// `host:port` of some of them; the others are learnt.
    pub brokers: Vec<String>,
    /// What brokers call us in their logs and quotas.
    pub client_id: String,
    /// Without it everything is in clear.
    pub tls: Option<Tls>,
    /// Without it we are anonymous, or known by our certificate.
    pub sasl: Option<Sasl>,
}

/// TLS to brokers.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Roots (PEM) that brokers' certificates must lead to; without, those of this machine.
    pub ca: Option<PathBuf>,
    /// Our own certificate (PEM) and its key, where brokers ask for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Who we are to brokers.
#[derive(Debug, Clone)]
pub enum Sasl {
    /// RFC 4616.
    Plain {
        /// Our name.
        user: String,
        /// Sent as it is: only over TLS.
        password: Credential,
    },
    /// RFC 5802 and 7677.
    ScramSha256 {
        /// Our name.
        user: String,
        /// Never sent.
        password: Credential,
    },
    /// The same with a longer hash.
    ScramSha512 {
        /// Our name.
        user: String,
        /// Never sent.
        password: Credential,
    },
    /// RFC 7628, with tokens by RFC 6749, section 4.4.
    OAuthBearer(Arc<ClientCredentials>),
}

impl Connection {
    /// What every client of ours has in common. A broker that hangs is given up after three seconds,
    /// when another may lead already.
    pub(crate) fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.brokers.join(","))
            .set("client.id", &self.client_id)
            .set("socket.timeout.ms", "3000")
            .set("socket.connection.setup.timeout.ms", "3000")
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.refresh.interval.ms", "30000")
            .set("log.connection.close", "false");
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        if let Some(tls) = &self.tls {
            if let Some(roots) = tls.ca.clone().or_else(of_this_machine) {
                config.set("ssl.ca.location", roots.to_string_lossy());
            }
            if let Some((certificate, key)) = &tls.identity {
                config
                    .set("ssl.certificate.location", certificate.to_string_lossy())
                    .set("ssl.key.location", key.to_string_lossy());
            }
        }
        if let Some(sasl) = &self.sasl {
            sasl.configure(&mut config);
        }
        config
    }

    pub(crate) fn context(&self) -> Context {
        match &self.sasl {
            Some(Sasl::OAuthBearer(tokens)) => Context::new(Some(Arc::clone(tokens))),
            _ => Context::new(None),
        }
    }
}

/// Where this machine's roots lie, as for all our other TLS. OpenSSL that is linked into us would look
/// for them in the folder that it was built for, which is nowhere. librdkafka takes one place: of several
/// folders the first.
fn of_this_machine() -> Option<PathBuf> {
    let named = |variable| {
        let places = env::var_os(variable)?;
        env::split_paths(&places).find(|place| place.exists())
    };
    named("SSL_CERT_FILE")
        .or_else(|| named("SSL_CERT_DIR"))
        .or_else(|| openssl_probe::probe().cert_file)
        .or_else(|| openssl_probe::candidate_cert_dirs().next().map(Into::into))
}

impl Sasl {
    fn configure(&self, config: &mut ClientConfig) {
        let (mechanism, credentials) = match self {
            Self::Plain { user, password } => ("PLAIN", Some((user, password))),
            Self::ScramSha256 { user, password } => ("SCRAM-SHA-256", Some((user, password))),
            Self::ScramSha512 { user, password } => ("SCRAM-SHA-512", Some((user, password))),
            Self::OAuthBearer(_) => ("OAUTHBEARER", None),
        };
        config.set("sasl.mechanism", mechanism);
        if let Some((user, password)) = credentials {
            config
                .set("sasl.username", user)
                .set("sasl.password", password.reveal());
        }
    }
}
