//! Makes connections, each within its time.

use std::{fs, path::PathBuf, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, IntoConnectionInfo,
    RedisConnectionInfo, TlsCertificates, aio::MultiplexedConnection,
};
use tokio::time::timeout;

use crate::{
    sentence::{Problem, Whose},
    settings::{Access, Address, Settings, SettingsError, Target},
};

/// Most commands under way on a connection; more wait, each for its own time.
const MOST_UNDER_WAY: usize = 1024;

/// Makes connections by settings.
pub(crate) struct Connector {
    settings: Settings,
    tls: Option<TlsCertificates>,
}

impl Connector {
    /// Reads the files of TLS.
    pub(crate) fn new(settings: Settings) -> Result<Self, SettingsError> {
        let read = |path: &PathBuf| {
            fs::read(path).map_err(|error| SettingsError::File {
                path: path.clone(),
                error,
            })
        };
        let tls = match &settings.tls {
            None => None,
            Some(tls) => Some(TlsCertificates {
                root_cert: tls.ca.as_ref().map(read).transpose()?,
                client_tls: match &tls.identity {
                    None => None,
                    Some((certificate, key)) => Some(ClientTlsConfig {
                        client_cert: read(certificate)?,
                        client_key: read(key)?,
                    }),
                },
            }),
        };
        let connector = Self { settings, tls };
        let anywhere = Address {
            host: "localhost".to_owned(),
            port: 6379,
        };
        connector
            .client(&anywhere, Whose::Server)
            .map_err(|error| SettingsError::Tls(error.to_string()))?;
        Ok(connector)
    }

    pub(crate) fn target(&self) -> &Target {
        &self.settings.target
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        self.settings.connect_timeout
    }

    pub(crate) fn command_timeout(&self) -> Duration {
        self.settings.command_timeout
    }

    /// Connects and shows who we are. Each command gives up after `patience`.
    pub(crate) async fn connect(
        &self,
        address: &Address,
        whose: Whose,
        patience: Duration,
    ) -> Result<MultiplexedConnection, Problem> {
        let limit = self.settings.connect_timeout;
        let failed = |error| Problem::of(address, whose, self.settings.tls.is_some(), &error);
        let client = self.client(address, whose).map_err(failed)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(limit))
            .set_response_timeout(Some(patience))
            .set_concurrency_limit(MOST_UNDER_WAY);
        let connect = client.get_multiplexed_async_connection_with_config(&config);
        match timeout(limit, connect).await {
            Ok(connected) => connected.map_err(failed),
            Err(_) => Err(Problem::silent(
                address,
                whose,
                self.settings.tls.is_some(),
                limit,
            )),
        }
    }

    /// What an error of a command means.
    pub(crate) fn problem(
        &self,
        address: &Address,
        whose: Whose,
        error: &redis::RedisError,
    ) -> Problem {
        Problem::of(address, whose, self.settings.tls.is_some(), error)
    }

    pub(crate) fn client(&self, address: &Address, whose: Whose) -> redis::RedisResult<Client> {
        let (host, port) = (address.host.clone(), address.port);
        let to = match self.tls {
            None => ConnectionAddr::Tcp(host, port),
            Some(_) => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            },
        };
        let (access, database) = match whose {
            Whose::Server => (&self.settings.access, self.settings.database),
            Whose::Sentinel => (&self.settings.sentinel_access, 0),
        };
        let info = to
            .into_connection_info()?
            .set_redis_settings(of(access, database));
        match &self.tls {
            None => Client::open(info),
            Some(certificates) => Client::build_with_tls(info, certificates.clone()),
        }
    }
}

/// Without CLIENT SETINFO: an ACL user need not be allowed it.
fn of(access: &Access, database: u16) -> RedisConnectionInfo {
    let mut info = RedisConnectionInfo::default()
        .set_db(i64::from(database))
        .set_skip_set_lib_name();
    if let Some(username) = &access.username {
        info = info.set_username(username);
    }
    if let Some(password) = &access.password {
        info = info.set_password(password.reveal());
    }
    info
}
