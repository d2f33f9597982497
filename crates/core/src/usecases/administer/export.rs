//! Everything that is known of a user.

use super::{AdministerError, get};
use crate::{
    caller::Caller,
    ports::{
        StoreError,
        store::{AuditAction, AuditPage, AuditRecord, Session, User, UserEvent},
    },
    sso::Sso,
    usecases::Named,
    values::UserId,
};

/// Rows of one read.
const PAGE: u32 = 500;

/// All of it. Without his password's hash being meant for anybody: who prints this leaves it out.
#[derive(Debug, Clone)]
pub struct UserData {
    /// His row.
    pub user: User,
    /// His sessions, alive or not, oldest first.
    pub sessions: Vec<Session>,
    /// What others were told of him, oldest first.
    pub events: Vec<UserEvent>,
    /// What was done to him, newest first.
    pub audit: Vec<AuditRecord>,
}

/// Reads all that is stored of a user. That somebody did so is recorded first.
pub async fn export(sso: &Sso, caller: &Caller, user: UserId) -> Result<UserData, AdministerError> {
    let found = get(sso, caller, &Named::Id(user)).await?;
    let mut tx = sso.store.begin().await?;
    let record = sso.record(caller, AuditAction::UserExport).about(user);
    tx.append_audit(&record).await?;
    tx.commit().await?;
    Ok(UserData {
        user: found,
        sessions: sessions(sso, user).await?,
        events: events(sso, user).await?,
        audit: audit(sso, user).await?,
    })
}

async fn sessions(sso: &Sso, user: UserId) -> Result<Vec<Session>, StoreError> {
    let mut all: Vec<Session> = Vec::new();
    loop {
        let after = all.last().map(|session| session.id);
        let page = sso.store.sessions_of(user, after, PAGE).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

async fn events(sso: &Sso, user: UserId) -> Result<Vec<UserEvent>, StoreError> {
    let mut all: Vec<UserEvent> = Vec::new();
    loop {
        let after = all.last().map_or(0, |event| event.sequence);
        let page = sso.store.events_of(user, after, PAGE).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

async fn audit(sso: &Sso, user: UserId) -> Result<Vec<AuditRecord>, StoreError> {
    let mut all: Vec<AuditRecord> = Vec::new();
    loop {
        let page = AuditPage {
            user: Some(user),
            before: all.last().map(|record| record.sequence),
            limit: PAGE,
            ..AuditPage::default()
        };
        let page = sso.store.audit(&page).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}
