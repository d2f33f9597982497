//! Everything of another store, taken in.
//!
//! While it comes the database holds a table `copy_progress`, and nobody serves it: a user is there
//! before the revocation that concerns him. The table says how far each table has come, and is
//! written with the rows themselves, so a copy that was cut off goes on where it was.

mod cells;
mod statements;

use std::time::Duration;

use async_trait::async_trait;
use futures_util::{TryStreamExt, pin_mut};
use sso_core::ports::{
    StoreError,
    dump::{DumpTarget, Progress, Row, Table, Tally, TargetRefused},
};
use tokio::time::{Instant, sleep};
use tokio_postgres::{Error, Statement, binary_copy::BinaryCopyInWriter, types::ToSql};

use self::cells::{Column, Sql};
pub(crate) use self::statements::CREATE;
#[cfg(test)]
pub(crate) use self::statements::all as statements;
use self::statements::{
    ANALYZE, DROP, HAS_PROGRESS, PROGRESS, SEQUENCES, SETTINGS, TRY_LOCK, copy_in, is_empty, select,
};
use crate::{
    OpenError, SchemaError,
    error::Fault,
    migrations,
    servers::{self, Dedicated, Servers},
    store::unreachable,
};

/// How long a copy that was killed may still hold its lock.
const OTHERS: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(100);

/// A database that is to be filled.
pub struct Target {
    // Before the servers, which it was made of.
    client: Dedicated,
    _servers: Servers,
}

impl Target {
    /// Reaches the primary. Its schema must be this program's; nothing is changed.
    pub async fn open(settings: &servers::Settings) -> Result<Self, OpenError> {
        let servers = Servers::open(settings).await?;
        let client = servers.dedicated().await.map_err(unreachable)?;
        migrations::require_latest(&client).await?;
        let set = client.batch_execute(SETTINGS).await;
        set.map_err(SchemaError::from)?;
        Ok(Self {
            client,
            _servers: servers,
        })
    }

    /// It is the session's: it ends with the connection.
    async fn lock(&self) -> Result<(), TargetRefused> {
        let deadline = Instant::now() + OTHERS;
        loop {
            let row = self.client.query_one(TRY_LOCK, &[]).await.map_err(failed)?;
            if row.try_get(0).map_err(failed)? {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(TargetRefused::Busy);
            }
            sleep(AGAIN).await;
        }
    }

    async fn progress(&self) -> Result<Option<Vec<Progress>>, Error> {
        let row = self.client.query_one(HAS_PROGRESS, &[]).await?;
        if !row.try_get::<_, bool>(0)? {
            return Ok(None);
        }
        let mut found = Vec::new();
        for row in self.client.query(PROGRESS, &[]).await? {
            let name: &str = row.try_get(0)?;
            let tally = |at: usize| {
                let rows: i64 = row.try_get(at)?;
                let digest: &[u8] = row.try_get(at + 1)?;
                Ok::<_, Error>(Tally {
                    rows: rows.unsigned_abs(),
                    // The table's CHECK says how long it is.
                    digest: digest.try_into().unwrap_or_default(),
                })
            };
            let table = Table::ALL.into_iter().find(|table| table.name() == name);
            if let Some(table) = table {
                found.push(Progress {
                    table,
                    read: tally(1)?,
                    written: tally(3)?,
                });
            }
        }
        Ok(Some(found))
    }

    async fn occupied(&self) -> Result<Vec<&'static str>, Error> {
        let mut occupied = Vec::new();
        let tables = Table::ALL.map(|table| (table.name(), is_empty(table)));
        for (name, sql) in tables.into_iter().chain([statements::NO_READERS]) {
            if !self
                .client
                .query_one(sql, &[])
                .await?
                .try_get::<_, bool>(0)?
            {
                occupied.push(name);
            }
        }
        Ok(occupied)
    }

    async fn store(&mut self, rows: &[Row], progress: &Progress) -> Result<(), Error> {
        let table = progress.table;
        let columns = columns(&self.client.prepare(select(table)).await?);
        let transaction = self.client.transaction().await?;
        let sink = transaction.copy_in(copy_in(table)).await?;
        let types: Vec<_> = columns
            .iter()
            .map(|column| column.sql_type.clone())
            .collect();
        let writer = BinaryCopyInWriter::new(sink, &types);
        pin_mut!(writer);
        for row in rows {
            let cells: Vec<_> = row.0.iter().map(Sql).collect();
            writer.as_mut().write_raw(cells).await?;
        }
        writer.finish().await?;
        let (read, written) = (&progress.read, &progress.written);
        let params: [&(dyn ToSql + Sync); 5] = [
            &table.name(),
            &read.rows.cast_signed(),
            &&read.digest[..],
            &written.rows.cast_signed(),
            &&written.digest[..],
        ];
        transaction.execute(statements::ADVANCE, &params).await?;
        transaction.commit().await
    }

    async fn stream(
        &self,
        table: Table,
        each: &mut (dyn for<'r> FnMut(&'r Row) + Send),
    ) -> Result<(), StoreError> {
        let statement = self.client.prepare(select(table)).await.map_err(failed)?;
        let columns = columns(&statement);
        let none: [&(dyn ToSql + Sync); 0] = [];
        let rows = self.client.query_raw(&statement, none).await;
        let rows = rows.map_err(failed)?;
        pin_mut!(rows);
        while let Some(stored) = rows.try_next().await.map_err(failed)? {
            let cells = columns.iter().zip(table.columns()).enumerate();
            let cells = cells.map(|(at, (column, (name, kind)))| {
                column
                    .cell(&stored, at, *kind)
                    .ok_or(Fault::Undecodable(name))
            });
            each(&Row(cells.collect::<Result<_, _>>()?));
        }
        Ok(())
    }
}

fn columns(statement: &Statement) -> Vec<Column> {
    let columns = statement.columns().iter();
    columns
        .map(|column| Column {
            sql_type: column.type_().clone(),
        })
        .collect()
}

fn failed(error: Error) -> StoreError {
    Fault::from(error).into()
}

#[async_trait]
impl DumpTarget for Target {
    async fn look(&mut self) -> Result<Option<Vec<Progress>>, TargetRefused> {
        self.lock().await?;
        if let Some(progress) = self.progress().await.map_err(failed)? {
            return Ok(Some(progress));
        }
        let occupied = self.occupied().await.map_err(failed)?;
        if occupied.is_empty() {
            Ok(None)
        } else {
            Err(TargetRefused::NotEmpty(occupied))
        }
    }

    async fn begin(&mut self) -> Result<(), TargetRefused> {
        if self.look().await?.is_none() {
            self.client.batch_execute(CREATE).await.map_err(failed)?;
            // Who started to serve it before that has left something.
            let occupied = self.occupied().await.map_err(failed)?;
            if !occupied.is_empty() {
                self.client.batch_execute(DROP).await.map_err(failed)?;
                return Err(TargetRefused::NotEmpty(occupied));
            }
        }
        Ok(())
    }

    async fn write(&mut self, rows: &[Row], progress: &Progress) -> Result<(), StoreError> {
        self.store(rows, progress).await.map_err(failed)
    }

    async fn read(
        &mut self,
        table: Table,
        each: &mut (dyn for<'r> FnMut(&'r Row) + Send),
    ) -> Result<(), StoreError> {
        self.stream(table, each).await
    }

    async fn finish(&mut self) -> Result<(), StoreError> {
        // Statistics first: the first request after must not walk through a million users.
        self.client.batch_execute(ANALYZE).await.map_err(failed)?;
        let transaction = self.client.transaction().await.map_err(failed)?;
        let done = async {
            transaction.batch_execute(SEQUENCES).await?;
            transaction.batch_execute(DROP).await?;
            transaction.commit().await
        };
        done.await.map_err(failed)
    }
}

#[cfg(test)]
mod tests;
