//! A user's own sessions.

use crate::{
    caller::{Caller, NotAllowed},
    failure::{Failure, Kind},
    ports::{
        StoreError, TokenSubject,
        store::{AuditAction, Reach, Session},
    },
    sso::Sso,
    usecases::{
        logout::{self, One},
        once_more::once_more,
    },
    values::SessionId,
};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SessionsError {
    /// Only users have sessions.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// Foreign, unknown, malformed, over: all alike.
    #[error("no such session")]
    NotFound,
    /// The store did not do it, or its answer was lost.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<SessionsError> for Failure {
    fn from(error: SessionsError) -> Self {
        match error {
            SessionsError::NotAllowed(error) => error.into(),
            SessionsError::NotFound => Self::new(Kind::NotFound, "not_found", "no such session"),
            SessionsError::Store(error) => error.into(),
        }
    }
}

/// A live session, and whether it is the one that the caller's token belongs to.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The row.
    pub session: Session,
    /// The caller's.
    pub current: bool,
}

/// The caller's live sessions, newest first.
pub async fn list(sso: &Sso, caller: &Caller) -> Result<Vec<Listed>, SessionsError> {
    let claims = caller.user()?;
    let sessions = sso.store.live_sessions(claims.user, sso.alive()).await?;
    let listed = |session: Session| Listed {
        current: session.id == claims.session,
        session,
    };
    Ok(sessions.into_iter().map(listed).collect())
}

/// Ends one of the caller's sessions; the current one is a logout.
pub async fn end(sso: &Sso, caller: &Caller, id: &str) -> Result<Reach, SessionsError> {
    let claims = caller.user()?;
    let session = SessionId::parse(id).map_err(|_| SessionsError::NotFound)?;
    let subject = TokenSubject {
        user: claims.user,
        session,
    };
    sso.confirmed(|| async {
        // What has ended otherwise than by itself is in no list either.
        let alive = sso.store.live_sessions(claims.user, sso.not_expired());
        let alive = alive.await?;
        if !alive.iter().any(|found| found.id == session) {
            return Err(SessionsError::NotFound);
        }
        match once_more(|| logout::end_one(sso, caller, subject, AuditAction::SessionEnd)).await? {
            One::Now(reach) => Ok(reach),
            One::Before(_) | One::Unknown => Err(SessionsError::NotFound),
        }
    })
    .await
}
