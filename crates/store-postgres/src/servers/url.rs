//! Addresses of servers.

use std::{fmt, str::FromStr};

use tokio_postgres::{
    Config,
    config::{Host, SslMode as Negotiated},
};

/// How much a connection is protected: the words of libpq.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// In clear.
    Disable,
    /// By TLS if the server can, whoever it is.
    Prefer,
    /// By TLS; with a CA given as `VerifyCa`, else whoever it is.
    Require,
    /// By TLS, and the certificate is signed by a CA that is trusted.
    VerifyCa,
    /// And it is of the host that was asked for.
    VerifyFull,
}

/// `postgres://user:password@host1:port,host2/database?sslmode=verify-full`. It prints without the
/// password.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    config: Config,
    ssl_mode: SslMode,
}

/// Not the address of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(&'static str);

impl ServerUrl {
    /// How many servers it names.
    pub fn count(&self) -> usize {
        self.config.get_hosts().len()
    }

    /// How it is to be protected.
    pub fn ssl_mode(&self) -> SslMode {
        self.ssl_mode
    }

    /// Uses this password, in place of the URL's.
    pub fn set_password(&mut self, password: &str) {
        self.config.password(password);
    }

    /// Whether the URL has a password.
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }

    /// Whether it does not leave this machine.
    pub fn is_local(&self) -> bool {
        self.config.get_hosts().iter().all(|host| match host {
            Host::Tcp(name) => {
                let address = name.parse::<std::net::IpAddr>();
                name == "localhost" || address.is_ok_and(|address| address.is_loopback())
            }
            Host::Unix(_) => true,
        })
    }

    /// Each host with its port.
    pub(super) fn hosts(&self) -> Vec<(Host, u16)> {
        let ports = self.config.get_ports();
        let port = |at: usize| ports.get(at).or_else(|| ports.first()).copied();
        let hosts = self.config.get_hosts().iter().enumerate();
        hosts
            .map(|(at, host)| (host.clone(), port(at).unwrap_or(5432)))
            .collect()
    }

    /// What is the same for all of its hosts.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }
}

impl FromStr for ServerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(UrlError("it does not begin with postgres://"));
        }
        let (address, parameters) = text.split_once('?').unwrap_or((text, ""));
        let mut ssl_mode = SslMode::Prefer;
        let mut others = Vec::new();
        for parameter in parameters.split('&').filter(|part| !part.is_empty()) {
            match parameter.split_once('=') {
                Some(("sslmode", mode)) => ssl_mode = SslMode::of(mode)?,
                _ => others.push(parameter),
            }
        }
        let rest = format!("{address}?{}", others.join("&"));
        let mut config: Config = rest
            .parse()
            .map_err(|_| UrlError("it has a part that PostgreSQL's URLs do not have"))?;
        if config.get_hosts().is_empty() {
            return Err(UrlError("it names no host"));
        }
        if config.get_ports().len() > 1 && config.get_ports().len() != config.get_hosts().len() {
            return Err(UrlError("it has not one port for each host"));
        }
        if config.get_dbname().is_none_or(str::is_empty) {
            return Err(UrlError("it names no database"));
        }
        config.ssl_mode(match ssl_mode {
            SslMode::Disable => Negotiated::Disable,
            SslMode::Prefer => Negotiated::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => Negotiated::Require,
        });
        Ok(Self { config, ssl_mode })
    }
}

impl SslMode {
    fn of(word: &str) -> Result<Self, UrlError> {
        Ok(match word {
            "disable" => Self::Disable,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => {
                return Err(UrlError(
                    "sslmode must be disable, prefer, require, verify-ca or verify-full",
                ));
            }
        })
    }

    /// The word of libpq.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// A host and its port as a person writes them.
pub(super) fn written(host: &Host, port: u16) -> String {
    match host {
        Host::Tcp(name) if name.contains(':') => format!("[{name}]:{port}"),
        Host::Tcp(name) => format!("{name}:{port}"),
        Host::Unix(folder) => format!("{}:{port}", folder.display()),
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<_> = self
            .hosts()
            .iter()
            .map(|(host, port)| written(host, *port))
            .collect();
        let database = self.config.get_dbname().unwrap_or_default();
        f.write_str("postgres://")?;
        if let Some(user) = self.config.get_user() {
            write!(f, "{user}@")?;
        }
        write!(
            f,
            "{}/{database}?sslmode={}",
            hosts.join(","),
            self.ssl_mode.as_str()
        )
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerUrl({self})")
    }
}
