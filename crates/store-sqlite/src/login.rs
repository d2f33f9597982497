//! What a login and a registration write, each as one message: with a message for each step the
//! writing thread and the caller would wake each other four times as often.

use rusqlite::Connection;
use sso_core::{
    audit::Journal,
    ports::{
        StoreError,
        store::{
            LoggedIn, NewEvent, NewLogin, NewRevocation, NewSession, NewUser, Revoked, Session,
            User,
        },
    },
};

use crate::{audit, fault::Fault, lives, outbox, revocations, sessions, store::SqliteStore, users};

/// Opens the session, ends those beyond what is kept, and records it. `None`: what was seen is
/// stale, and nothing was written.
fn log_in(connection: &Connection, login: &NewLogin<'_>) -> Result<Option<LoggedIn>, Fault> {
    let Some((user, session)) = sessions::open(connection, login.session, login.seen)? else {
        return Ok(None);
    };
    let surplus = sessions::end_oldest(connection, user.id, login.keep, login.alive)?;
    let mut ended = Vec::with_capacity(surplus.len());
    if !surplus.is_empty() {
        let until = login.until.with(lives::longest(connection)?);
        for session in surplus {
            let revoked = Revoked::Session(session.id);
            let revocation = NewRevocation { revoked, until };
            ended.push(revocations::insert(connection, &revocation)?);
        }
    }
    audit::append(connection, login.record)?;
    Ok(Some(LoggedIn {
        user,
        session,
        ended,
    }))
}

/// Stores the user, his event, and his first session if one is given.
pub(crate) fn register(
    connection: &Connection,
    user: &NewUser,
    event: &NewEvent,
    session: Option<&NewSession>,
) -> Result<(User, Option<Session>), Fault> {
    let user = users::insert(connection, user)?;
    outbox::append(connection, event)?;
    let opened = session
        .map(|session| sessions::open(connection, session, user.version))
        .transpose()?;
    Ok((user, opened.flatten().map(|(_, session)| session)))
}

impl SqliteStore {
    pub(crate) async fn log_in_at_once(
        &self,
        login: &NewLogin<'_>,
    ) -> Result<Option<LoggedIn>, StoreError> {
        let &NewLogin {
            session,
            seen,
            keep,
            alive,
            until,
            record,
        } = login;
        let (session, owned) = (session.clone(), record.clone());
        let done = self.write(move |connection| {
            let login = NewLogin {
                session: &session,
                seen,
                keep,
                alive,
                until,
                record: &owned,
            };
            log_in(connection, &login)
        });
        let done = done.await?;
        if done.is_some() {
            Journal::write(record);
        }
        Ok(done)
    }
}
