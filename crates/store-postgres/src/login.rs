//! A login in one round trip: all of it is sent at once, COMMIT included, and each statement after
//! the first does nothing where that has opened no session.

use futures_util::future;
use sso_core::{
    audit::Journal,
    ports::{
        StoreError, Tx as _,
        store::{Constraint, LoggedIn, MAX_NETWORKS, NewLogin, Session, User},
    },
};
use tokio_postgres::{Error, Row, Statement};

use crate::{
    audit,
    codec::{self, revocation_columns, session_columns, user_columns},
    error::Fault,
    networks,
    query::{self, Params, within},
    servers,
    sessions::{self, Opening},
    store::{ATTEMPTS, PostgresStore},
    tx::{BEGIN, PostgresTx, State},
};

/// A statement of its own, after the row of the user is locked: it sees what a login just before
/// has committed. `until` as in `Until::with`.
const END_SURPLUS: &str = concat!(
    "WITH ended AS (
         UPDATE sessions s SET revoked_at = $3
         WHERE s.id = ANY (ARRAY(
             SELECT o.id FROM sessions o JOIN users u ON u.id = o.user_id
             WHERE o.user_id = $1 AND o.revoked_at IS NULL AND o.expires_at > $3
               AND ($4::timestamptz IS NULL OR o.rotated_at > $4)
               AND o.version >= u.sessions_from AND NOT u.disabled
               AND EXISTS (SELECT 1 FROM sessions n WHERE n.id = $5)
             ORDER BY o.created_at DESC, o.id DESC OFFSET $2))
           AND s.revoked_at IS NULL
         RETURNING s.id, s.created_at),
     r AS (
         INSERT INTO revocations AS r (kind, subject, until)
         SELECT 'session', ended.id,
                greatest($6::timestamptz,
                         $7::timestamptz + interval '1 microsecond' * coalesce(
                             (SELECT max(longest) FROM token_lives WHERE kind = 'access'), 0))
         FROM ended ORDER BY ended.created_at, ended.id
         RETURNING r.*)
     SELECT ",
    revocation_columns!(),
    " FROM r ORDER BY r.id"
);

/// What ends waits for the standby; a login by itself does as the operator has chosen.
const COMMIT: &str = "
    SELECT set_config('synchronous_commit', 'on', true)
    WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')
      AND EXISTS (SELECT 1 FROM revocations WHERE xid = pg_current_xact_id_if_assigned());
    COMMIT";

/// What a login has opened whose answer was lost, if it has not ended since.
const OPENED: &str = concat!(
    "SELECT ",
    user_columns!(),
    ", ",
    session_columns!(),
    " FROM sessions s JOIN users u ON u.id = s.user_id
     WHERE s.id = $1 AND s.revoked_at IS NULL AND s.version >= u.sessions_from AND NOT u.disabled"
);

#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[END_SURPLUS, OPENED];

impl PostgresStore {
    /// Sent again, with the same ids, where it did nothing, and once where its answer was lost: if it
    /// is done nevertheless, or still being done, the id of the session says so.
    pub(crate) async fn log_in_at_once(
        &self,
        login: &NewLogin<'_>,
    ) -> Result<Option<LoggedIn>, StoreError> {
        let mut lost = false;
        for _ in 1..ATTEMPTS {
            match self.transaction().await?.log_in(login).await {
                Err(fault) if fault.was_cut_off() && !lost => lost = true,
                Err(fault) if fault.did_nothing() => {}
                Err(fault) if lost => return self.found(login, fault.into()).await,
                done => return Ok(done?),
            }
        }
        Err(StoreError::unavailable(
            "each attempt met another transaction",
        ))
    }

    /// Looking commits, and waits for the standby: what is only seen a failover may lose. The sessions
    /// that it has ended are told of by the next beat.
    async fn found(
        &self,
        login: &NewLogin<'_>,
        error: StoreError,
    ) -> Result<Option<LoggedIn>, StoreError> {
        let StoreError::Conflict(Constraint::Id) = error else {
            return Err(error);
        };
        for _ in 1..ATTEMPTS {
            match self.look_for(login).await {
                // The look was undone, the login may well be done: it is not to be sent anew.
                Err(StoreError::Undone(_)) => {}
                found => return found,
            }
        }
        Err(StoreError::unavailable(
            "each look for a login was undone by another",
        ))
    }

    async fn look_for(&self, login: &NewLogin<'_>) -> Result<Option<LoggedIn>, StoreError> {
        let id = login.session.id.as_uuid();
        let mut tx = Box::new(self.transaction().await?);
        tx.durable = true;
        let found = tx.first(OPENED, &[&id], codec::user_and_session).await?;
        tx.commit().await?;
        Ok(found.map(|(user, session)| logged_in(user, session)))
    }
}

fn logged_in(user: User, session: Session) -> LoggedIn {
    LoggedIn {
        user,
        session,
        ended: Vec::new(),
    }
}

impl PostgresTx {
    async fn log_in(mut self, login: &NewLogin<'_>) -> Result<Option<LoggedIn>, Fault> {
        let opening = Opening::of(login.session, Some(codec::version(login.seen)?));
        let user = login.session.user.as_uuid();
        let session = login.session.id.as_uuid();
        let (keep, networks) = (i64::from(login.keep), i64::from(MAX_NETWORKS));
        let records = std::slice::from_ref(login.record);
        let record = audit::Columns::of(records);
        let mut recorded = record.params().to_vec();
        recorded.push(&session);
        let steps: [(&'static str, Params<'_>); 4] = [
            (sessions::OPEN, &opening.params()),
            (networks::FORGET, &[&user, &networks]),
            (
                END_SURPLUS,
                &[
                    &user,
                    &keep,
                    &login.alive.now,
                    &login.alive.used_after,
                    &session,
                    &login.until.least,
                    &login.until.from,
                ],
            ),
            (audit::APPEND_OF_SESSION, &recorded),
        ];
        let warnings = self.connection.warnings();
        let [opened, _, ended, _] = self.all_at_once(steps).await?;
        let Some((user, session, _)) = query::first(&opened, sessions::opened)? else {
            return Ok(None);
        };
        let ended = query::all(&ended, codec::revocation)?;
        if self.connection.warnings() != warnings {
            self.connection.evict();
            return Err(Fault::Unconfirmed("the wait for a standby was cancelled"));
        }
        Journal::write(login.record);
        Ok(Some(LoggedIn {
            ended,
            ..logged_in(user, session)
        }))
    }

    /// BEGIN, these, and COMMIT. Where one fails PostgreSQL does nothing of what comes after it.
    async fn all_at_once<const N: usize>(
        &mut self,
        steps: [(&'static str, Params<'_>); N],
    ) -> Result<[Vec<Row>; N], Fault> {
        let patience = servers::of_answer(self.shared.patience);
        let prepare = async {
            let mut prepared = Vec::with_capacity(N);
            for (sql, _) in &steps {
                prepared.push(self.connection.prepare_cached(sql).await?);
            }
            Ok(prepared)
        };
        let prepared = within(&self.connection, patience, prepare).await?;
        self.state = State::UnderWay;
        let limit = patience.max(self.shared.limits.commit);
        let sent = self.send_all(&prepared, &steps);
        let answer = within(&self.connection, limit, sent).await;
        self.state = match &answer {
            Ok(_) => State::Over,
            Err(fault) if fault.is_severed() => State::UnderWay,
            Err(_) => State::Failed,
        };
        answer?
            .try_into()
            .map_err(|_| Fault::Undecodable("rows of each statement"))
    }

    async fn send_all(
        &self,
        prepared: &[Statement],
        steps: &[(&'static str, Params<'_>)],
    ) -> Result<Vec<Vec<Row>>, Error> {
        let answers = steps
            .iter()
            .zip(prepared)
            .map(|((_, params), statement)| self.connection.query(statement, params));
        // Polled in this order, and sent when they are polled first.
        let (begun, answers, committed) = future::join3(
            self.connection.batch_execute(BEGIN),
            future::join_all(answers.map(Box::pin)),
            self.connection.batch_execute(COMMIT),
        )
        .await;
        begun?;
        let rows = answers.into_iter().collect::<Result<_, _>>()?;
        committed?;
        Ok(rows)
    }
}
