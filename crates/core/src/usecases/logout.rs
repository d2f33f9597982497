//! Logout, by either token of a session.

use time::OffsetDateTime;

use crate::{
    caller::Caller,
    failure::{BadFields, Failure, Fields},
    policy::CLOCK_LEEWAY,
    ports::{
        AccessClaims, StoreError, TokenOwner, TokenRefused, TokenSubject,
        store::{AuditAction, Ended, Freshness, NewRevocation, Reach, Revocation, Revoked, Tx},
    },
    sso::Sso,
    usecases::{janitor::sessions_kept, once_more::once_more, validate},
    values::{SessionId, Version},
};

/// A token whose session is to end, unverified.
pub struct Logout<'a> {
    token: &'a str,
    everywhere: bool,
}

impl<'a> Logout<'a> {
    /// `everywhere` ends all sessions of the token's user; `fields`: what the transport has found wrong
    /// already.
    pub fn parse(
        token: Option<&'a str>,
        everywhere: bool,
        mut fields: Fields,
    ) -> Result<Self, BadFields> {
        let token = fields.required("token", token, Ok);
        fields.reach("everywhere");
        fields.finish(token).map(|token| Self { token, everywhere })
    }
}

/// Why nothing was ended.
#[derive(Debug, thiserror::Error)]
pub enum LogoutError {
    /// Not a token of ours.
    #[error(transparent)]
    Token(#[from] TokenRefused),
    /// The store did not do it, or its answer was lost.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<LogoutError> for Failure {
    fn from(error: LogoutError) -> Self {
        match error {
            LogoutError::Token(refused) => refused.into(),
            LogoutError::Store(error) => error.into(),
        }
    }
}

/// Ends the token's session, so that its other token dies too, or all sessions of its user. Any
/// token of ours will do, of either type and any generation, expired or ended: it is idempotent.
pub async fn logout(
    sso: &Sso,
    caller: &Caller,
    request: &Logout<'_>,
) -> Result<Reach, LogoutError> {
    let subject = match sso.tokens.subject(request.token)? {
        TokenOwner::Session(subject) => subject,
        TokenOwner::Seed(claims) => return logout_seed(sso, caller, request, &claims).await,
    };
    if request.everywhere {
        return Ok(end_all(sso, caller, request.token, subject).await?);
    }
    let end = || end_one(sso, caller, subject, AuditAction::Logout);
    match once_more(end).await? {
        One::Now(reach) => Ok(reach),
        One::Before(seen) => Ok(sso.revocations.reach(&seen).await),
        One::Unknown => Ok(end_unknown(sso, caller, subject).await?),
    }
}

/// What ending one session of a user did.
pub(crate) enum One {
    /// It ended now, and is over so far.
    Now(Reach),
    /// It was over already, and is obeyed here; how far, tells
    /// [`Revocations::reach`](crate::revocation::Revocations::reach).
    Before(Revocation),
    /// He has no such session.
    Unknown,
}

/// Ends the tokens of a session that the store does not know: its user was deleted, a failover lost
/// it, or it was opened on the primary that has taken the place of the one that this instance still
/// asks. As if it was known: it is refused here, and written back to the next primary.
async fn end_unknown(
    sso: &Sso,
    caller: &Caller,
    subject: TokenSubject,
) -> Result<Reach, StoreError> {
    let is_anothers = sso.store.session(subject.session).await?.is_some();
    if is_anothers || sso.revocations.holds(subject.session) {
        return over_already(sso, subject.session, &[]).await;
    }
    // Of somebody who was deleted nothing is written down again.
    let is_known = sso
        .store
        .user(subject.user, Freshness::Primary)
        .await?
        .is_some();
    once_more(|| async {
        let mut tx = sso.store.begin().await?;
        let revoked = Revoked::Session(subject.session);
        let entry = sso.revoke(tx.as_mut(), revoked).await?;
        if is_known {
            let record = sso
                .record(caller, AuditAction::Logout)
                .by_user(subject.user)
                .of_session(subject.session);
            tx.append_audit(&record).await?;
        }
        tx.commit().await?;
        Ok::<_, StoreError>(sso.revocations.announce(&[entry]).await)
    })
    .await
}

/// Obeys what is over, and says how far it reaches that this session is, whoever committed it: perhaps a
/// moment ago.
async fn over_already(
    sso: &Sso,
    session: SessionId,
    over: &[Revoked],
) -> Result<Reach, StoreError> {
    let seen = once_more(|| async {
        let mut tx = sso.store.begin().await?;
        let seen = seen_over(sso, tx.as_mut(), session).await?;
        tx.commit().await?;
        Ok(seen)
    });
    let seen = seen.await?;
    for revoked in over {
        sso.revocations.obey(*revoked, seen.until);
    }
    Ok(sso.revocations.reach(&seen).await)
}

async fn seen_over(
    sso: &Sso,
    tx: &mut dyn Tx,
    session: SessionId,
) -> Result<Revocation, StoreError> {
    let until = sso.revocation_until(tx).await?;
    let revoked = Revoked::Session(session);
    tx.revoked_before(&NewRevocation { revoked, until }).await
}

/// Ends one session of a user.
pub(crate) async fn end_one(
    sso: &Sso,
    caller: &Caller,
    subject: TokenSubject,
    action: AuditAction,
) -> Result<One, StoreError> {
    let mut tx = sso.store.begin().await?;
    match tx
        .end_session(subject.session, Some(subject.user), sso.now())
        .await?
    {
        Ended::Now(_) => {
            let record = sso
                .record(caller, action)
                .by_user(subject.user)
                .of_session(subject.session);
            let over = Revoked::Session(subject.session);
            Ok(One::Now(sso.commit_over(tx, over, &record).await?))
        }
        Ended::Before => {
            // Perhaps its end is being committed just now.
            let seen = seen_over(sso, tx.as_mut(), subject.session).await?;
            tx.commit().await?;
            // Or the command line ended it a moment ago: obey before the next beat.
            sso.revocations.obey(seen.revoked, seen.until);
            Ok(One::Before(seen))
        }
        Ended::Unknown => Ok(One::Unknown),
    }
}

async fn end_all(
    sso: &Sso,
    caller: &Caller,
    token: &str,
    subject: TokenSubject,
) -> Result<Reach, StoreError> {
    match standing(sso, token, subject).await? {
        Standing::Good => once_more(|| end_all_of(sso, caller, subject, &[])).await,
        Standing::Lost => {
            // Tells who asks again that it is done.
            let this = [Revoked::Session(subject.session)];
            once_more(|| end_all_of(sso, caller, subject, &this)).await
        }
        Standing::Over(over) => over_already(sso, subject.session, &over).await,
    }
}

/// What a token may do that is to end all that its user has.
enum Standing {
    /// It ends all.
    Good,
    /// It ends all, and its own session is one that nobody knows.
    Lost,
    /// It ends nothing more: this is over.
    Over(Vec<Revoked>),
}

/// Who kept an old token shall not end what the owner opens after he has ended all; and each entry that is
/// written is held everywhere for as long as a token lives.
async fn standing(sso: &Sso, token: &str, subject: TokenSubject) -> Result<Standing, StoreError> {
    let look = || async {
        let session = sso.store.session(subject.session).await?;
        if session
            .as_ref()
            .is_some_and(|session| session.user != subject.user)
        {
            return Ok(Standing::Over(Vec::new()));
        }
        let user = sso.store.user(subject.user, Freshness::Primary).await?;
        let from = user.map_or(Version::ZERO, |user| user.sessions_from);
        let all = (from > Version::ZERO).then_some(Revoked::TokensBelow(subject.user, from));
        // Until his sessions are ended for the first time he may have tokens of the seed.
        let nothing_lives = || async {
            let alive = sso.store.live_sessions(subject.user, sso.not_expired());
            Ok::<_, StoreError>(all.is_some() && alive.await?.is_empty())
        };
        let Some(session) = session else {
            // A failover lost it, and perhaps others of his; or its row was swept, and then its tokens are old.
            let is_over = !is_recent(sso, token)
                || sso.revocations.holds(subject.session) && nothing_lives().await?;
            return Ok(if is_over {
                Standing::Over(all.into_iter().collect())
            } else {
                Standing::Lost
            });
        };
        let is_over = session.version < from || nothing_lives().await?;
        if !is_over {
            return Ok(Standing::Good);
        }
        let this = Revoked::Session(subject.session);
        Ok(Standing::Over([this].into_iter().chain(all).collect()))
    };
    let rests_on_rows = |found: &Result<Standing, StoreError>| {
        matches!(found, Ok(Standing::Lost | Standing::Over(_)))
    };
    sso.confirmed_where(rests_on_rows, look).await
}

/// Whether it has not expired, and is so new that the row of its session would not be swept yet.
fn is_recent(sso: &Sso, token: &str) -> bool {
    let now = sso.now();
    let access = sso.tokens.verify_access(token, now);
    let issued_at = access.map(|claims| claims.issued_at).or_else(|_| {
        sso.tokens
            .verify_refresh(token, now)
            .map(|claims| claims.issued_at)
    });
    let kept = sessions_kept(sso.policy.access_ttl).saturating_sub(CLOCK_LEEWAY);
    issued_at.is_ok_and(|issued_at| issued_at > now - kept)
}

async fn end_all_of(
    sso: &Sso,
    caller: &Caller,
    subject: TokenSubject,
    beside: &[Revoked],
) -> Result<Reach, StoreError> {
    let mut tx = sso.store.begin().await?;
    let Some(user) = tx.end_user_sessions(subject.user).await? else {
        drop(tx);
        return end_unknown(sso, caller, subject).await;
    };
    let record = sso
        .record(caller, AuditAction::LogoutEverywhere)
        .by_user(user.id)
        .of_session(subject.session);
    let all = Revoked::TokensBelow(user.id, user.version);
    sso.commit_all_over(tx, &[beside, &[all]].concat(), &record)
        .await
}

/// Ends a token that is of no session, or all that its user has. One that is expired or over
/// already ends nothing: it may have been found years later.
async fn logout_seed(
    sso: &Sso,
    caller: &Caller,
    request: &Logout<'_>,
    claims: &AccessClaims,
) -> Result<Reach, LogoutError> {
    match validate::validate(sso, request.token).await {
        Ok(_) => {}
        Err(TokenRefused::Unknowable) => return Err(TokenRefused::Unknowable.into()),
        Err(TokenRefused::Revoked) => return Ok(over_already(sso, claims.session, &[]).await?),
        Err(_) => return Ok(Reach::Everywhere),
    }
    let subject = TokenSubject {
        user: claims.user,
        session: claims.session,
    };
    if request.everywhere {
        return Ok(once_more(|| end_all_of(sso, caller, subject, &[])).await?);
    }
    let until = claims
        .expires_at
        .saturating_add((2 * CLOCK_LEEWAY).try_into().unwrap_or_default());
    Ok(once_more(|| end_seed(sso, caller, subject, until)).await?)
}

/// Ends one token, which no session stands for, until it would have expired.
async fn end_seed(
    sso: &Sso,
    caller: &Caller,
    subject: TokenSubject,
    until: OffsetDateTime,
) -> Result<Reach, StoreError> {
    let mut tx = sso.store.begin().await?;
    let revoked = Revoked::Session(subject.session);
    let entry = tx.revoke(&NewRevocation { revoked, until }).await?;
    let record = sso
        .record(caller, AuditAction::Logout)
        .by_user(subject.user)
        .of_session(subject.session);
    tx.append_audit(&record).await?;
    tx.commit().await?;
    Ok(sso.revocations.announce(&[entry]).await)
}
