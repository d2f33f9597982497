//! Users.

use async_trait::async_trait;
use sso_core::{
    ports::{
        StoreError,
        store::{
            Effect, Freshness, NewUser, PasswordChange, User, UserPage, UserStore, UserWrites,
        },
    },
    values::{Birthday, Email, Name, PasswordHash, UserId},
};
use time::Date;
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use crate::{
    codec::{self, user_columns, version},
    commit::Witness,
    error::Fault,
    query::{Params, first},
    store::{PostgresStore, floor},
    tx::PostgresTx,
};

pub(crate) const BY_EMAIL: &str = concat!(
    "SELECT ",
    user_columns!(),
    " FROM users u WHERE u.email_canonical = $1"
);

const BY_ID: &str = concat!("SELECT ", user_columns!(), " FROM users u WHERE u.id = $1");

const PAGE: &str = concat!(
    "SELECT ",
    user_columns!(),
    " FROM users u WHERE u.id > $1 ORDER BY u.id LIMIT $2"
);

const FIRST_PAGE: &str = concat!(
    "SELECT ",
    user_columns!(),
    " FROM users u ORDER BY u.id LIMIT $1"
);

const REHASH: &str = "
    UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2 RETURNING 1";

/// The version is the first of the timeline.
pub(crate) const INSERT: &str = concat!(
    "INSERT INTO users AS u (id, email, email_canonical, email_verified, password_hash, name,
                             birthday, is_admin, disabled, version, sessions_from, created_at)
     SELECT $1::uuid, $2, $3, false, $4, $5, $6, $7, false, next_version(0), 0, $8
     WHERE NOT EXISTS (SELECT 1 FROM deleted_users d WHERE d.id = $1)
     RETURNING ",
    user_columns!()
);

const SET_PASSWORD: &str = concat!(
    "UPDATE users u
     SET password_hash = $3, version = next_version(u.version),
         sessions_from = next_version(u.version)
     WHERE u.id = $1 AND ($2::bigint IS NULL OR u.version = $2)
     RETURNING ",
    user_columns!()
);

const DISABLE: &str = concat!(
    "UPDATE users u
     SET disabled = true, version = next_version(u.version),
         sessions_from = next_version(u.version)
     WHERE u.id = $1 AND NOT u.disabled
     RETURNING ",
    user_columns!()
);

const ENABLE: &str = concat!(
    "UPDATE users u SET disabled = false, version = next_version(u.version)
     WHERE u.id = $1 AND u.disabled
     RETURNING ",
    user_columns!()
);

const SET_ADMIN: &str = concat!(
    "UPDATE users u SET is_admin = $2, version = next_version(u.version)
     WHERE u.id = $1 AND u.is_admin <> $2
     RETURNING ",
    user_columns!()
);

const END_SESSIONS: &str = concat!(
    "UPDATE users u
     SET version = next_version(u.version), sessions_from = next_version(u.version)
     WHERE u.id = $1
     RETURNING ",
    user_columns!()
);

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    BY_EMAIL,
    BY_ID,
    PAGE,
    FIRST_PAGE,
    REHASH,
    INSERT,
    SET_PASSWORD,
    DISABLE,
    ENABLE,
    SET_ADMIN,
    END_SESSIONS,
];

impl PostgresStore {
    async fn one_user(
        &self,
        sql: &'static str,
        params: Params<'_>,
        fresh: Freshness,
    ) -> Result<Option<User>, StoreError> {
        match floor(fresh) {
            Some(floor) => {
                let is_fresh = move |user: &User| user.version >= floor;
                self.read_near(sql, params, codec::user, is_fresh).await
            }
            None => self.read_first(sql, params, codec::user).await,
        }
    }
}

#[async_trait]
impl UserStore for PostgresStore {
    async fn user_by_email(
        &self,
        email: &Email,
        fresh: Freshness,
    ) -> Result<Option<User>, StoreError> {
        self.one_user(BY_EMAIL, &[&email.canonical()], fresh).await
    }

    async fn user(&self, id: UserId, fresh: Freshness) -> Result<Option<User>, StoreError> {
        self.one_user(BY_ID, &[&id.as_uuid()], fresh).await
    }

    async fn users(&self, page: UserPage) -> Result<Vec<User>, StoreError> {
        let limit = i64::from(page.limit);
        match page.after {
            Some(after) => {
                let after = after.as_uuid();
                self.read_all(PAGE, &[&after, &limit], codec::user).await
            }
            None => self.read_all(FIRST_PAGE, &[&limit], codec::user).await,
        }
    }

    async fn rehash(
        &self,
        user: UserId,
        verified: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<bool, StoreError> {
        let id = user.as_uuid();
        let rows = self
            .write(REHASH, &[&id, &verified.as_str(), &new.as_str()])
            .await?;
        Ok(!rows.is_empty())
    }
}

impl PostgresTx {
    /// A change of a user's row that takes effect everywhere.
    async fn change(
        &mut self,
        effect: Effect,
        sql: &'static str,
        params: Params<'_>,
    ) -> Result<Option<User>, StoreError> {
        self.durable = true;
        self.effect = Some(effect);
        self.first(sql, params, codec::user).await
    }

    /// The same where nothing was to be changed: then the row is returned as it is.
    async fn change_or_not(
        &mut self,
        effect: Effect,
        sql: &'static str,
        params: Params<'_>,
        id: Uuid,
    ) -> Result<Option<User>, StoreError> {
        match self.change(effect, sql, params).await? {
            Some(user) => Ok(Some(user)),
            None => self.first(BY_ID, &[&id], codec::user).await,
        }
    }
}

/// The parameters of [`INSERT`].
pub(crate) struct Inserting<'a> {
    id: Uuid,
    email: &'a str,
    canonical: &'a str,
    password_hash: &'a str,
    name: Option<&'a str>,
    birthday: Option<Date>,
    new: &'a NewUser,
}

impl<'a> Inserting<'a> {
    pub(crate) fn of(new: &'a NewUser) -> Self {
        Self {
            id: new.id.as_uuid(),
            email: new.email.as_typed(),
            canonical: new.email.canonical(),
            password_hash: new.password_hash.as_str(),
            name: new.name.as_ref().map(Name::as_str),
            birthday: new.birthday.map(Birthday::date),
            new,
        }
    }

    pub(crate) fn params(&self) -> [&(dyn ToSql + Sync); 8] {
        [
            &self.id,
            &self.email,
            &self.canonical,
            &self.password_hash,
            &self.name,
            &self.birthday,
            &self.new.is_admin,
            &self.new.created_at,
        ]
    }
}

impl PostgresTx {
    /// It is found by him, whatever else it does.
    pub(crate) fn inserts(&mut self, user: &NewUser) {
        self.durable = true;
        self.witness = Some(Witness::User(user.id.as_uuid()));
    }

    /// What [`INSERT`] returned.
    pub(crate) fn inserted(&mut self, rows: &[Row]) -> Result<User, StoreError> {
        let Some(user) = first(rows, codec::user)? else {
            self.fail();
            return Err(Fault::DeletedId.into());
        };
        Ok(user)
    }
}

#[async_trait]
impl UserWrites for PostgresTx {
    async fn insert_user(&mut self, user: &NewUser) -> Result<User, StoreError> {
        let new = Inserting::of(user);
        self.inserts(user);
        let rows = self.rows(INSERT, &new.params()).await?;
        self.inserted(&rows)
    }

    async fn set_password(&mut self, change: &PasswordChange) -> Result<Option<User>, StoreError> {
        let id = change.user.as_uuid();
        let seen = change.seen.map(version).transpose()?;
        let params: Params<'_> = &[&id, &seen, &change.password_hash.as_str()];
        self.change(Effect::Password, SET_PASSWORD, params).await
    }

    async fn set_disabled(&mut self, user: UserId, to: bool) -> Result<Option<User>, StoreError> {
        let id = user.as_uuid();
        let (effect, sql) = if to {
            (Effect::Disable, DISABLE)
        } else {
            (Effect::Sessions, ENABLE)
        };
        self.change_or_not(effect, sql, &[&id], id).await
    }

    async fn set_admin(&mut self, user: UserId, to: bool) -> Result<Option<User>, StoreError> {
        let id = user.as_uuid();
        self.change_or_not(Effect::Admin, SET_ADMIN, &[&id, &to], id)
            .await
    }

    async fn end_user_sessions(&mut self, user: UserId) -> Result<Option<User>, StoreError> {
        let id = user.as_uuid();
        self.change(Effect::Sessions, END_SESSIONS, &[&id]).await
    }
}
