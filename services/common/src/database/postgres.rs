//! PostgreSQL: a bounded pool of connections to the server that takes writes.

use std::{io, path::Path, str::FromStr, sync::Arc, time::Duration};

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio_postgres::{
    Config, NoTls,
    config::{Host, SslMode, TargetSessionAttrs},
    error::SqlState,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Database, Migrations, PostgresUrl, StoreError, judge_version, needed};
use crate::{Exit, Failed};

/// Under it versions are looked at and migrations run.
const MIGRATION_LOCK: i64 = 0x0073_736f_5f73_7663;

/// How many times longer than one statement a whole operation may take. The server's own limits end most
/// earlier; but a frozen one ends nothing, nor a COMMIT that waits for a standby.
const OPERATION: u32 = 3;
/// How long migrations may take, and whoever waits for them.
const MIGRATION_LIMITS: &str =
    "SET LOCAL statement_timeout = '10min'; SET LOCAL lock_timeout = '10min'";
/// But no migration waits so long for a table: whoever comes after it would wait, too.
const USUAL_LOCK_LIMIT: &str = "SET LOCAL lock_timeout = DEFAULT";

/// A pool. Cheap to clone.
#[derive(Clone)]
pub struct Postgres {
    pool: Pool,
    /// How long the whole of what is asked of it at once may take.
    pub(super) limit: Duration,
}

/// What a URL says.
pub(super) struct Parsed {
    config: Config,
    tls: bool,
}

/// Why a URL cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is none, or says what is not understood.
    Url,
    /// It asks for a mode that looks safe and is not, or that there is not.
    Mode,
}

impl Unread {
    /// What is said of `database.url`.
    pub(super) const fn sentence(self) -> &'static str {
        match self {
            Self::Url => "cannot be read",
            Self::Mode => {
                "its sslmode must be verify-full (TLS, and the certificate is of the host) or disable (in \
                 clear): the modes between look safe and are not"
            }
        }
    }
}

/// Reads a URL.
pub(super) fn parse(url: &PostgresUrl) -> Result<Parsed, Unread> {
    let text = url.reveal();
    if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
        return Err(Unread::Url);
    }
    let (base, query) = text.split_once('?').unwrap_or((text, ""));
    let mut mode = None;
    let mut kept = Vec::new();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("sslmode", wanted)) => mode = Some(wanted),
            Some(_) => kept.push(part),
            None => return Err(Unread::Url),
        }
    }
    let query = if kept.is_empty() { "" } else { "?" };
    let config = Config::from_str(&format!("{base}{query}{}", kept.join("&")));
    let mut config = config.map_err(|_| Unread::Url)?;
    if config.get_hosts().is_empty() {
        return Err(Unread::Url);
    }
    let local = config.get_hosts().iter().all(is_local);
    let tls = match mode {
        Some("disable") => false,
        Some("verify-full") => true,
        None => !local,
        Some(_) => return Err(Unread::Mode),
    };
    // The library's own default asks for TLS and goes on in clear where there is none.
    config.ssl_mode(if tls {
        SslMode::Require
    } else {
        SslMode::Disable
    });
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    Ok(Parsed { config, tls })
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(sso_config::is_loopback),
    }
}

impl Postgres {
    /// Makes the pool, and brings the database to its version if it may. Fails if there is no server.
    pub async fn open(
        url: &PostgresUrl,
        settings: &Database,
        program: &str,
        migrations: Migrations,
    ) -> Result<Self, Failed> {
        let postgres = Self::connect(url, settings, program)?;
        if settings.migrate {
            postgres.advance(migrations).await?;
        }
        let found = postgres.found().await?;
        judge_version(found, needed(migrations))?;
        Ok(postgres)
    }

    /// Makes the pool. Connects to nothing.
    pub fn connect(url: &PostgresUrl, settings: &Database, program: &str) -> Result<Self, Failed> {
        let wrong = |why: String| Failed::new(Exit::Configuration, why);
        let Parsed { mut config, tls } =
            parse(url).map_err(|why| wrong(format!("database.url: {}", why.sentence())))?;
        if config.get_password().is_none()
            && let Some(password) = &settings.password
        {
            config.password(password.reveal());
        }
        let patience = settings.timeout;
        let limits = format!(
            "{} -c statement_timeout={1} -c lock_timeout={1} \
             -c idle_in_transaction_session_timeout=60000",
            config.get_options().unwrap_or_default(),
            patience.as_millis()
        );
        config
            .options(limits)
            .application_name(program)
            .connect_timeout(patience)
            .tcp_user_timeout(patience)
            .keepalives_idle(Duration::from_secs(5));
        // One whose last question nobody waited for answers no other in time, and is closed.
        let recycling = ManagerConfig {
            recycling_method: RecyclingMethod::Verified,
        };
        let manager = if tls {
            let tls = connector(settings.tls_ca.as_deref()).map_err(wrong)?;
            Manager::from_config(config, tls, recycling)
        } else {
            Manager::from_config(config, NoTls, recycling)
        };
        let timeouts = Timeouts {
            wait: Some(patience),
            create: Some(patience),
            recycle: Some(patience),
        };
        let pool = Pool::builder(manager)
            .max_size(settings.max_connections)
            .timeouts(timeouts)
            .runtime(Runtime::Tokio1)
            .build();
        let pool = pool.map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            pool,
            limit: patience.saturating_mul(OPERATION),
        })
    }

    /// A connection.
    pub async fn get(&self) -> Result<Object, StoreError> {
        let got = self.pool.get().await;
        got.map_err(|error| StoreError::Unavailable(crate::exit::sentence(&error)))
    }

    /// The version of the database, and the one that is needed.
    pub async fn versions(&self, migrations: Migrations) -> Result<(u32, u32), Failed> {
        Ok((self.found().await?, needed(migrations)))
    }

    async fn found(&self) -> Result<u32, StoreError> {
        let client = self.get().await?;
        let made = "SELECT to_regclass('service_version') IS NOT NULL";
        if !client.query_one(made, &[]).await?.get::<_, bool>(0) {
            return Ok(0);
        }
        let newest = "SELECT coalesce(max(version), 0) FROM service_version";
        let found: i32 = client.query_one(newest, &[]).await?.get(0);
        Ok(u32::try_from(found).unwrap_or_default())
    }

    /// Brings the database to its version. Of several instances one does it, the others wait, ten minutes at
    /// most.
    pub async fn advance(&self, migrations: Migrations) -> Result<(), StoreError> {
        let mut client = self.get().await?;
        let transaction = client.transaction().await?;
        transaction.batch_execute(MIGRATION_LIMITS).await?;
        transaction
            .query_one("SELECT pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK])
            .await?;
        transaction.batch_execute(USUAL_LOCK_LIMIT).await?;
        transaction
            .batch_execute(
                "CREATE TABLE IF NOT EXISTS service_version (
                    version integer PRIMARY KEY,
                    at timestamptz NOT NULL DEFAULT now()
                )",
            )
            .await?;
        let newest = "SELECT coalesce(max(version), 0) FROM service_version";
        let found: i32 = transaction.query_one(newest, &[]).await?.get(0);
        for (number, text) in (1_i32..)
            .zip(migrations)
            .filter(|(number, _)| *number > found)
        {
            transaction.batch_execute(text).await?;
            let note = "INSERT INTO service_version (version) VALUES ($1)";
            transaction.execute(note, &[&number]).await?;
        }
        Ok(transaction.commit().await?)
    }
}

fn connector(ca: Option<&Path>) -> Result<MakeRustlsConnect, String> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(file) => {
            let wrong =
                |why: &dyn std::fmt::Display| format!("database.tls_ca: {}: {why}", file.display());
            let found = CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))?;
            for certificate in found {
                let certificate = certificate.map_err(|error| wrong(&error))?;
                roots.add(certificate).map_err(|error| wrong(&error))?;
            }
            if roots.is_empty() {
                return Err(wrong(&"there is no certificate in it"));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let text = crate::exit::sentence(&error);
        let Some(state) = error.code() else {
            return Self::Unavailable(text);
        };
        let passing = [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::READ_ONLY_SQL_TRANSACTION,
            SqlState::QUERY_CANCELED,
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::TOO_MANY_CONNECTIONS,
        ];
        let class = state.code().get(..2).unwrap_or_default();
        if passing.contains(state) || ["08", "53", "57", "58"].contains(&class) {
            Self::Unavailable(text)
        } else if class == "XX" {
            Self::Damaged(text)
        } else {
            Self::Refused(text)
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, net::TcpListener, thread};

    use super::*;
    use crate::database::DatabaseUrl;

    #[test]
    fn tls_is_checked_or_not_there_and_nothing_between() {
        let read = |host: &str, query: &str| {
            let url: DatabaseUrl = format!("postgres://u@{host}/d{query}").parse().unwrap();
            let DatabaseUrl::Postgres(url) = url else {
                panic!("{host}");
            };
            parse(&url).map(|parsed| parsed.tls)
        };
        assert_eq!(read("db1,db2", ""), Ok(true));
        assert_eq!(read("localhost,127.0.0.1", ""), Ok(false));
        for host in ["db1", "127.0.0.1"] {
            assert_eq!(read(host, "?sslmode=verify-full"), Ok(true));
            assert_eq!(read(host, "?sslmode=disable"), Ok(false));
            for mode in ["require", "prefer", "allow", "verify-ca", "Disable", ""] {
                let query = format!("?sslmode={mode}&connect_timeout=1");
                assert_eq!(read(host, &query), Err(Unread::Mode), "{mode}");
            }
        }
        for bad in [
            "postgres://u@db1/d?sslmode",
            "postgres:///d?a=b",
            "mysql://x",
        ] {
            assert!(bad.parse::<DatabaseUrl>().is_err(), "{bad}");
        }
    }

    /// Who is on the way to the server answers that it has no TLS, and waits for the password.
    #[tokio::test]
    async fn a_server_without_tls_is_told_nothing_where_tls_is_wanted() {
        for (mode, talks) in [("verify-full", false), ("disable", true)] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let server = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut first = [0; 8];
                stream.read_exact(&mut first).unwrap();
                io::Write::write_all(&mut stream, b"N").unwrap();
                let mut rest = Vec::new();
                stream
                    .set_read_timeout(Some(Duration::from_secs(2)))
                    .unwrap();
                let _ = stream.read_to_end(&mut rest);
                (first, rest)
            });
            let url = format!("postgres://loyalty:secret@{address}/loyalty?sslmode={mode}");
            let Ok(DatabaseUrl::Postgres(url)) = url.parse() else {
                panic!("{url}");
            };
            let settings = Database {
                timeout: Duration::from_secs(1),
                ..Database::default()
            };
            let postgres = Postgres::connect(&url, &settings, "loyalty").unwrap();
            let refused = postgres.get().await.unwrap_err();
            assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
            let (first, rest) = server.join().unwrap();
            let asked_for_tls = first == [0, 0, 0, 8, 4, 210, 22, 47];
            assert_eq!(asked_for_tls, !talks, "{mode}");
            assert_eq!(rest.is_empty(), !talks, "{mode}: {rest:?}");
        }
    }
}
