//! Transactions of several steps.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{FutureExt, future};
use sso_core::ports::{
    StoreError, Tx,
    store::{Effect, NewAudit},
};
use tokio_postgres::Row;

use crate::{
    audit,
    commit::Witness,
    error::Fault,
    query::{self, Decode, Params, within},
    servers::Connection,
    store::Shared,
};

const BEGIN: &str = "BEGIN";
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
        }
    }

    /// All rows of a statement. If it fails the transaction is over.
    pub(crate) async fn rows(
        &mut self,
        sql: &'static str,
        params: Params<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        match self.state {
            State::Fresh => self.first_step(sql, params).await,
            State::Open => self.next_step(sql, params).await,
            _ => Err(Fault::RolledBack),
        }
        .map_err(StoreError::from)
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

    /// BEGIN, the question for the number of the transaction, and the statement, in one round trip.
    async fn first_step(
        &mut self,
        sql: &'static str,
        params: Params<'_>,
    ) -> Result<Vec<Row>, Fault> {
        let patience = self.shared.patience;
        let (number, statement) = within(&self.connection, patience, async {
            let number = self.connection.prepare_cached(XID).await?;
            Ok((number, self.connection.prepare_cached(sql).await?))
        })
        .await?;
        self.state = State::UnderWay;
        let answer = within(&self.connection, patience, async {
            let none: Params<'_> = &[];
            let begun = future::join3(
                self.connection.batch_execute(BEGIN),
                self.connection.query_one(&number, none),
                self.connection.query(&statement, params),
            );
            let (begin, number, rows) = begun.await;
            begin?;
            Ok((number?.try_get(0)?, rows?))
        })
        .await;
        let (number, rows) = self.settle(answer)?;
        self.xid = Some(number);
        Ok(rows)
    }

    async fn next_step(
        &mut self,
        sql: &'static str,
        params: Params<'_>,
    ) -> Result<Vec<Row>, Fault> {
        self.state = State::UnderWay;
        let answer = query::rows(&self.connection, self.shared.patience, sql, params).await;
        self.settle(answer)
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
        answer
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
    async fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        if self.state == State::Fresh {
            self.flush_audits().await?;
        }
        match self.state {
            State::Fresh => Ok(()),
            State::Open => Ok(self.finish().await?),
            _ => Err(Fault::RolledBack.into()),
        }
    }
}
