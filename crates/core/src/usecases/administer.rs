//! What administrators do to users: list, show, disable, enable, grant and take the admin role, set
//! a password, list and end sessions, delete, export what is known of one.

mod delete;
mod export;

use uuid::Uuid;

use crate::{
    caller::{Caller, NotAllowed},
    failure::{BadFields, Failure, FieldError, Fields, Kind},
    ports::{
        HashError, Queue, StoreError, Tx, Work,
        store::{AuditAction, Freshness, PasswordChange, Reach, Revoked, Session, User, UserPage},
    },
    sso::Sso,
    usecases::{
        Named,
        once_more::once_more,
        paging::{self, Ask, Page},
    },
    values::{NewPassword, UserId},
};

pub use delete::{Deleted, delete};
pub use export::{UserData, export};

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum AdministerError {
    /// Not an administrator.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// No such user.
    #[error("user not found")]
    NotFound,
    /// The password, or the way the user is named, is not acceptable.
    #[error(transparent)]
    Invalid(#[from] BadFields),
    /// The password was not hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The store did not do it, or its answer was lost.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<AdministerError> for Failure {
    fn from(error: AdministerError) -> Self {
        match error {
            AdministerError::NotAllowed(error) => error.into(),
            AdministerError::NotFound => Self::new(Kind::NotFound, "not_found", "user not found"),
            AdministerError::Invalid(bad) => bad.into(),
            AdministerError::Hash(error) => error.into(),
            AdministerError::Store(error) => error.into(),
        }
    }
}

/// What to change of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// May not sign in; every session ends.
    Disable,
    /// May sign in again.
    Enable,
    /// Grants the admin role.
    GrantAdmin,
    /// Takes the admin role.
    TakeAdmin,
    /// Ends every session.
    EndSessions,
}

impl Change {
    const fn action(self) -> AuditAction {
        match self {
            Self::Disable => AuditAction::UserDisable,
            Self::Enable => AuditAction::UserEnable,
            Self::GrantAdmin => AuditAction::AdminGrant,
            Self::TakeAdmin => AuditAction::AdminTake,
            Self::EndSessions => AuditAction::SessionsEnd,
        }
    }
}

/// A user as he is after a change, and who obeys what was revoked.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The row.
    pub user: User,
    /// `Everywhere` also if nothing had to be revoked.
    pub reach: Reach,
}

/// A page of users.
pub async fn list(
    sso: &Sso,
    caller: &Caller,
    page: UserPage,
) -> Result<Vec<User>, AdministerError> {
    caller.may_administer_users()?;
    Ok(sso.store.users(page).await?)
}

/// A page of users by cursor, for who is far away.
pub async fn page(
    sso: &Sso,
    caller: &Caller,
    ask: Ask<'_>,
    fields: Fields,
) -> Result<Page<User>, AdministerError> {
    caller.may_administer_users()?;
    let read = |place: &[u8]| Uuid::from_slice(place).ok().map(UserId::from_uuid);
    let (after, size) = paging::parse(sso, "users", ask, read, fields)?;
    let page = UserPage {
        after,
        // One more tells whether there is a next page.
        limit: size + 1,
    };
    let users = sso.store.users(page).await?;
    Ok(paging::cut(sso, "users", users, size, |user| {
        user.id.as_uuid().into_bytes().to_vec()
    }))
}

/// A user's live sessions, newest first.
pub async fn sessions(
    sso: &Sso,
    caller: &Caller,
    user: UserId,
) -> Result<Vec<Session>, AdministerError> {
    caller.may_administer_users()?;
    get(sso, caller, &Named::Id(user)).await?;
    Ok(sso.store.live_sessions(user, sso.alive()).await?)
}

/// The user with this id or this address.
pub async fn find(sso: &Sso, caller: &Caller, name: &str) -> Result<User, AdministerError> {
    caller.may_administer_users()?;
    let named = Named::parse(name).ok_or_else(|| {
        let why = "a user is named by his e-mail address or his id, a UUID";
        BadFields(vec![FieldError::new("user", "invalid_request", why)])
    })?;
    get(sso, caller, &named).await
}

/// The user of this name.
pub async fn get(sso: &Sso, caller: &Caller, named: &Named) -> Result<User, AdministerError> {
    caller.may_administer_users()?;
    sso.confirmed(|| async {
        let user = match named {
            Named::Id(id) => sso.store.user(*id, Freshness::Primary).await?,
            Named::Email(email) => sso.store.user_by_email(email, Freshness::Primary).await?,
        };
        user.ok_or(AdministerError::NotFound)
    })
    .await
}

/// Changes a user and revokes what he may no longer use.
pub async fn change(
    sso: &Sso,
    caller: &Caller,
    user: UserId,
    change: Change,
) -> Result<Changed, AdministerError> {
    caller.may_administer_users()?;
    sso.confirmed(|| once_more(|| change_once(sso, caller, user, change)))
        .await
}

async fn change_once(
    sso: &Sso,
    caller: &Caller,
    user: UserId,
    change: Change,
) -> Result<Changed, AdministerError> {
    let mut tx = sso.store.begin().await?;
    let changed = match change {
        Change::Disable => tx.set_disabled(user, true).await?,
        Change::Enable => tx.set_disabled(user, false).await?,
        Change::GrantAdmin => tx.set_admin(user, true).await?,
        Change::TakeAdmin => tx.set_admin(user, false).await?,
        Change::EndSessions => tx.end_user_sessions(user).await?,
    };
    finish(sso, caller, change.action(), tx, changed).await
}

/// Whether a password would do, before it is known whose: all but that it may not be his address.
pub fn check_password(sso: &Sso, text: &str) -> Result<(), FieldError> {
    NewPassword::parse("password", text, None, sso.policy.passwords).map(|_| ())
}

/// Sets a user's password without knowing the current one; every session ends.
pub async fn set_password(
    sso: &Sso,
    caller: &Caller,
    user: UserId,
    password: Option<&str>,
) -> Result<Changed, AdministerError> {
    caller.may_administer_users()?;
    let found = get(sso, caller, &Named::Id(user)).await?;
    let mut fields = Fields::default();
    let password = fields.required("password", password, |text| {
        NewPassword::parse("password", text, &found.email, sso.policy.passwords)
    });
    let password = fields.finish(password)?;
    let work = Work {
        queue: Queue::Login,
        network: caller.origin.network(),
    };
    let password_hash = sso.hasher.hash(work, password).await?;

    let change = PasswordChange {
        user,
        seen: None,
        password_hash,
    };
    sso.confirmed(|| once_more(|| set_once(sso, caller, &change)))
        .await
}

async fn set_once(
    sso: &Sso,
    caller: &Caller,
    change: &PasswordChange,
) -> Result<Changed, AdministerError> {
    let mut tx = sso.store.begin().await?;
    let changed = tx.set_password(change).await?;
    finish(sso, caller, AuditAction::PasswordSet, tx, changed).await
}

/// Revokes all tokens older than the changed row. Also where nothing had to change: who runs a
/// command again because its answer was lost must get what it promises.
async fn finish(
    sso: &Sso,
    caller: &Caller,
    action: AuditAction,
    tx: Box<dyn Tx>,
    changed: Option<User>,
) -> Result<Changed, AdministerError> {
    let user = changed.ok_or(AdministerError::NotFound)?;
    let record = sso.record(caller, action).about(user.id);
    let over = Revoked::TokensBelow(user.id, user.version);
    let reach = sso.commit_over(tx, over, &record).await?;
    Ok(Changed { user, reach })
}
