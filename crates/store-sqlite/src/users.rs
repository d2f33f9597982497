//! Users.

use async_trait::async_trait;
use rusqlite::{Connection, named_params};
use sso_core::{
    ports::{
        StoreError,
        store::{Freshness, NewUser, PasswordChange, User, UserPage, UserStore, UserWrites},
    },
    values::{Email, Name, PasswordHash, UserId},
};

use crate::{
    codec::{self, micros, version},
    fault::Fault,
    query::{all, execute, first},
    store::SqliteStore,
    tx::SqliteTx,
};

const BY_EMAIL: &str = "SELECT * FROM users WHERE email_canonical = :canonical";

pub(crate) const BY_ID: &str = "SELECT * FROM users WHERE id = :id";

const PAGE: &str = "SELECT * FROM users WHERE id > :after ORDER BY id LIMIT :limit";

const REHASH: &str = "
    UPDATE users SET password_hash = :new WHERE id = :id AND password_hash = :verified";

const INSERT: &str = "
    INSERT INTO users (id, email, email_canonical, email_verified, password_hash, name, birthday,
                       is_admin, disabled, version, sessions_from, created_at)
    SELECT :id, :email, :canonical, 0, :password_hash, :name, :birthday,
           :is_admin, 0, 1, 0, :created_at
    WHERE NOT EXISTS (SELECT 1 FROM deleted_users WHERE id = :id)
    RETURNING *";

const SET_PASSWORD: &str = "
    UPDATE users
    SET password_hash = :password_hash, version = version + 1, sessions_from = version + 1
    WHERE id = :id AND (:seen IS NULL OR version = :seen)
    RETURNING *";

const DISABLE: &str = "
    UPDATE users SET disabled = 1, version = version + 1, sessions_from = version + 1
    WHERE id = :id AND NOT disabled
    RETURNING *";

const ENABLE: &str = "
    UPDATE users SET disabled = 0, version = version + 1
    WHERE id = :id AND disabled
    RETURNING *";

const SET_ADMIN: &str = "
    UPDATE users SET is_admin = :to, version = version + 1
    WHERE id = :id AND is_admin <> :to
    RETURNING *";

const END_SESSIONS: &str = "
    UPDATE users SET version = version + 1, sessions_from = version + 1
    WHERE id = :id
    RETURNING *";

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    BY_EMAIL,
    BY_ID,
    PAGE,
    REHASH,
    INSERT,
    SET_PASSWORD,
    DISABLE,
    ENABLE,
    SET_ADMIN,
    END_SESSIONS,
];

/// The user with this id.
pub(crate) fn by_id(connection: &Connection, id: UserId) -> Result<Option<User>, Fault> {
    first(
        connection,
        BY_ID,
        named_params! {":id": id.as_uuid().into_bytes()},
        codec::user,
    )
}

/// The user with this canonical address.
pub(crate) fn by_email(connection: &Connection, email: &Email) -> Result<Option<User>, Fault> {
    let params = named_params! {":canonical": email.canonical()};
    first(connection, BY_EMAIL, params, codec::user)
}

pub(crate) fn insert(connection: &Connection, user: &NewUser) -> Result<User, Fault> {
    let inserted = first(
        connection,
        INSERT,
        named_params! {
            ":id": user.id.as_uuid().into_bytes(),
            ":email": user.email.as_typed(),
            ":canonical": user.email.canonical(),
            ":password_hash": user.password_hash.as_str(),
            ":name": user.name.as_ref().map(Name::as_str),
            ":birthday": user.birthday.map(|day| day.to_string()),
            ":is_admin": user.is_admin,
            ":created_at": micros(user.created_at),
        },
        codec::user,
    )?;
    inserted.ok_or(Fault::DeletedId)
}

fn set_password(connection: &Connection, change: &PasswordChange) -> Result<Option<User>, Fault> {
    first(
        connection,
        SET_PASSWORD,
        named_params! {
            ":id": change.user.as_uuid().into_bytes(),
            ":seen": change.seen.map(version).transpose()?,
            ":password_hash": change.password_hash.as_str(),
        },
        codec::user,
    )
}

/// `None` also where nothing was to be changed: then the row is returned as it is.
fn set_disabled(connection: &Connection, id: UserId, to: bool) -> Result<Option<User>, Fault> {
    let sql = if to { DISABLE } else { ENABLE };
    let params = named_params! {":id": id.as_uuid().into_bytes()};
    match first(connection, sql, params, codec::user)? {
        Some(user) => Ok(Some(user)),
        None => by_id(connection, id),
    }
}

fn set_admin(connection: &Connection, id: UserId, to: bool) -> Result<Option<User>, Fault> {
    let params = named_params! {":id": id.as_uuid().into_bytes(), ":to": to};
    match first(connection, SET_ADMIN, params, codec::user)? {
        Some(user) => Ok(Some(user)),
        None => by_id(connection, id),
    }
}

#[async_trait]
impl UserStore for SqliteStore {
    async fn user_by_email(
        &self,
        email: &Email,
        _fresh: Freshness,
    ) -> Result<Option<User>, StoreError> {
        let canonical = email.canonical().to_owned();
        self.read(move |connection| {
            let params = named_params! {":canonical": canonical};
            first(connection, BY_EMAIL, params, codec::user)
        })
        .await
    }

    async fn user(&self, id: UserId, _fresh: Freshness) -> Result<Option<User>, StoreError> {
        self.read(move |connection| by_id(connection, id)).await
    }

    async fn users(&self, page: UserPage) -> Result<Vec<User>, StoreError> {
        self.read(move |connection| {
            // No id is below the empty one.
            let after = page.after.map(|id| id.as_uuid().into_bytes().to_vec());
            all(
                connection,
                PAGE,
                named_params! {":after": after.unwrap_or_default(), ":limit": page.limit},
                codec::user,
            )
        })
        .await
    }

    async fn rehash(
        &self,
        user: UserId,
        verified: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<bool, StoreError> {
        let (verified, new) = (verified.clone(), new.clone());
        self.write(move |connection| {
            let params = named_params! {
                ":id": user.as_uuid().into_bytes(),
                ":verified": verified.as_str(),
                ":new": new.as_str(),
            };
            Ok(execute(connection, REHASH, params)? == 1)
        })
        .await
    }
}

#[async_trait]
impl UserWrites for SqliteTx {
    async fn insert_user(&mut self, user: &NewUser) -> Result<User, StoreError> {
        let user = user.clone();
        self.step(move |connection| insert(connection, &user)).await
    }

    async fn set_password(&mut self, change: &PasswordChange) -> Result<Option<User>, StoreError> {
        let change = change.clone();
        self.step(move |connection| set_password(connection, &change))
            .await
    }

    async fn set_disabled(&mut self, user: UserId, to: bool) -> Result<Option<User>, StoreError> {
        self.step(move |connection| set_disabled(connection, user, to))
            .await
    }

    async fn set_admin(&mut self, user: UserId, to: bool) -> Result<Option<User>, StoreError> {
        self.step(move |connection| set_admin(connection, user, to))
            .await
    }

    async fn end_user_sessions(&mut self, user: UserId) -> Result<Option<User>, StoreError> {
        self.step(move |connection| {
            let params = named_params! {":id": user.as_uuid().into_bytes()};
            first(connection, END_SESSIONS, params, codec::user)
        })
        .await
    }
}
