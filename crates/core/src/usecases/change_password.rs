//! Change of one's own password: it ends every session and opens a new one.

use std::time::Duration;

use crate::{
    caller::{Caller, NotAllowed},
    failure::{BadFields, Failure, FieldError, Fields, Kind},
    ports::{
        HashError, Match, Queue, SignError, StoreError, TokenRefused, Work,
        store::{Freshness, PasswordChange, Reach, Revoked, Session, User},
    },
    sso::Sso,
    usecases::SignedIn,
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
        let email = Email::parse(&caller.user()?.email).map_err(|bad| BadFields(vec![bad]))?;
        let parse = |field| move |text| Password::parse(field, text);
        let current = fields.required(
            "current_password",
            input.current_password,
            parse("current_password"),
        );
        let new = fields.required("new_password", input.new_password, parse("new_password"));
        let new = new.and_then(|new| {
            fields.take(NewPassword::check(
                "new_password",
                new,
                &email,
                sso.policy.passwords,
            ))
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
    /// No hash.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// No row.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No token.
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
            ChangePasswordError::Hash(error) => error.into(),
            ChangePasswordError::Store(error) => error.into(),
            ChangePasswordError::Sign(error) => error.into(),
        }
    }
}

/// Changes the caller's password. Every session of his is over; the tokens are of a new one.
pub async fn change_password(
    sso: &Sso,
    caller: &Caller,
    request: ChangePassword,
) -> Result<(SignedIn, Reach), ChangePasswordError> {
    let arrival = sso.clock.monotonic();
    let result = attempt(sso, caller, request).await;
    if let Err(ChangePasswordError::WrongPassword) = &result {
        sso.wait_for_floor(arrival).await;
    }
    result
}

async fn attempt(
    sso: &Sso,
    caller: &Caller,
    request: ChangePassword,
) -> Result<(SignedIn, Reach), ChangePasswordError> {
    let claims = caller.user()?;
    let work = Work {
        queue: Queue::Login,
        network: caller.origin.network(),
    };
    let mut verified: Option<PasswordHash> = None;
    let mut new_hash: Option<PasswordHash> = None;
    for _ in 0..ATTEMPTS {
        let user = sso.store.user(claims.user, Freshness::Primary).await?;
        let user = user
            .filter(|user| !user.disabled)
            .ok_or(TokenRefused::Revoked)?;
        // Somebody ended this token since it was validated.
        sso.revocations.check(claims)?;
        if verified.as_ref() != Some(&user.password_hash) {
            let hash = Some(user.password_hash.clone());
            if sso
                .hasher
                .verify(work, request.current.clone(), hash)
                .await?
                == Match::No
            {
                return Err(ChangePasswordError::WrongPassword);
            }
            verified = Some(user.password_hash.clone());
        }
        if request.current.normalised() == request.new.password().normalised() {
            return Err(ChangePasswordError::Same);
        }
        let password_hash = match new_hash.take() {
            Some(hash) => hash,
            None => sso.hasher.hash(work, request.new.clone()).await?,
        };
        new_hash = Some(password_hash.clone());
        let change = PasswordChange {
            user: user.id,
            seen: Some(user.version),
            password_hash,
        };
        if let Some((user, session, reach)) = write(sso, caller, &change).await? {
            return Ok((sso.issue(&user, &session)?, reach));
        }
    }
    Err(ChangePasswordError::Contended)
}

/// `None`: the row is no longer the one that the password was verified against.
async fn write(
    sso: &Sso,
    caller: &Caller,
    change: &PasswordChange,
) -> Result<Option<(User, Session, Reach)>, StoreError> {
    let mut tx = sso.store.begin().await?;
    let Some(user) = tx.set_password(change).await? else {
        return Ok(None);
    };
    let session = sso.new_session(user.id, &caller.origin);
    let Some((user, session)) = tx.open_session(&session, user.version).await? else {
        return Ok(None);
    };
    let over = Revoked::TokensBelow(user.id, user.version);
    let entry = sso.revoke(tx.as_mut(), over).await?;
    tx.commit().await?;
    let reach = sso.revocations.announce(&[entry]).await;
    Ok(Some((user, session, reach)))
}
