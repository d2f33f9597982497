//! Who answers: asked of each connection when it stands, and of some again and again.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_postgres::{Client, Error, SimpleQueryMessage, SimpleQueryRow};
use uuid::Uuid;

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

impl Role {
    /// On which it accepts writes; 0: it does not.
    pub(crate) const fn timeline(self) -> u32 {
        match self {
            Self::Primary { timeline } => timeline,
            Self::Replica => 0,
        }
    }
}

/// Who answers on a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The cluster's system identifier: a copy by pg_basebackup has the same.
    pub system: i64,
    /// As of when it was asked last.
    pub role: Role,
    /// Of a replica: the timeline that its data are on. It is of the past only where they were: what
    /// was on a later one goes to an earlier one by a rewind or a new copy alone. `None`: a primary.
    pub follows: Option<u32>,
    /// One run of one server: where it listens and when it was started. Two addresses that lead to
    /// one server are known by it to be one, two servers behind one address to be two.
    pub run: Arc<str>,
}

/// A server's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerTime {
    /// Since 1970.
    said: Duration,
    at: Instant,
    /// The round trip.
    within: Duration,
}

impl ServerTime {
    /// It said so at `at`, or up to half of `within` before or after that.
    pub(super) fn of(said: Duration, at: Instant, within: Duration) -> Self {
        Self { said, at, within }
    }

    /// What it says at `now`.
    pub(super) fn at(&self, now: Instant) -> Duration {
        self.said + now.saturating_duration_since(self.at)
    }

    /// Whether it was said so soon that it can be compared by.
    pub(super) fn is_sharp(&self) -> bool {
        self.within < Duration::from_secs(1)
    }
}

/// `pg_control_checkpoint()` still tells the old timeline for a while after a promotion; the name
/// of the file that is being written does not. What a standby must replay at least tells it where the
/// checkpoint does not yet.
const WHO: &str = "select s.system_identifier,
       case when pg_is_in_recovery() then null
            else substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) end,
       concat_ws(' ', host(inet_server_addr()), inet_server_port(),
                 extract(epoch from pg_postmaster_start_time())),
       extract(epoch from clock_timestamp()),
       greatest(c.timeline_id, r.min_recovery_end_timeline)
  from pg_control_system() s, pg_control_checkpoint() c, pg_control_recovery() r";

impl Identity {
    /// The address and port of the server's end of the connection; `None`: it is no connection over TCP.
    pub(super) fn listens_at(&self) -> Option<(IpAddr, u16)> {
        let mut words = self.run.split(' ');
        Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
    }

    /// Asks, in one round trip; `within` bounds the wait.
    pub(super) async fn ask(
        client: &Client,
        within: Duration,
    ) -> Result<(Self, ServerTime), IdentityError> {
        let asked = Instant::now();
        let row = row(client, WHO, within).await?;
        let heard = Instant::now();
        let row = row.ok_or(IdentityError::Unreadable)?;
        let text = |column: usize| row.try_get(column).map_err(IdentityError::Postgres);
        let readable =
            |text: Option<&str>| text.ok_or(IdentityError::Unreadable).map(str::to_owned);
        let (role, follows) = match text(1)? {
            None => {
                let follows = readable(text(4)?)?.parse();
                let follows = follows.map_err(|_| IdentityError::Unreadable)?;
                (Role::Replica, Some(follows))
            }
            Some(hex) => {
                let timeline = u32::from_str_radix(hex, 16);
                let timeline = timeline.map_err(|_| IdentityError::Unreadable)?;
                (Role::Primary { timeline }, None)
            }
        };
        let system = readable(text(0)?)?;
        let said: f64 = readable(text(3)?)?
            .parse()
            .map_err(|_| IdentityError::Unreadable)?;
        let said = Duration::try_from_secs_f64(said).map_err(|_| IdentityError::Unreadable)?;
        let way = heard - asked;
        let time = ServerTime::of(said, asked + way / 2, way);
        let identity = Self {
            system: system.parse().map_err(|_| IdentityError::Unreadable)?,
            role,
            follows,
            run: readable(text(2)?)?.into(),
        };
        Ok((identity, time))
    }
}

/// The number of the newest beat of `reader` that this server shows. `None`: it has no such row.
pub(super) async fn beat(
    client: &Client,
    reader: Uuid,
    within: Duration,
) -> Result<Option<i64>, IdentityError> {
    let question = format!("select beat from readers where id = '{reader}'");
    let Some(row) = row(client, &question, within).await? else {
        return Ok(None);
    };
    let beat = row.try_get(0)?.and_then(|text| text.parse().ok());
    beat.map(Some).ok_or(IdentityError::Unreadable)
}

async fn row(
    client: &Client,
    question: &str,
    within: Duration,
) -> Result<Option<SimpleQueryRow>, IdentityError> {
    let asked = tokio::time::timeout(within, client.simple_query(question)).await;
    let answer = asked.map_err(|_| IdentityError::Silent)??;
    Ok(answer.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    }))
}

/// It did not say who it is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// No answer in time.
    #[error("it did not answer in time")]
    Silent,
    /// Not an answer of PostgreSQL.
    #[error("its answer cannot be read")]
    Unreadable,
    /// The question failed.
    #[error("{}", super::errors::sentence(.0))]
    Postgres(#[from] Error),
}
