//! `sso db copy`: everything, table by table, a page at a time; then read again and compared.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};
use sso_core::ports::{
    StoreError,
    dump::{DumpSource, DumpTarget, Progress, Row, Table, Tally, TargetRefused},
};

use super::{CopyArgs, keys, report::Report, tally, url};
use crate::{
    config::Config,
    exit::{Exit, Failed},
    wiring::{Ends, MasterKeys, exit_of},
};

/// Rows of one transaction: a thousand users are about half a megabyte.
const PAGE: u32 = 1000;

/// Copies, or says what would be copied.
pub(super) async fn run(config: &Config, args: &CopyArgs) -> Result<Report, Failed> {
    let mut ends = Ends::open(config, &url(&args.to)?).await?;
    let stored = rows(&ends.source, Table::Keys).await?;
    let new = args.master_key_file.as_deref();
    let master = (!stored.is_empty())
        .then(|| Ends::master_keys(config, &keys::keys(&stored)?, new))
        .transpose()?;
    let found = ends.target.look().await.map_err(refused)?;
    let resumed = found.is_some();
    if args.dry_run {
        return survey(&ends, resumed).await;
    }
    ends.target.begin().await.map_err(refused)?;
    let found = found.unwrap_or_default();
    let mut copied = Vec::new();
    for table in Table::ALL {
        let before = found.iter().find(|progress| progress.table == table);
        let mut copying = Copying {
            ends: &mut ends,
            master: master.as_ref(),
            table,
        };
        copied.push(copying.run(before).await?);
    }
    let mut tables = Vec::new();
    for progress in copied {
        verify(&mut ends, &progress, master.as_ref()).await?;
        tables.push((progress.table, progress.written));
    }
    // In this order: of two databases that can be served nobody would know which one is true.
    ends.mark_moved()?;
    ends.target.finish().await.map_err(unanswered)?;
    Ok(Report {
        dry_run: false,
        resumed,
        tables,
        next: next(master.as_ref()),
    })
}

async fn survey(ends: &Ends, resumed: bool) -> Result<Report, Failed> {
    let mut tables = Vec::new();
    for table in Table::ALL {
        let rows = ends.source.count(table).await.map_err(damaged)?;
        tables.push((
            table,
            Tally {
                rows,
                ..Tally::default()
            },
        ));
    }
    let next = if resumed {
        "nothing was changed; a copy that was cut off would go on"
    } else {
        "nothing was changed; nothing is in the way"
    };
    Ok(Report {
        dry_run: true,
        resumed,
        tables,
        next: next.to_owned(),
    })
}

fn next(master: Option<&MasterKeys>) -> String {
    let key = match master {
        None => "keys.master_key to what `openssl rand -base64 32` prints".to_owned(),
        Some(master) => match (&master.new, &master.file) {
            (Some(_), _) => "keys.master_key_file to a file with the new master key".to_owned(),
            (None, Some(file)) => {
                format!(
                    "keys.master_key_file to {}, or to a copy of it on each machine",
                    file.display()
                )
            }
            (None, None) => format!("{} to what it is now", master.source),
        },
    };
    format!(
        "everything is there: every table has as many rows and the same digest on both sides.\n\
         Now set database.url to the new database and {key}, and start the server."
    )
}

/// One table on its way.
struct Copying<'a> {
    ends: &'a mut Ends,
    master: Option<&'a MasterKeys>,
    table: Table,
}

impl Copying<'_> {
    /// Copies what comes after `before`. What an earlier try has copied is read again: it must be
    /// the same.
    async fn run(&mut self, before: Option<&Progress>) -> Result<Progress, Failed> {
        let (source, table) = (&self.ends.source, self.table);
        let bar = bar(table, source.count(table).await.map_err(damaged)?);
        let mut progress = Progress {
            table,
            read: Tally::default(),
            written: Tally::default(),
        };
        let mut waiting = before;
        let mut after: Option<Row> = None;
        loop {
            let limit = match waiting {
                // So that a page ends where the earlier try did.
                Some(before) => {
                    let left = before.read.rows - progress.read.rows;
                    u32::try_from(left).unwrap_or(PAGE).clamp(1, PAGE)
                }
                None => PAGE,
            };
            let page = self.page(after.as_ref(), limit).await?;
            if page.is_empty() {
                break;
            }
            for row in &page {
                tally::add(&mut progress.read, row);
            }
            after = page.last().cloned();
            match waiting {
                Some(before) if progress.read.rows < before.read.rows => {}
                Some(before) => {
                    require_same(before, &progress)?;
                    progress = *before;
                    waiting = None;
                }
                None => self.write(page, &mut progress).await?,
            }
            bar.set_position(progress.read.rows);
        }
        bar.finish_and_clear();
        if let Some(before) = waiting {
            require_same(before, &progress)?;
        }
        Ok(progress)
    }

    async fn page(&self, after: Option<&Row>, limit: u32) -> Result<Vec<Row>, Failed> {
        let after = after.map(|row| row.key(self.table));
        let page = self.ends.source.page(self.table, after, limit).await;
        page.map_err(damaged)
    }

    async fn write(&mut self, page: Vec<Row>, progress: &mut Progress) -> Result<(), Failed> {
        let page = match self.master {
            Some(master) if self.table == Table::Keys => keys::resealed(page, master)?,
            _ => page,
        };
        for row in &page {
            tally::add(&mut progress.written, row);
        }
        let written = self.ends.target.write(&page, progress).await;
        written.map_err(|error| {
            let said = Failed::from_error(exit_of(&error), &error);
            let table = self.table.name();
            said.reworded(|said| {
                format!("{table} cannot be written: {said}; run it again to go on from there")
            })
        })
    }
}

/// What an earlier try has read must be what there is now.
fn require_same(before: &Progress, now: &Progress) -> Result<(), Failed> {
    if before.read == now.read {
        return Ok(());
    }
    Err(Failed::new(
        Exit::Failure,
        format!(
            "--to holds a part of another copy: its {} are of another database, or this one has \
             changed since; make that database anew, run `sso migrate up` on it and copy again",
            before.table.name()
        ),
    ))
}

/// Reads a table of the target: it must hold what was written, and that what was read.
async fn verify(
    ends: &mut Ends,
    progress: &Progress,
    master: Option<&MasterKeys>,
) -> Result<(), Failed> {
    let table = progress.table;
    let bar = bar(table, progress.written.rows).with_message("verifying");
    let mut found = Tally::default();
    let mut stored = Vec::new();
    let mut each = |row: &Row| {
        tally::add(&mut found, row);
        bar.set_position(found.rows);
        if table == Table::Keys {
            stored.push(row.clone());
        }
    };
    let read = ends.target.read(table, &mut each).await;
    read.map_err(unanswered)?;
    bar.finish_and_clear();
    let is_resealed = table == Table::Keys && master.is_some_and(|master| master.new.is_some());
    if found != progress.written || (!is_resealed && progress.written != progress.read) {
        return Err(Failed::new(
            Exit::DataDamaged,
            format!(
                "{} differ: {} rows with digest {} were read here, {} with {} are in --to; \
                 something there changes what is written: nothing can serve it so. Make that \
                 database anew and copy again",
                table.name(),
                progress.read.rows,
                tally::short(&progress.read),
                found.rows,
                tally::short(&found),
            ),
        ));
    }
    match master {
        Some(master) if table == Table::Keys => keys::require_open(&stored, master),
        _ => Ok(()),
    }
}

/// Every row of a small table.
async fn rows(source: &dyn DumpSource, table: Table) -> Result<Vec<Row>, Failed> {
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let after = rows.last().map(|row| row.key(table));
        let page = source.page(table, after, PAGE).await.map_err(damaged)?;
        if page.is_empty() {
            return Ok(rows);
        }
        rows.extend(page);
    }
}

/// On a terminal only.
fn bar(table: Table, rows: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{msg} {prefix:14} {wide_bar} {percent}% {human_pos}/{human_len}, {eta} left";
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(rows)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_prefix(table.name())
        .with_message("copying")
}

fn refused(error: TargetRefused) -> Failed {
    match error {
        TargetRefused::NotEmpty(tables) => Failed::new(
            Exit::Failure,
            format!(
                "--to is not empty: there is something in {}; make a database, run `sso migrate \
                 up` on it and nothing else, and give that",
                tables.join(", ")
            ),
        ),
        TargetRefused::Busy => Failed::new(
            Exit::Unavailable,
            "another `sso db copy` to this database is under way: let it finish, or end it",
        ),
        TargetRefused::Store(error) => unanswered(error),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unanswered(error: StoreError) -> Failed {
    Failed::from_error(exit_of(&error), &error)
        .reworded(|said| format!("--to: {said}; run it again to go on from there"))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn damaged(error: StoreError) -> Failed {
    Failed::from_error(exit_of(&error), &error)
}
