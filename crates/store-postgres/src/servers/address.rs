//! One address: how a connection to it is made.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{io, task::JoinHandle};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Socket, config::Host, error::Severity};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    Identity, OpenError, ServerUrl, Settings, errors::ConnectError, identity::ServerTime, tls,
    url::written,
};

/// A session that does nothing inside a transaction for longer holds locks for nothing.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10);

/// Every statement of ours finds its rows by a key or a bounded range of an index, and joins few of
/// them. A plan that reads a whole table is right only for the moment at which it was made: the server keeps
/// it, and takes a table that was small then, or keys that are newer than its statistics (a `UUIDv7` always is),
/// for small ones until it analyses them again. So these plans stay what is left when there is no other.
/// They have no place for JIT either, which the cost of such a plan would call for.
const PLANS: &str =
    "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off";

/// One address of the configuration.
pub(super) struct Address {
    /// As a person writes it, for logs and metrics.
    pub(super) name: String,
    /// It was given as the replicas' only.
    pub(super) replica: bool,
    host: Host,
    port: u16,
    config: Config,
    tls: Option<MakeRustlsConnect>,
    within: Duration,
}

/// A connection that stands.
pub(super) struct Made {
    pub(super) client: Client,
    pub(super) driver: JoinHandle<()>,
    pub(super) warnings: Arc<AtomicU64>,
    pub(super) identity: Identity,
    pub(super) time: ServerTime,
}

impl Address {
    /// All addresses of the settings, each once: first those of `url`.
    pub(super) fn all(settings: &Settings) -> Result<Vec<Self>, OpenError> {
        let mut all: Vec<Self> = Vec::new();
        let urls = settings.replicas.iter().map(|url| (url, true));
        for (url, replica) in std::iter::once((&settings.url, false)).chain(urls) {
            let tls = tls::connector(url.ssl_mode(), &settings.tls)?;
            for (host, port) in url.hosts() {
                let name = written(&host, port);
                if all.iter().any(|known| known.name == name) {
                    continue;
                }
                let config = config(url, &host, port, settings);
                all.push(Self {
                    name,
                    replica,
                    host,
                    port,
                    config,
                    tls: tls.clone(),
                    within: settings.connect_timeout,
                });
            }
        }
        Ok(all)
    }

    /// Connects, and asks who answers.
    pub(super) async fn connect(&self) -> Result<Made, ConnectError> {
        let connected = tokio::time::timeout(self.within, self.open()).await;
        connected.map_err(|_| ConnectError::Timeout)?
    }

    /// Whether the server that answers is itself what is addressed, and the name has no other address. If it is
    /// not, whatever lies between may lead to another server next time. A balancer that leaves the server its
    /// own address (direct server return) cannot be told from none.
    pub(super) async fn is_itself(&self, who: &Identity) -> bool {
        match (&self.host, who.listens_at()) {
            (Host::Unix(_), None) => true,
            (Host::Tcp(name), Some((address, port))) if port == self.port => {
                let found = tokio::net::lookup_host((name.as_str(), port));
                let found = tokio::time::timeout(self.within, found).await;
                let Ok(Ok(mut found)) = found else {
                    return false;
                };
                found.all(|one| one.ip() == address)
            }
            _ => false,
        }
    }

    async fn open(&self) -> Result<Made, ConnectError> {
        let warnings = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&warnings);
        let (client, driver) = match &self.tls {
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                (client, tokio::spawn(drive(connection, counted)))
            }
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                (client, tokio::spawn(drive(connection, counted)))
            }
        };
        let (identity, time) = Identity::ask(&client, self.within).await?;
        Ok(Made {
            client,
            driver,
            warnings,
            identity,
            time,
        })
    }
}

fn config(url: &ServerUrl, host: &Host, port: u16, settings: &Settings) -> Config {
    let (given, mut config) = (url.config(), Config::new());
    if let Some(user) = given.get_user() {
        config.user(user);
    }
    if let Some(password) = given.get_password() {
        config.password(password);
    }
    if let Some(database) = given.get_dbname() {
        config.dbname(database);
    }
    match host {
        Host::Tcp(name) => config.host(name),
        Host::Unix(folder) => config.host_path(folder),
    };
    let milliseconds = Duration::as_millis;
    // A later one is obeyed: the operator has the last word on plans, and not on what bounds a wait, nor on the
    // WARNINGs, which tell a COMMIT from one whose wait for a standby was cancelled.
    let options = format!(
        "{PLANS} {} -c client_min_messages=warning -c statement_timeout={} -c lock_timeout={} \
         -c idle_in_transaction_session_timeout={}",
        given.get_options().unwrap_or_default(),
        milliseconds(&settings.statement_timeout),
        milliseconds(&settings.lock_timeout),
        milliseconds(&IDLE_IN_TRANSACTION),
    );
    config
        .port(port)
        .ssl_mode(given.get_ssl_mode())
        .channel_binding(given.get_channel_binding())
        .application_name(&settings.application_name)
        .options(options)
        .connect_timeout(settings.connect_timeout)
        .keepalives(true)
        .keepalives_idle(settings.keepalive)
        .keepalives_interval(settings.keepalive)
        .keepalives_retries(3)
        .tcp_user_timeout(settings.tcp_user_timeout);
    config
}

/// Moves bytes until the connection ends. A WARNING is counted before the answer that it belongs
/// to is handed on.
async fn drive<T>(mut connection: tokio_postgres::Connection<Socket, T>, warnings: Arc<AtomicU64>)
where
    T: io::AsyncRead + io::AsyncWrite + Unpin,
{
    while let Some(Ok(message)) =
        std::future::poll_fn(|context| connection.poll_message(context)).await
    {
        if let AsyncMessage::Notice(notice) = message
            && notice.parsed_severity() == Some(Severity::Warning)
        {
            warnings.fetch_add(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::TlsSettings, *};

    #[test]
    fn a_host_that_is_named_twice_is_one_address() {
        let mut settings = Settings::new("postgres://u@a,b:6/d?sslmode=disable".parse().unwrap());
        settings.replicas = vec!["postgres://u@b:6,c/d?sslmode=disable".parse().unwrap()];
        let all = Address::all(&settings).unwrap();
        let found: Vec<_> = all
            .iter()
            .map(|one| (one.name.as_str(), one.replica))
            .collect();
        assert_eq!(found, [("a:5432", false), ("b:6", false), ("c:5432", true)]);
    }

    #[test]
    fn sslmodes_and_certificates_that_do_not_go_together_are_refused() {
        let problem = |mode: &str, ca: bool| {
            let url = format!("postgres://u@a/d?sslmode={mode}");
            let mut settings = Settings::new(url.parse().unwrap());
            settings.tls = TlsSettings {
                ca: ca.then(|| "/nowhere/ca.pem".into()),
                ..TlsSettings::default()
            };
            Address::all(&settings).err().map(|error| error.to_string())
        };
        assert_eq!(problem("disable", false), None);
        assert_eq!(problem("require", false), None);
        assert_eq!(
            problem("verify-full", false).unwrap(),
            "sslmode=verify-full of database.url needs database.tls_ca, the CA's certificate (for \
             a public one the system's bundle)"
        );
        assert_eq!(
            problem("prefer", true).unwrap(),
            "database.tls_ca has no effect with sslmode=prefer in database.url: write \
             sslmode=verify-full"
        );
        assert!(
            problem("verify-ca", true)
                .unwrap()
                .starts_with("database.tls_ca: /nowhere/ca.pem: ")
        );
    }
}
