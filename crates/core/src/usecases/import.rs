//! Import of users of another system, with the hashes that it has.

use crate::{
    caller::{Caller, NotAllowed},
    failure::{BadFields, Failure, FieldError, Fields},
    ports::{
        HashError, RandomIds, StoreError,
        store::{AuditAction, Imported, ImportedUser},
    },
    sso::Sso,
    values::{Birthday, Email, Name, PasswordHash, UserId},
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A user as the other system wrote him.
#[derive(Default)]
pub struct Input<'a> {
    /// Kept if it is a UUID; a new one is made if there is none.
    pub id: Option<&'a str>,
    /// Required.
    pub email: Option<&'a str>,
    /// Required: argon2 in PHC format, or bcrypt.
    pub password_hash: Option<&'a str>,
    /// `""` is absent.
    pub name: Option<&'a str>,
    /// `""` is absent.
    pub birthday: Option<&'a str>,
    /// May administer.
    pub is_admin: bool,
    /// May not sign in.
    pub disabled: bool,
    /// RFC 3339; now, if there is none.
    pub created_at: Option<&'a str>,
}

/// Parses a user and names all bad fields. Never says anything of the hash itself.
pub fn parse(sso: &Sso, input: &Input<'_>) -> Result<ImportedUser, BadFields> {
    let mut fields = Fields::default();
    let now = sso.now();
    let id = fields.optional("id", input.id, |text| {
        UserId::parse(text).map_err(|_| FieldError::new("id", "invalid_id", "id must be a UUID"))
    });
    let email = fields.required("email", input.email, Email::parse);
    let password_hash = fields.required("password_hash", input.password_hash, |text| {
        admitted(sso, text)
    });
    let name = fields.optional("name", input.name, Name::parse);
    let birthday = fields.optional("birthday", input.birthday, |text| {
        Birthday::parse(text, now)
    });
    let created_at = fields.optional("created_at", input.created_at, |text| moment(text, now));
    let (email, password_hash) = fields.finish(email.zip(password_hash))?;
    Ok(ImportedUser {
        id: id.unwrap_or_else(|| UserId::from_uuid(sso.random.uuid_v7(now))),
        keeps_id: id.is_some(),
        email,
        password_hash,
        name,
        birthday,
        is_admin: input.is_admin,
        disabled: input.disabled,
        created_at: created_at.unwrap_or(now),
    })
}

/// Whether it shows by time that there is somebody with this hash, until he has signed in once: a failed login
/// answers at another multiple of the floor than one of nobody.
pub fn shows_by_time(sso: &Sso, hash: &PasswordHash) -> bool {
    let floor = sso.policy.failure_floor.as_micros().max(1);
    let floors = |hash| sso.hasher.takes(hash).as_micros().div_ceil(floor);
    floors(Some(hash)) != floors(None)
}

fn admitted(sso: &Sso, text: &str) -> Result<PasswordHash, FieldError> {
    let hash = PasswordHash::new(text);
    let bad = |why: &str| {
        let why = format!("password_hash: {why}");
        FieldError::new("password_hash", "invalid_password_hash", why)
    };
    match sso.hasher.admits(&hash) {
        Ok(()) => Ok(hash),
        Err(HashError::Unreadable(why)) => Err(bad(why)),
        Err(_) => Err(bad("hashes cannot be judged now")),
    }
}

/// Not in the future: the time of a registration is past.
fn moment(text: &str, now: OffsetDateTime) -> Result<OffsetDateTime, FieldError> {
    let bad = |why| FieldError::new("created_at", "invalid_created_at", why);
    let time = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| bad("created_at must be a time as in 2026-03-01T12:00:00Z"))?
        .to_offset(time::UtcOffset::UTC);
    if time > now || time.year() < 1970 {
        return Err(bad("created_at must lie between 1970 and now"));
    }
    Ok(time
        .replace_nanosecond(time.nanosecond() / 1_000 * 1_000)
        .unwrap_or(time))
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Not an administrator.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// The store did not do it, or its answer was lost.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::NotAllowed(error) => error.into(),
            ImportError::Store(error) => error.into(),
        }
    }
}

/// Stores a batch of users in one transaction, each with a record in the audit log and none with
/// an event, and says of each what became of him.
pub async fn import(
    sso: &Sso,
    caller: &Caller,
    users: &[ImportedUser],
) -> Result<Vec<Imported>, ImportError> {
    caller.may_administer_users()?;
    let mut tx = sso.store.begin().await?;
    let outcomes = tx.import_users(users).await?;
    let records: Vec<_> = users
        .iter()
        .zip(&outcomes)
        .filter(|(_, outcome)| **outcome == Imported::Stored)
        .map(|(user, _)| sso.record(caller, AuditAction::UserImport).about(user.id))
        .collect();
    tx.append_audits(&records).await?;
    tx.commit().await?;
    Ok(outcomes)
}
