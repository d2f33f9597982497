//! The signing keys: what there is, a new one, an end of an old one, another master key.
//!
//! A new key is published first and signs later: when nobody can hold a JWKS without it any more.
//! An old one verifies until the last token that it signed is over.

mod tend;

use std::time::Duration;

use time::OffsetDateTime;

pub use tend::{Tended, is_due, tend};

use crate::{
    caller::{Caller, NotAllowed},
    failure::{BadFields, Failure, FieldError, Fields, Kind},
    ports::{
        KeySealer, NoKey, StoreError,
        store::{AuditAction, KeyUse, NewAudit, Reach, RetiredKey, Retirement, Revoked, SealedKey},
    },
    sso::Sso,
    usecases::once_more::once_more,
};

/// Within this every instance has read a new key and publishes it: they look twice a second.
pub const SPREAD: Duration = Duration::from_secs(2);
/// Most keys that are not retired: rotation beyond it is refused.
pub const MAX_KEYS: usize = 512;
/// How many retired keys a list shows.
const RETIRED_SHOWN: u32 = 100;
/// Attempts of a rotation or a reseal whose ring was changed meanwhile.
const ATTEMPTS: u32 = 5;

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// Not an administrator.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// Retired before, or never made.
    #[error("no such key")]
    NotFound,
    /// Without it nothing could be signed or verified.
    #[error("no other key of this use signs yet: rotate first, and wait until the new one signs")]
    LastKey,
    /// Another rotation came first.
    #[error("the keys were rotated by somebody else meanwhile: look at them again")]
    Contended,
    /// As many as there may be.
    #[error("there are {MAX_KEYS} keys that are not retired: retire some first")]
    TooMany,
    /// The ring was emptied by hand.
    #[error("there is no key for {} tokens in the database", .0.as_str())]
    Missing(KeyUse),
    /// A field is bad.
    #[error(transparent)]
    Invalid(#[from] BadFields),
    /// No key could be made or opened.
    #[error(transparent)]
    Key(#[from] NoKey),
    /// The store did not do it, or its answer was lost.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<KeysError> for Failure {
    fn from(error: KeysError) -> Self {
        let not_now = |code| Self::new(Kind::Precondition, code, error.to_string());
        match error {
            KeysError::NotAllowed(error) => error.into(),
            KeysError::Invalid(bad) => bad.into(),
            KeysError::NotFound => Self::new(Kind::NotFound, "not_found", "no such key"),
            KeysError::LastKey => not_now("last_key"),
            KeysError::Contended => not_now("keys_changed"),
            KeysError::TooMany => not_now("too_many_keys"),
            KeysError::Missing(_) | KeysError::Key(_) => Self::unavailable(
                "unavailable",
                "the signing keys in the database cannot be used now",
                Duration::from_secs(1),
            )
            .because(error),
            KeysError::Store(error) => error.into(),
        }
    }
}

/// What a key does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// Published; signs later.
    Next,
    /// Signs new tokens.
    Signing,
    /// Signs nothing any more; tokens that it signed are still good.
    Verifying,
    /// Over, with every token that it signed.
    Retired,
}

impl KeyState {
    /// On the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Signing => "signing",
            Self::Verifying => "verifying",
            Self::Retired => "retired",
        }
    }
}

/// A key as it is shown: nothing of its private part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// `kid`.
    pub id: String,
    /// What it signs.
    pub usage: KeyUse,
    /// `alg`.
    pub algorithm: String,
    /// What it does now.
    pub state: KeyState,
    /// Microseconds.
    pub created_at: OffsetDateTime,
    /// When it starts, or started, to sign.
    pub signs_from: OffsetDateTime,
    /// If it is.
    pub retired_at: Option<OffsetDateTime>,
}

impl Listed {
    fn live(key: &SealedKey, state: KeyState) -> Self {
        Self {
            id: key.id.clone(),
            usage: key.usage,
            algorithm: key.algorithm.clone(),
            state,
            created_at: key.created_at,
            signs_from: key.signs_from,
            retired_at: None,
        }
    }

    fn retired(key: RetiredKey) -> Self {
        Self {
            id: key.id,
            usage: key.usage,
            algorithm: key.algorithm,
            state: KeyState::Retired,
            created_at: key.created_at,
            signs_from: key.signs_from,
            retired_at: Some(key.retired_at),
        }
    }
}

/// Every key of the ring by use and by the time from which it signs; then the last 100 retired.
pub async fn list(sso: &Sso, caller: &Caller) -> Result<Vec<Listed>, KeysError> {
    caller.may_administer_keys()?;
    let stored = sso.store.keys().await?;
    let now = sso.now();
    let mut listed = Vec::with_capacity(stored.len());
    for usage in KeyUse::ALL {
        let keys = of_use(&stored, usage);
        // As the ring has it: before the first signs, it does.
        let signing = keys.iter().rposition(|key| key.signs_from <= now);
        let signing = signing.unwrap_or(0);
        listed.extend(keys.iter().enumerate().map(|(at, key)| {
            let state = match at.cmp(&signing) {
                std::cmp::Ordering::Less => KeyState::Verifying,
                std::cmp::Ordering::Equal => KeyState::Signing,
                std::cmp::Ordering::Greater => KeyState::Next,
            };
            Listed::live(key, state)
        }));
    }
    let retired = sso.store.retired_keys(RETIRED_SHOWN).await?;
    listed.extend(retired.into_iter().map(Listed::retired));
    Ok(listed)
}

/// When a new key starts to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Start {
    /// When nobody can hold a JWKS without it any more.
    Published,
    /// As soon as every instance has it: after a theft. Services that keep the JWKS and do not ask
    /// again for an unknown `kid` refuse its tokens for up to the max-age.
    AtOnce,
}

/// Parses what keys are to be made for: `access`, `refresh`, or `""` for both.
pub fn parse_use(text: &str, mut fields: Fields) -> Result<Vec<KeyUse>, BadFields> {
    let usage = fields.optional("use", Some(text), |text| {
        let why = "use must be access or refresh";
        let mut known = KeyUse::ALL.into_iter();
        known
            .find(|usage| usage.as_str() == text)
            .ok_or_else(|| FieldError::new("use", "invalid_use", why))
    });
    fields.finish(Some(
        usage.map_or_else(|| KeyUse::ALL.to_vec(), |usage| vec![usage]),
    ))
}

/// Parses the id of a key: any text that a store can hold, of which one of ours is a key's.
pub fn parse_id(text: &str, mut fields: Fields) -> Result<String, BadFields> {
    let id = fields.required("key_id", Some(text), |text| {
        let why = "key_id must not have control characters";
        (!text.contains(char::is_control))
            .then(|| text.to_owned())
            .ok_or_else(|| FieldError::new("key_id", "invalid_key_id", why))
    });
    fields.finish(id)
}

/// Makes a key for each of `usages`, in one transaction.
pub async fn rotate(
    sso: &Sso,
    caller: &Caller,
    usages: &[KeyUse],
    start: Start,
) -> Result<Vec<Listed>, KeysError> {
    caller.may_administer_keys()?;
    let seen = sso.store.keys().await?;
    let made_by = sso.record(caller, AuditAction::KeyRotate);
    add(sso, &seen, usages, start, &made_by).await
}

/// Adds keys to the ring `seen`. A retirement or a reseal that comes between is no reason to give
/// up; another rotation is: of two that were decided on one ring one is made.
async fn add(
    sso: &Sso,
    seen: &[SealedKey],
    usages: &[KeyUse],
    start: Start,
    record: &NewAudit,
) -> Result<Vec<Listed>, KeysError> {
    let mut ring = seen.to_vec();
    for _ in 0..ATTEMPTS {
        if let Some(made) = try_add(sso, &ring, usages, start, record).await? {
            return Ok(made);
        }
        ring = sso.store.keys().await?;
        let is_new = |key: &SealedKey| seen.iter().all(|known| known.id != key.id);
        if ring
            .iter()
            .any(|key| usages.contains(&key.usage) && is_new(key))
        {
            break;
        }
    }
    Err(KeysError::Contended)
}

/// `None`: the ring is no longer `seen`.
async fn try_add(
    sso: &Sso,
    seen: &[SealedKey],
    usages: &[KeyUse],
    start: Start,
    record: &NewAudit,
) -> Result<Option<Vec<Listed>>, KeysError> {
    if seen.len() + usages.len() > MAX_KEYS {
        return Err(KeysError::TooMany);
    }
    let mut new = Vec::with_capacity(usages.len());
    for usage in usages {
        let beside = of_use(seen, *usage).last().copied().cloned();
        let beside = beside.ok_or(KeysError::Missing(*usage))?;
        new.push(sso.keys.make(beside).await?);
    }
    // Only now: to make a key may take seconds, and they are none of its publication.
    let (created_at, wait) = match start {
        Start::Published => (sso.now(), sso.policy.keys.jwks_max_age + SPREAD),
        Start::AtOnce => (sso.now(), SPREAD),
    };
    for key in &mut new {
        key.created_at = created_at;
        key.signs_from = next_second(created_at + wait);
    }
    let mut tx = sso.store.begin().await?;
    if !tx.insert_keys(&new, seen).await? {
        return Ok(None);
    }
    let records: Vec<_> = new.iter().map(|key| of_key(record, key)).collect();
    tx.append_audits(&records).await?;
    tx.commit().await?;
    for key in &new {
        tracing::info!(
            kid = key.id, usage = key.usage.as_str(), algorithm = key.algorithm,
            signs_from = %key.signs_from,
            "a signing key was made"
        );
    }
    let listed = new.iter().map(|key| Listed::live(key, KeyState::Next));
    Ok(Some(listed.collect()))
}

/// A key that was retired, and who obeys that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The key.
    pub key: Listed,
    /// Who refuses its tokens.
    pub reach: Reach,
}

/// Ends a key with every token that it signed: it leaves the ring and the JWKS, and its private
/// part is destroyed.
pub async fn retire(sso: &Sso, caller: &Caller, kid: &str) -> Result<Ended, KeysError> {
    caller.may_administer_keys()?;
    once_more(|| end(sso, kid, sso.record(caller, AuditAction::KeyRetire))).await
}

async fn end(sso: &Sso, kid: &str, record: NewAudit) -> Result<Ended, KeysError> {
    let mut tx = sso.store.begin().await?;
    let key = match tx.retire_key(kid, sso.now()).await? {
        Retirement::Retired(key) => key,
        Retirement::Last => return Err(KeysError::LastKey),
        Retirement::Unknown => return Err(KeysError::NotFound),
    };
    let record = record.with(in_words(key.usage, &key.algorithm, &key.id));
    let over = Revoked::Key(sso.keys.tag(kid));
    let reach = sso.commit_over(tx, over, &record).await?;
    tracing::info!(
        kid = key.id,
        usage = key.usage.as_str(),
        "a signing key was retired"
    );
    let key = Listed::retired(key);
    Ok(Ended { key, reach })
}

/// Seals every key under another master key, all or none; says how many.
pub async fn reseal(
    sso: &Sso,
    caller: &Caller,
    sealer: &dyn KeySealer,
) -> Result<usize, KeysError> {
    caller.may_administer_keys()?;
    for _ in 0..ATTEMPTS {
        let seen = sso.store.keys().await?;
        let resealed = sealer.reseal(&seen)?;
        let mut tx = sso.store.begin().await?;
        if tx.reseal_keys(&resealed, &seen).await? {
            let record = sso.record(caller, AuditAction::KeysReseal);
            let record = record.with(format!("{} keys", seen.len()));
            tx.append_audit(&record).await?;
            tx.commit().await?;
            tracing::info!(keys = seen.len(), "the signing keys were resealed");
            return Ok(seen.len());
        }
    }
    Err(KeysError::Contended)
}

/// What `record` tells, of this key.
fn of_key(record: &NewAudit, key: &SealedKey) -> NewAudit {
    let at = key.created_at;
    let record = NewAudit {
        at,
        ..record.clone()
    };
    record.with(in_words(key.usage, &key.algorithm, &key.id))
}

fn in_words(usage: KeyUse, algorithm: &str, kid: &str) -> String {
    format!("{} key {kid}, {algorithm}", usage.as_str())
}

/// The keys of one use by the time from which they sign, as the ring orders them.
fn of_use(keys: &[SealedKey], usage: KeyUse) -> Vec<&SealedKey> {
    let mut keys: Vec<_> = keys.iter().filter(|key| key.usage == usage).collect();
    keys.sort_by(|a, b| (a.signs_from, &a.id).cmp(&(b.signs_from, &b.id)));
    keys
}

/// Tokens have whole seconds: a key that is to sign from within one signs from the next.
fn next_second(time: OffsetDateTime) -> OffsetDateTime {
    let second = time.replace_nanosecond(0).unwrap_or(time);
    if second == time {
        time
    } else {
        second + Duration::from_secs(1)
    }
}
