//! Transactions of several steps.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{
    FutureExt,
    future::{self, BoxFuture},
};
use sso_core::{
    audit::Journal,
    ports::{
        StoreError, Tx,
        store::{Effect, NewAudit, NewEvent, NewSession, NewUser, Session, User},
    },
};
use sso_telemetry::statements::Family;
use tokio_postgres::{Error, Row, Statement};
use tracing::Instrument;

use crate::{
    audit,
    commit::Witness,
    error::Fault,
    outbox::{self, Appending},
    query::{self, Decode, Params, within},
    servers::{self, Connection},
    sessions::{self, Opening},
    store::Shared,
    users::{self, Inserting},
};

type Answer<'a> = BoxFuture<'a, Result<Vec<Row>, Error>>;

pub(crate) const BEGIN: &str = "BEGIN";
const ROLLBACK: &str = "ROLLBACK";
const XID: &str = "SELECT pg_current_xact_id()::text";

/// Where a transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing was sent.
    Fresh,
    /// Every statement so far was answered, and none failed.
    Open,
    /// A statement is on its way, or its caller left: nobody knows.
    UnderWay,
    /// A statement failed: PostgreSQL takes none after it.
    Failed,
    /// Nothing is left to be rolled back.
    Over,
}

/// A transaction: a connection of the pool for as long as it lasts.
pub(crate) struct PostgresTx {
    pub(crate) shared: Arc<Shared>,
    pub(crate) connection: Connection,
    pub(crate) state: State,
    /// `pg_current_xact_id()`, once it is known.
    pub(crate) xid: Option<String>,
    /// Whether it takes access away or makes a user: then it waits for the standby, whatever the
    /// operator has chosen for the rest.
    pub(crate) durable: bool,
    /// By which it is found on another timeline.
    pub(crate) witness: Option<Witness>,
    /// What it did to its user, for the revocation that tells of it.
    pub(crate) effect: Option<Effect>,
    /// Sent with the next step or with the COMMIT: nobody waits for them.
    pub(crate) audits: Vec<NewAudit>,
    /// What becomes of them in the log.
    pub(crate) journal: Journal,
}

impl PostgresTx {
    pub(crate) fn new(shared: Arc<Shared>, connection: Connection) -> Self {
        Self {
            shared,
            connection,
            state: State::Fresh,
            xid: None,
            durable: false,
            witness: None,
            effect: None,
            audits: Vec::new(),
            journal: Journal::default(),
        }
    }

    /// All rows of a statement. If it fails the transaction is over.
    pub(crate) async fn rows(
        &mut self,
        sql: &'static str,
        params: Params<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let [rows] = self.pipeline([(sql, params)]).await?;
        Ok(rows)
    }

    /// Statements that need no answer of one another, in one round trip and in this order; before
    /// the first ones of a transaction BEGIN and the question for its number. The error is that of
    /// the first that failed.
    pub(crate) async fn pipeline<const N: usize>(
        &mut self,
        steps: [(&'static str, Params<'_>); N],
    ) -> Result<[Vec<Row>; N], StoreError> {
        let begins = match self.state {
            State::Fresh => true,
            State::Open => false,
            _ => return Err(Fault::RolledBack.into()),
        };
        let patience = servers::of_answer(self.shared.patience);
        let seen = steps
            .first()
            .map_or(Family::COMMIT, |(sql, _)| Family::of(sql))
            .start(query::SYSTEM);
        let prepared = within(&self.connection, patience, self.prepare(&steps)).await;
        let prepared = if begins {
            prepared.map_err(Fault::before_commit)?
        } else {
            self.settle(prepared)?
        };
        self.state = State::UnderWay;
        let sent = self.send(begins, &prepared, &steps);
        let answer = within(&self.connection, patience, sent)
            .instrument(seen.span().clone())
            .await;
        let answer = seen.end(answer);
        let (number, rows) = self.settle(answer)?;
        self.xid = number.or_else(|| self.xid.take());
        rows.try_into()
            .map_err(|_| Fault::Undecodable("rows of each statement").into())
    }

    async fn prepare(&self, steps: &[(&'static str, Params<'_>)]) -> Result<Vec<Statement>, Error> {
        let mut prepared = Vec::with_capacity(steps.len() + 1);
        for (sql, _) in steps {
            prepared.push(self.connection.prepare_cached(sql).await?);
        }
        prepared.push(self.connection.prepare_cached(XID).await?);
        Ok(prepared)
    }

    async fn send(
        &self,
        begins: bool,
        prepared: &[Statement],
        steps: &[(&'static str, Params<'_>)],
    ) -> Result<(Option<String>, Vec<Vec<Row>>), Error> {
        let mut sent: Vec<Answer<'_>> = Vec::with_capacity(steps.len());
        for ((_, params), statement) in steps.iter().zip(prepared) {
            sent.push(Box::pin(self.connection.query(statement, params)));
        }
        // Polled in their order, and sent when they are polled first.
        let answers = future::join_all(sent);
        let (number, answers) = match prepared.last() {
            Some(xid) if begins => {
                let begin = self.connection.batch_execute(BEGIN);
                let number = self.connection.query_one(xid, &[]);
                let (begin, number, answers) = future::join3(begin, number, answers).await;
                begin?;
                (Some(number?.try_get(0)?), answers)
            }
            _ => (None, answers.await),
        };
        Ok((number, answers.into_iter().collect::<Result<_, _>>()?))
    }

    /// The first row, if there is one.
    pub(crate) async fn first<T>(
        &mut self,
        sql: &'static str,
        params: Params<'_>,
        decode: Decode<T>,
    ) -> Result<Option<T>, StoreError> {
        let rows = self.rows(sql, params).await?;
        Ok(query::first(&rows, decode)?)
    }

    /// Every row.
    pub(crate) async fn all<T>(
        &mut self,
        sql: &'static str,
        params: Params<'_>,
        decode: Decode<T>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = self.rows(sql, params).await?;
        Ok(query::all(&rows, decode)?)
    }

    /// A statement without rows.
    pub(crate) async fn execute(
        &mut self,
        sql: &'static str,
        params: Params<'_>,
    ) -> Result<(), StoreError> {
        self.rows(sql, params).await.map(|_| ())
    }

    /// What was asked for was not done: nothing of the transaction may be.
    pub(crate) fn fail(&mut self) {
        if self.state == State::Open {
            self.state = State::Failed;
        }
    }

    fn settle<T>(&mut self, answer: Result<T, Fault>) -> Result<T, Fault> {
        self.state = match &answer {
            Ok(_) => State::Open,
            Err(fault) if fault.is_severed() => State::UnderWay,
            Err(_) => State::Failed,
        };
        answer.map_err(Fault::before_commit)
    }

    /// Sends records with whatever comes next. A transaction of nothing else begins with them.
    pub(crate) async fn flush_audits(&mut self) -> Result<(), StoreError> {
        let records = std::mem::take(&mut self.audits);
        if records.is_empty() {
            return Ok(());
        }
        let columns = audit::Columns::of(&records);
        self.execute(audit::APPEND, &columns.params()).await
    }
}

impl Drop for PostgresTx {
    /// The next one to use the connection finds it rolled back: messages keep their order.
    fn drop(&mut self) {
        match self.state {
            State::Fresh | State::Over => {}
            State::Open | State::Failed => {
                // Sent by the first poll; nobody waits for the answer.
                let sent = self.connection.batch_execute(ROLLBACK).now_or_never();
                if matches!(sent, Some(Err(_))) {
                    self.connection.evict();
                }
            }
            // It may wait for a lock: closing the connection ends it.
            State::UnderWay => self.connection.evict(),
        }
    }
}

#[async_trait]
impl Tx for PostgresTx {
    async fn register(
        &mut self,
        user: &NewUser,
        event: &NewEvent,
        session: Option<&NewSession>,
    ) -> Result<(User, Option<Session>), StoreError> {
        let (new, appending) = (Inserting::of(user), Appending::of(event));
        self.inserts(user);
        let first = (users::INSERT, &new.params()[..]);
        let second = (outbox::APPEND, &appending.params()[..]);
        let Some(session) = session else {
            let [inserted, _] = self.pipeline([first, second]).await?;
            return Ok((self.inserted(&inserted)?, None));
        };
        let opening = Opening::of(session, None);
        let third = (sessions::OPEN, &opening.params()[..]);
        let [inserted, _, opened] = self.pipeline([first, second, third]).await?;
        let user = self.inserted(&inserted)?;
        let session = query::first(&opened, sessions::opened)?;
        Ok((user, session.map(|(_, session, _)| session)))
    }

    async fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        if self.state == State::Fresh {
            self.flush_audits().await?;
        }
        match self.state {
            State::Fresh => Ok(()),
            State::Open => {
                let lost = self.finish().await?;
                let journal = std::mem::take(&mut self.journal);
                if let Some(lost) = lost {
                    let shared = Arc::clone(&self.shared);
                    drop(self);
                    lost.look_up(&shared).await?;
                }
                journal.committed();
                Ok(())
            }
            _ => Err(Fault::RolledBack.into()),
        }
    }
}
