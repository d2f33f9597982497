//! Login: reads near, decides on the primary.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    audit::Repeat,
    caller::Caller,
    failure::{BadFields, Failure, Fields, Kind},
    metrics::{LOGINS, Outcome, counted},
    ports::{
        HashError, Match, Queue, Settled, SignError, StoreError, Throttled, Work,
        store::{AuditAction, AuditResult, Freshness, NewLogin, Session, User},
    },
    sso::Sso,
    usecases::{SignedIn, attempts::Floor, once_more::once_more},
    values::{Email, Password, UserId},
};

/// How often a login that meets a changed row reads it again.
const ATTEMPTS: usize = 3;

/// The request as it came.
#[derive(Default)]
pub struct Input<'a> {
    /// Required.
    pub email: Option<&'a str>,
    /// Required.
    pub password: Option<&'a str>,
}

/// A login whose fields are good.
#[derive(Debug, Clone)]
pub struct Login {
    email: Email,
    password: Password,
}

impl Login {
    /// Parses every field and names all bad ones, with those that the transport has found already. The
    /// rules for new passwords do not hold here.
    pub fn parse(input: &Input<'_>, mut fields: Fields) -> Result<Self, BadFields> {
        let email = fields.required("email", input.email, Email::parse);
        let password = fields.required("password", input.password, |text| {
            Password::parse("password", text)
        });
        let (email, password) = fields.finish(email.zip(password))?;
        Ok(Self { email, password })
    }
}

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// One answer for a wrong e-mail and a wrong password.
    #[error("invalid e-mail or password")]
    InvalidCredentials,
    /// The password was right.
    #[error("user is disabled")]
    UserDisabled,
    /// The user's row changed at each attempt.
    #[error("the user's row changed {ATTEMPTS} times during the login")]
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

impl From<LoginError> for Failure {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::InvalidCredentials => Self::new(
                Kind::Unauthenticated,
                "invalid_credentials",
                "invalid e-mail or password",
            ),
            LoginError::UserDisabled => {
                Self::new(Kind::Forbidden, "user_disabled", "user is disabled")
            }
            LoginError::Contended => {
                Self::unavailable("unavailable", "try again", Duration::from_secs(1))
            }
            LoginError::Throttled(throttled) => throttled.into(),
            LoginError::Hash(error) => error.into(),
            LoginError::Store(error) => error.into(),
            LoginError::Sign(error) => error.into(),
        }
    }
}

/// Signs in by e-mail and password.
pub async fn login(sso: &Sso, caller: &Caller, request: Login) -> Result<SignedIn, LoginError> {
    counted(LOGINS, outcome_of, throttled(sso, caller, request)).await
}

async fn throttled(sso: &Sso, caller: &Caller, request: Login) -> Result<SignedIn, LoginError> {
    let proof = sso.admit::<LoginError>(caller, &request.email).await?;
    let target = Mutex::default();
    let result = proof.floor.attempt(sso, |floor| {
        attempt(sso, caller, request.clone(), &target, floor)
    });
    let result = result.await;
    let settled = match &result {
        Ok(_) => Settled::Succeeded,
        Err(LoginError::InvalidCredentials) => Settled::Failed,
        Err(_) => Settled::Unjudged,
    };
    let refused = result
        .as_ref()
        .err()
        .and_then(|error| refused(error, *lock(&target)));
    proof.end(sso, caller, settled, refused);
    result
}

/// What is told of a login that nobody was signed in by because of what he sent.
fn refused(error: &LoginError, user: Option<UserId>) -> Option<Repeat> {
    let detail = match error {
        LoginError::InvalidCredentials => None,
        LoginError::UserDisabled => Some("right password, disabled user".into()),
        _ => return None,
    };
    Some(Repeat {
        action: AuditAction::Login,
        result: AuditResult::Refused,
        user,
        session: None,
        detail,
    })
}

/// `target` becomes the user whose password was tried.
async fn attempt(
    sso: &Sso,
    caller: &Caller,
    request: Login,
    target: &Mutex<Option<UserId>>,
    floor: &Floor,
) -> Result<SignedIn, LoginError> {
    let Login { email, password } = request;
    let work = Work {
        queue: Queue::Login,
        network: caller.origin.network(),
    };
    let user = sso.store.user_by_email(&email, Freshness::Any).await?;
    *lock(target) = user.as_ref().map(|user| user.id);
    // Nobody costs as much as somebody.
    let mut found = sso.matches(work, &password, user.as_ref(), floor).await?;
    let mut user = user.ok_or(LoginError::InvalidCredentials)?;
    for _ in 0..ATTEMPTS {
        if found != Match::No
            && let Some((row, session)) = open(sso, caller, &user).await?
        {
            if found == Match::YesOutdated {
                rehash_later(sso, work, &row, password);
            }
            return Ok(sso.issue(&row, &session, session.created_at)?);
        }
        // The password is wrong, the user disabled, or what was read stale: the primary decides.
        let fresh = match sso.store.user(user.id, Freshness::Primary).await? {
            // Deleted: somebody may have registered with his address since.
            None => sso.store.user_by_email(&email, Freshness::Primary).await?,
            fresh => fresh,
        };
        let fresh = fresh.ok_or(LoginError::InvalidCredentials)?;
        *lock(target) = Some(fresh.id);
        if fresh.password_hash != user.password_hash {
            found = sso.matches(work, &password, Some(&fresh), floor).await?;
        }
        if found == Match::No {
            return Err(LoginError::InvalidCredentials);
        }
        if fresh.disabled {
            return Err(LoginError::UserDisabled);
        }
        user = fresh;
    }
    Err(LoginError::Contended)
}

fn lock(target: &Mutex<Option<UserId>>) -> MutexGuard<'_, Option<UserId>> {
    target.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens a session if `seen` is still what the primary has.
async fn open(
    sso: &Sso,
    caller: &Caller,
    seen: &User,
) -> Result<Option<(User, Session)>, StoreError> {
    let session = sso.new_session(seen.id, &caller.origin);
    let record = sso
        .record(caller, AuditAction::Login)
        .by_user(seen.id)
        .of_session(session.id);
    let login = NewLogin {
        session: &session,
        seen: seen.version,
        keep: sso.policy.max_sessions,
        alive: sso.alive(),
        until: sso.until(),
        record: &record,
    };
    let Some(done) = once_more(|| sso.store.log_in(&login)).await? else {
        return Ok(None);
    };
    sso.revocations.announce(&done.ended).await;
    Ok(Some((done.user, done.session)))
}

/// Replaces the outdated hash after the answer; whoever changed the password meanwhile wins.
fn rehash_later(sso: &Sso, work: Work, user: &User, password: Password) {
    let (hasher, store) = (sso.hasher.clone(), sso.store.clone());
    let (id, verified) = (user.id, user.password_hash.clone());
    sso.tasks.spawn(Box::pin(async move {
        let replaced = match hasher.rehash(work, password).await {
            Ok(new) => store
                .rehash(id, &verified, &new)
                .await
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = replaced {
            tracing::warn!(user_id = %id, error, "an outdated password hash was not replaced");
        }
    }));
}

fn outcome_of(result: &Result<SignedIn, LoginError>) -> Outcome {
    match result {
        Ok(_) => Outcome::Success,
        Err(LoginError::InvalidCredentials) => Outcome::InvalidCredentials,
        Err(LoginError::UserDisabled) => Outcome::UserDisabled,
        Err(LoginError::Throttled(_)) => Outcome::RateLimited,
        Err(LoginError::Hash(HashError::Overloaded { .. })) => Outcome::Overloaded,
        Err(_) => Outcome::Error,
    }
}
