//! The audit log: reading it, and writing what strangers repeat.

mod page;

pub use page::{By, Filter, page, user_id};

use crate::{
    caller::{Caller, NotAllowed},
    failure::{BadFields, Failure, Kind},
    ports::{
        StoreError,
        store::{AuditPage, AuditRecord, NewAudit},
    },
    sso::Sso,
};

/// Most that a command lists at once.
pub const MAX_LISTED: u32 = 10_000;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Neither the operator nor somebody who may read it.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// A filter is bad.
    #[error(transparent)]
    Invalid(#[from] BadFields),
    /// Nobody has the address that was asked for.
    #[error("user not found")]
    NoSuchUser,
    /// The store did not do it, or its answer was lost.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::NotAllowed(_) => Self::new(
                Kind::Forbidden,
                "forbidden",
                "not allowed to read the audit log",
            ),
            AuditError::Invalid(bad) => bad.into(),
            AuditError::NoSuchUser => Self::new(Kind::NotFound, "not_found", "user not found"),
            AuditError::Store(error) => error.into(),
        }
    }
}

/// A page of the log, newest first; `limit` is cut to 10,000.
pub async fn list(
    sso: &Sso,
    caller: &Caller,
    page: &AuditPage,
) -> Result<Vec<AuditRecord>, AuditError> {
    caller.may_read_audit()?;
    let page = AuditPage {
        limit: page.limit.min(MAX_LISTED),
        ..page.clone()
    };
    Ok(sso.store.audit(&page).await?)
}

/// Writes what strangers have repeated and is due; `all`: also what is not, before the end of the
/// process. What the store does not take is tried again with what is due next (so a record whose COMMIT
/// got no answer may stand there twice); what there is no room for, or no time, is lost, with a line in
/// the log.
pub async fn flush(sso: &Sso, all: bool) -> Result<usize, StoreError> {
    let now = sso.now();
    let due = if all {
        sso.repeated.take_all(now)
    } else {
        sso.repeated.take_due(now)
    };
    if due.is_empty() {
        return Ok(0);
    }
    match write(sso, &due).await {
        Ok(()) => Ok(due.len()),
        Err(error) => {
            let lost = sso.repeated.give_back(due);
            if lost > 0 {
                tracing::error!(lost, "records of the audit log are lost");
            }
            Err(error)
        }
    }
}

async fn write(sso: &Sso, records: &[NewAudit]) -> Result<(), StoreError> {
    let mut tx = sso.store.begin().await?;
    tx.append_audits(records).await?;
    tx.commit().await
}
