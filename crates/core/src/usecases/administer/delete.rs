//! The end of a user: what is known of him goes, and his id never comes back.

use super::AdministerError;
use crate::{
    caller::Caller,
    ports::store::{AuditAction, Reach, Revoked},
    sso::Sso,
    usecases::once_more::once_more,
    values::{UserId, Version},
};

/// A user who is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deleted {
    /// Whose id never comes back.
    pub user: UserId,
    /// Who obeys that his tokens are over.
    pub reach: Reach,
}

/// Deletes a user with all that is known of him; his tokens are over. What stays: his id, that it
/// was deleted, and the records of the audit log with nothing but his id. An event that is still to
/// be delivered is delivered, and emptied then.
pub async fn delete(sso: &Sso, caller: &Caller, user: UserId) -> Result<Deleted, AdministerError> {
    caller.may_administer_users()?;
    sso.confirmed(|| once_more(|| delete_once(sso, caller, user)))
        .await
}

async fn delete_once(sso: &Sso, caller: &Caller, user: UserId) -> Result<Deleted, AdministerError> {
    let mut tx = sso.store.begin().await?;
    let last = tx
        .delete_user(user, sso.now())
        .await?
        .ok_or(AdministerError::NotFound)?;
    // No token can be above the last version, so this ends them all.
    let beyond = Version::new(last.version.get().saturating_add(1));
    let record = sso.record(caller, AuditAction::UserDelete).about(user);
    let over = Revoked::TokensBelow(user, beyond);
    let reach = sso.commit_over(tx, over, &record).await?;
    Ok(Deleted { user, reach })
}
