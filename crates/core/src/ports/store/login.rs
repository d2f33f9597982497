use std::time::Duration;

use time::OffsetDateTime;

use super::{
    Liveness, NewAudit, NewRevocation, NewSession, Revocation, Revoked, Session, StoreError, Tx,
    User,
};
use crate::values::Version;

/// Until when a revocation can concern a token, once it is known how long tokens live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Until {
    /// At least until then, by the life that this process gives.
    pub least: OffsetDateTime,
    /// And until so long after this as tokens were ever made to live.
    pub from: OffsetDateTime,
}

impl Until {
    /// Where tokens have been made to live up to `longest`.
    pub fn with(&self, longest: Duration) -> OffsetDateTime {
        self.least.max(self.from + longest)
    }
}

/// A login whose password was right: all that it writes.
#[derive(Debug, Clone, Copy)]
pub struct NewLogin<'a> {
    /// To be opened if the user is not disabled and his version is still `seen`.
    pub session: &'a NewSession,
    /// What the password was right for.
    pub seen: Version,
    /// How many live sessions the user keeps; the oldest beyond end.
    pub keep: u32,
    /// When a session is alive.
    pub alive: Liveness,
    /// How long it matters that one has ended.
    pub until: Until,
    /// Told to the audit log.
    pub record: &'a NewAudit,
}

/// What a login has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedIn {
    /// Under which it was opened.
    pub user: User,
    /// The new one.
    pub session: Session,
    /// Of the sessions that ended for it.
    pub ended: Vec<Revocation>,
}

/// The steps of a login in one transaction that is not committed yet. `None`: what was seen is
/// stale, and nothing was written.
pub(super) async fn steps(
    tx: &mut dyn Tx,
    login: &NewLogin<'_>,
) -> Result<Option<LoggedIn>, StoreError> {
    let Some((user, session)) = tx.open_session(login.session, login.seen).await? else {
        return Ok(None);
    };
    let surplus = tx
        .end_oldest_sessions(user.id, login.keep, login.alive)
        .await?;
    let mut ended = Vec::with_capacity(surplus.len());
    if !surplus.is_empty() {
        let until = login.until.with(tx.longest_access_life().await?);
        for session in surplus {
            let revoked = Revoked::Session(session.id);
            ended.push(tx.revoke(&NewRevocation { revoked, until }).await?);
        }
    }
    tx.append_audit(login.record).await?;
    Ok(Some(LoggedIn {
        user,
        session,
        ended,
    }))
}
