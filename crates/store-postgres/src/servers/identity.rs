//! Who answers: asked of each connection when it stands.

use std::time::Duration;

use tokio_postgres::{Client, Error};

/// What a server does in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It accepts writes on this timeline.
    Primary {
        /// Rises with each promotion.
        timeline: u32,
    },
    /// It is in recovery.
    Replica,
}

/// Who answers on a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The cluster's system identifier: a copy by pg_basebackup has the same.
    pub system: i64,
    /// As of when it was asked.
    pub role: Role,
    /// One run of one server: where it listens and when it was started. Two addresses that lead to
    /// the same server, and two servers behind one address, are told apart by it.
    pub run: String,
}

/// `pg_control_checkpoint()` still tells the old timeline for a while after a promotion; the name
/// of the file that is being written does not.
const WHO: &str = "select s.system_identifier,
       case when pg_is_in_recovery() then null
            else substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) end,
       concat_ws(' ', host(inet_server_addr()), inet_server_port(),
                 extract(epoch from pg_postmaster_start_time()))
  from pg_control_system() s";

impl Identity {
    /// Asks; `within` bounds the wait.
    pub(super) async fn ask(client: &Client, within: Duration) -> Result<Self, IdentityError> {
        let asked = tokio::time::timeout(within, client.query_one(WHO, &[]));
        let row = asked.await.map_err(|_| IdentityError::Silent)??;
        let timeline: Option<String> = row.try_get(1)?;
        let role = match timeline {
            None => Role::Replica,
            Some(hex) => Role::Primary {
                timeline: u32::from_str_radix(&hex, 16).map_err(|_| IdentityError::Unreadable)?,
            },
        };
        Ok(Self {
            system: row.try_get(0)?,
            role,
            run: row.try_get(2)?,
        })
    }
}

/// It did not say who it is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// No answer in time.
    #[error("it did not answer in time")]
    Silent,
    /// Not an answer of PostgreSQL.
    #[error("its timeline cannot be read")]
    Unreadable,
    /// The question failed.
    #[error(transparent)]
    Postgres(#[from] Error),
}
