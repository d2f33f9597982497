//! Change of one's own password: it ends every session and opens a new one.

use std::time::Duration;

use crate::{
    audit::Repeat,
    caller::{Caller, NotAllowed},
    failure::{BadFields, Failure, FieldError, Fields, Kind},
    ports::{
        AccessClaims, HashError, Match, Queue, Settled, SignError, StoreError, Throttled,
        TokenRefused, Work,
        store::{
            AuditAction, AuditResult, Freshness, PasswordChange, Reach, Revoked, Session, User,
        },
    },
    sso::Sso,
    usecases::{SignedIn, attempts::Floor, once_more::once_more},
    values::{Email, NewPassword, Password, PasswordHash},
};

/// How often a change that meets a changed row reads it again.
const ATTEMPTS: usize = 3;

/// The request as it came.
#[derive(Default)]
pub struct Input<'a> {
    /// Required.
    pub current_password: Option<&'a str>,
    /// Required.
    pub new_password: Option<&'a str>,
}

/// A change whose fields are good.
#[derive(Debug, Clone)]
pub struct ChangePassword {
    current: Password,
    new: NewPassword,
}

impl ChangePassword {
    /// Parses every field and names all bad ones.
    pub fn parse(
        sso: &Sso,
        caller: &Caller,
        input: &Input<'_>,
        mut fields: Fields,
    ) -> Result<Self, Failure> {
        // A label, but good enough to refuse it as a password.
        let email = Email::parse(&caller.user()?.email).ok();
        let current = fields.required("current_password", input.current_password, |text| {
            Password::parse("current_password", text)
        });
        let new = fields.required("new_password", input.new_password, |text| {
            NewPassword::parse("new_password", text, email.as_ref(), sso.policy.passwords)
        });
        let (current, new) = fields.finish(current.zip(new))?;
        Ok(Self { current, new })
    }
}

/// Why the password is what it was.
#[derive(Debug, thiserror::Error)]
pub enum ChangePasswordError {
    /// Only users have a password.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// The current password is another one.
    #[error("wrong password")]
    WrongPassword,
    /// The new one is the current one.
    #[error("the new password is the current one")]
    Same,
    /// The user is gone.
    #[error(transparent)]
    Token(#[from] TokenRefused),
    /// The user's row changed at each attempt.
    #[error("the user's row changed {ATTEMPTS} times during the change of his password")]
    Contended,
    /// Too many that failed.
    #[error(transparent)]
    Throttled(#[from] Throttled),
    /// The password was not hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The store did not do it, or its answer was lost.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The token was not signed.
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl From<ChangePasswordError> for Failure {
    fn from(error: ChangePasswordError) -> Self {
        match error {
            ChangePasswordError::NotAllowed(error) => error.into(),
            ChangePasswordError::WrongPassword => Self::new(
                Kind::Unauthenticated,
                "invalid_credentials",
                "wrong password",
            ),
            ChangePasswordError::Same => BadFields(vec![FieldError::new(
                "new_password",
                "weak_password",
                "password must be another one than before",
            )])
            .into(),
            ChangePasswordError::Token(refused) => refused.into(),
            ChangePasswordError::Contended => {
                Self::unavailable("unavailable", "try again", Duration::from_secs(1))
            }
            ChangePasswordError::Throttled(throttled) => throttled.into(),
            ChangePasswordError::Hash(error) => error.into(),
            ChangePasswordError::Store(error) => error.into(),
            ChangePasswordError::Sign(error) => error.into(),
        }
    }
}

/// Changes the caller's password. Every session of his is over; the tokens are of a new one. A thief
/// of a token who guesses the password is throttled like anybody who does.
pub async fn change_password(
    sso: &Sso,
    caller: &Caller,
    request: ChangePassword,
) -> Result<(SignedIn, Reach), ChangePasswordError> {
    let claims = caller.user()?;
    let user = sso.confirmed(|| current_row(sso, claims)).await?;
    let proof = sso
        .admit::<ChangePasswordError>(caller, &user.email)
        .await?;
    let result = proof
        .floor
        .attempt(sso, |floor| attempt(sso, caller, &request, floor));
    let result = result.await;
    let settled = match &result {
        Ok(_) | Err(ChangePasswordError::Same) => Settled::Succeeded,
        Err(ChangePasswordError::WrongPassword) => Settled::Failed,
        Err(_) => Settled::Unjudged,
    };
    let wrong = matches!(settled, Settled::Failed);
    let refused = wrong.then_some(Repeat {
        action: AuditAction::PasswordChange,
        result: AuditResult::Refused,
        user: Some(claims.user),
        session: Some(claims.session),
        detail: None,
    });
    proof.end(sso, caller, settled, refused);
    result
}

async fn attempt(
    sso: &Sso,
    caller: &Caller,
    request: &ChangePassword,
    floor: &Floor,
) -> Result<(SignedIn, Reach), ChangePasswordError> {
    let claims = caller.user()?;
    let mut user = current_row(sso, claims).await?;
    let work = Work {
        queue: Queue::Login,
        network: caller.origin.network(),
    };
    verify(sso, work, request, &user, floor).await?;
    if request.current.normalised() == request.new.password().normalised() {
        return Err(ChangePasswordError::Same);
    }
    let password_hash = sso.hasher.hash(work, request.new.clone()).await?;
    for _ in 0..ATTEMPTS {
        if let Some((user, session, reach)) =
            once_more(|| write(sso, caller, &user, &password_hash)).await?
        {
            return Ok((sso.issue(&user, &session, session.created_at)?, reach));
        }
        // The row changed; what was verified still holds if its hash is the same.
        let fresh = current_row(sso, claims).await?;
        if fresh.password_hash != user.password_hash {
            verify(sso, work, request, &fresh, floor).await?;
        }
        user = fresh;
    }
    Err(ChangePasswordError::Contended)
}

/// The caller's row, if his token is still good by what it says, too.
async fn current_row(sso: &Sso, claims: &AccessClaims) -> Result<User, ChangePasswordError> {
    let user = sso.store.user(claims.user, Freshness::Primary).await?;
    let user = user.filter(|user| user.honours(claims.version));
    sso.revocations.check(claims)?;
    Ok(user.ok_or(TokenRefused::Revoked)?)
}

async fn verify(
    sso: &Sso,
    work: Work,
    request: &ChangePassword,
    user: &User,
    floor: &Floor,
) -> Result<(), ChangePasswordError> {
    let current = &request.current;
    match sso.matches(work, current, Some(user), floor).await? {
        Match::No => Err(ChangePasswordError::WrongPassword),
        Match::Yes | Match::YesOutdated => Ok(()),
    }
}

/// `None`: the row is no longer the one that the password was verified against.
async fn write(
    sso: &Sso,
    caller: &Caller,
    seen: &User,
    password_hash: &PasswordHash,
) -> Result<Option<(User, Session, Reach)>, StoreError> {
    let change = PasswordChange {
        user: seen.id,
        seen: Some(seen.version),
        password_hash: password_hash.clone(),
    };
    let mut tx = sso.store.begin().await?;
    let Some(user) = tx.set_password(&change).await? else {
        // The change that it met is committed then, and the next read shows it.
        tx.commit().await?;
        return Ok(None);
    };
    let session = sso.new_session(user.id, &caller.origin);
    let Some((user, session)) = tx.open_session(&session, user.version).await? else {
        return Ok(None);
    };
    let record = sso
        .record(caller, AuditAction::PasswordChange)
        .about(user.id)
        .of_session(session.id);
    let over = Revoked::TokensBelow(user.id, user.version);
    let reach = sso.commit_over(tx, over, &record).await?;
    Ok(Some((user, session, reach)))
}
