//! Refresh: one compare-and-swap; a token that comes a second time after the grace ends the
//! session (RFC 9700, 4.14.2).

use metrics::counter;

use crate::{
    audit::Repeat,
    caller::{Caller, Network},
    failure::{BadFields, Failure, Fields},
    metrics::{REFRESH_REUSE, REFRESH_UNKNOWN},
    ports::{
        RefreshClaims, SignError, StoreError, TokenRefused,
        store::{AuditAction, AuditResult, Ended, Revoked, Rotate, Rotation, Session},
    },
    sso::Sso,
    usecases::{SignedIn, once_more::once_more},
    values::UserId,
};

/// A refresh token, unverified.
pub struct Refresh<'a>(&'a str);

impl<'a> Refresh<'a> {
    /// `field` is the token's name on the wire, `fields` what the transport has found wrong already.
    pub fn parse(
        field: &'static str,
        token: Option<&'a str>,
        mut fields: Fields,
    ) -> Result<Self, BadFields> {
        let token = fields.required(field, token, Ok);
        fields.finish(token).map(Self)
    }
}

/// Why there are no new tokens.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The token is bad, or its session over.
    #[error(transparent)]
    Token(#[from] TokenRefused),
    /// The store did not do it, or its answer was lost.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The token was not signed.
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl From<RefreshError> for Failure {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::Token(refused) => refused.into(),
            RefreshError::Store(error) => error.into(),
            RefreshError::Sign(error) => error.into(),
        }
    }
}

/// Rotates the session of a refresh token and signs the next pair.
pub async fn refresh(
    sso: &Sso,
    caller: &Caller,
    request: &Refresh<'_>,
) -> Result<SignedIn, RefreshError> {
    let claims = sso.tokens.verify_refresh(request.0, sso.clock.now())?;
    sso.confirmed(|| rotate(sso, caller, &claims)).await
}

async fn rotate(
    sso: &Sso,
    caller: &Caller,
    claims: &RefreshClaims,
) -> Result<SignedIn, RefreshError> {
    let rotate = Rotate {
        session: claims.session,
        generation: claims.generation,
        now: sso.now(),
        used_after: sso.alive().used_after,
        grace: sso.policy.refresh_grace,
    };
    match sso.store.rotate(rotate).await? {
        Rotation::Rotated(rows) => Ok(sso.issue(&rows.user, &rows.session, rotate.now)?),
        Rotation::Replayed(rows) => {
            note_replay(sso, caller, &rows.session);
            Ok(sso.issue(&rows.user, &rows.session, rotate.now)?)
        }
        Rotation::Reused(session) => {
            once_more(|| end_stolen(sso, caller, &session, claims.generation)).await?;
            Err(TokenRefused::Revoked.into())
        }
        // The leeway is for the clocks of others: the session's end is our own.
        Rotation::Over if claims.expires_at <= rotate.now => Err(TokenRefused::Expired.into()),
        Rotation::Unknown => {
            note_unknown(claims.user);
            Err(TokenRefused::Revoked.into())
        }
        Rotation::Late | Rotation::Over => Err(TokenRefused::Revoked.into()),
    }
}

/// Of rows that are swept only tokens are left that have ended long ago. Many at once after a failover
/// were lost by it.
fn note_unknown(user: UserId) {
    counter!(REFRESH_UNKNOWN).increment(1);
    tracing::info!(user_id = %user, "a refresh token's session is not there");
}

/// From another network than the session's it may be a client that moves, or a thief who was quick.
fn note_replay(sso: &Sso, caller: &Caller, session: &Session) {
    if caller.origin.network() == Network::of(session.address) {
        return;
    }
    let repeat = Repeat {
        action: AuditAction::RefreshReplay,
        result: AuditResult::Success,
        user: Some(session.user),
        session: Some(session.id),
        detail: None,
    };
    sso.note(caller, repeat);
}

async fn end_stolen(
    sso: &Sso,
    caller: &Caller,
    session: &Session,
    generation: u64,
) -> Result<(), StoreError> {
    let mut tx = sso.store.begin().await?;
    let Ended::Now(_) = tx
        .end_session(session.id, Some(session.user), sso.now())
        .await?
    else {
        return Ok(());
    };
    // Refused: the token was, and that is what the record is about.
    let record = sso
        .record(caller, AuditAction::RefreshReuse)
        .about(session.user)
        .of_session(session.id)
        .refused();
    sso.commit_over(tx, Revoked::Session(session.id), &record)
        .await?;
    counter!(REFRESH_REUSE).increment(1);
    tracing::warn!(
        user_id = %session.user,
        session_id = %session.id,
        generation,
        current_generation = session.generation,
        "a refresh token was used again after the grace: the session is ended"
    );
    Ok(())
}
