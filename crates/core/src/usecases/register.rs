//! Registration: a user, his first session, and the event that tells of it, in one transaction.

use sso_events::failpoint::{self, Step};

use crate::{
    caller::{Caller, Origin},
    failure::{BadFields, Failure, Fields, Kind},
    metrics::{Outcome, REGISTRATIONS, count_throttled, counted},
    ports::{
        HashError, Queue, RandomIds, SignError, StoreError, Throttled, Tx, Work,
        store::{AuditAction, Constraint, NewAudit, NewEvent, NewSession, NewUser, Session, User},
    },
    sso::Sso,
    usecases::{SignedIn, once_more::once_more},
    values::{Birthday, Email, EventId, Name, NewPassword, UserId},
};

/// The request as it came.
#[derive(Default)]
pub struct Input<'a> {
    /// Required.
    pub email: Option<&'a str>,
    /// Required.
    pub password: Option<&'a str>,
    /// `""` is absent.
    pub name: Option<&'a str>,
    /// `""` is absent.
    pub birthday: Option<&'a str>,
}

/// A registration whose fields are good.
#[derive(Debug, Clone)]
pub struct Register {
    email: Email,
    password: NewPassword,
    name: Option<Name>,
    birthday: Option<Birthday>,
}

impl Register {
    /// Parses every field and names all bad ones, with those that the transport has found already.
    pub fn parse(sso: &Sso, input: &Input<'_>, mut fields: Fields) -> Result<Self, BadFields> {
        let email = fields.required("email", input.email, Email::parse);
        let password = fields.required("password", input.password, |text| {
            NewPassword::parse("password", text, email.as_ref(), sso.policy.passwords)
        });
        let name = fields.optional("name", input.name, Name::parse);
        let now = sso.clock.now();
        let birthday = fields.optional("birthday", input.birthday, |text| {
            Birthday::parse(text, now)
        });
        let values = email.zip(password);
        let (email, password) = fields.finish(values)?;
        Ok(Self {
            email,
            password,
            name,
            birthday,
        })
    }
}

/// Why nobody was registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The address has an account.
    #[error("user already exists")]
    UserExists,
    /// The operator has switched registration off.
    #[error("registration is disabled")]
    SwitchedOff,
    /// The store gave up the row that it had just written.
    #[error("the new user was not there to open a session for")]
    Vanished,
    /// Too many of this network.
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

impl From<RegisterError> for Failure {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::UserExists => {
                Self::new(Kind::Conflict, "user_exists", "user already exists")
            }
            RegisterError::SwitchedOff => {
                Self::new(Kind::Forbidden, "forbidden", "registration is disabled")
            }
            RegisterError::Vanished => Self::internal(error),
            RegisterError::Throttled(throttled) => throttled.into(),
            RegisterError::Hash(error) => error.into(),
            RegisterError::Store(error) => error.into(),
            RegisterError::Sign(error) => error.into(),
        }
    }
}

/// Registers and signs in: both tokens come from what was just written.
pub async fn register(
    sso: &Sso,
    caller: &Caller,
    request: Register,
) -> Result<SignedIn, RegisterError> {
    let registered = async {
        let (user, session) = throttled(
            sso,
            caller,
            request,
            Options {
                session: true,
                admin: false,
            },
        )
        .await?;
        let session = session.ok_or(RegisterError::Vanished)?;
        Ok(sso.issue(&user, &session, session.created_at)?)
    };
    counted(REGISTRATIONS, outcome_of, registered).await
}

/// Registers without signing in: for who answers with no tokens.
pub async fn register_only(
    sso: &Sso,
    caller: &Caller,
    request: Register,
) -> Result<UserId, RegisterError> {
    let options = Options {
        session: false,
        admin: false,
    };
    let registered = throttled(sso, caller, request, options);
    let (user, _) = counted(REGISTRATIONS, outcome_of, registered).await?;
    Ok(user.id)
}

/// Creates a user on an administrator's behalf, also while registration is switched off.
pub async fn create(
    sso: &Sso,
    caller: &Caller,
    request: Register,
    admin: bool,
) -> Result<User, Failure> {
    caller.may_administer_users()?;
    let options = Options {
        session: false,
        admin,
    };
    let stored = store(sso, caller, request, options);
    Ok(counted(REGISTRATIONS, outcome_of, stored).await?.0)
}

#[derive(Clone, Copy)]
struct Options {
    session: bool,
    admin: bool,
}

/// As [`store`], for anybody. "User already exists" tells who has an account, so a network hears it
/// only so often.
async fn throttled(
    sso: &Sso,
    caller: &Caller,
    request: Register,
    options: Options,
) -> Result<(User, Option<Session>), RegisterError> {
    let network = caller.origin.network();
    sso.throttle
        .admit_registration(network)
        .await
        .inspect_err(|throttled| {
            count_throttled(throttled.reason);
            sso.note_throttled(caller, throttled.reason);
        })?;
    let stored = store(sso, caller, request, options).await;
    if let Err(RegisterError::UserExists) = &stored {
        sso.throttle.registration_told(network).await;
    }
    stored
}

async fn store(
    sso: &Sso,
    caller: &Caller,
    request: Register,
    options: Options,
) -> Result<(User, Option<Session>), RegisterError> {
    if !sso.policy.registration_enabled && caller.may_administer_users().is_err() {
        return Err(RegisterError::SwitchedOff);
    }
    let work = Work {
        queue: Queue::Registration,
        network: caller.origin.network(),
    };
    let password_hash = sso.hasher.hash(work, request.password).await?;
    let now = sso.now();
    let user = NewUser {
        id: UserId::from_uuid(sso.random.uuid_v7(now)),
        email: request.email,
        password_hash,
        name: request.name,
        birthday: request.birthday,
        is_admin: options.admin,
        created_at: now,
    };
    let event = event_of(sso, &user, &caller.origin);

    let session = options
        .session
        .then(|| sso.new_session(user.id, &caller.origin));
    let rows = once_more(|| commit(sso, caller, &user, &event, session.as_ref())).await?;
    failpoint::passed(Step::AfterCommit);
    (sso.nudge)(user.id);
    Ok(rows)
}

async fn commit(
    sso: &Sso,
    caller: &Caller,
    user: &NewUser,
    event: &NewEvent,
    session: Option<&NewSession>,
) -> Result<(User, Option<Session>), RegisterError> {
    let mut tx = sso.store.begin().await?;
    let rows = write(sso, tx.as_mut(), caller, user, event, session).await?;
    failpoint::passed(Step::BeforeCommit);
    tx.commit().await?;
    Ok(rows)
}

async fn write(
    sso: &Sso,
    tx: &mut dyn Tx,
    caller: &Caller,
    user: &NewUser,
    event: &NewEvent,
    new: Option<&NewSession>,
) -> Result<(User, Option<Session>), RegisterError> {
    let (user, session) = match tx.register(user, event, new).await {
        Err(StoreError::Conflict(Constraint::Email)) => return Err(RegisterError::UserExists),
        stored => stored?,
    };
    let mut record = record_of(sso, caller, user.id);
    if new.is_some() {
        let session = session.as_ref().ok_or(RegisterError::Vanished)?;
        record = record.of_session(session.id);
    }
    tx.append_audit(&record).await?;
    Ok((user, session))
}

/// Who shows no credentials registers himself.
fn record_of(sso: &Sso, caller: &Caller, user: UserId) -> NewAudit {
    if caller.may_administer_users().is_ok() {
        sso.record(caller, AuditAction::UserCreate).about(user)
    } else {
        sso.record(caller, AuditAction::Register).by_user(user)
    }
}

fn event_of(sso: &Sso, user: &NewUser, origin: &Origin) -> NewEvent {
    let id = EventId::from_uuid(sso.random.uuid_v7(user.created_at));
    let payload = sso_events::encode_registration(&sso_events::Registered {
        event_id: id.as_uuid(),
        user_id: user.id.as_uuid(),
        email: user.email.as_typed(),
        name: user.name.as_ref().map(Name::as_str),
        at: user.created_at,
    });
    NewEvent {
        id,
        user: user.id,
        kind: sso_events::REGISTRATION,
        payload,
        created_at: user.created_at,
        traceparent: origin.traceparent.clone(),
        tracestate: origin.tracestate.clone(),
    }
}

fn outcome_of<T>(result: &Result<T, RegisterError>) -> Outcome {
    match result {
        Ok(_) => Outcome::Success,
        Err(RegisterError::UserExists) => Outcome::UserExists,
        Err(RegisterError::SwitchedOff) => Outcome::Forbidden,
        Err(RegisterError::Throttled(_)) => Outcome::RateLimited,
        Err(RegisterError::Hash(HashError::Overloaded { .. })) => Outcome::Overloaded,
        Err(_) => Outcome::Error,
    }
}
