//! What the primary says about readers and standbys at one moment.

use std::time::Duration;

use sso_core::ports::store::{Snapshot, Stamp};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{codec, error::LeaseError, standbys::Standbys};

/// One look.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    /// When it was asked for, on the monotonic clock: everything it shows is as of then or later.
    pub(super) sent: Duration,
    pub(super) system: i64,
    pub(super) timeline: u32,
    /// Position in the log up to which all is flushed here.
    pub(super) flushed: i64,
    pub(super) standbys: Standbys,
    pub(super) rows: Vec<ReaderRow>,
}

/// A row of `readers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReaderRow {
    pub(super) id: Uuid,
    pub(super) beat: i64,
    pub(super) timeline: u32,
    pub(super) system: i64,
    pub(super) snapshot: Snapshot,
    pub(super) name: String,
}

impl Reading {
    pub(super) fn read(sent: Duration, here: &Row, readers: &[Row]) -> Result<Self, LeaseError> {
        Ok(Self {
            sent,
            system: codec::get(here, "system")?,
            timeline: codec::timeline(here)?,
            flushed: codec::get(here, "flushed")?,
            standbys: Standbys::read(here)?,
            rows: readers
                .iter()
                .map(ReaderRow::read)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Whether every reader but `me` obeys what was committed under `stamp`. A number means
    /// something on its timeline only.
    pub(super) fn is_obeyed(&self, stamp: Stamp, me: Option<Uuid>) -> bool {
        let others = self.rows.iter().filter(|row| Some(row.id) != me);
        others.into_iter().all(|row| {
            row.timeline == stamp.timeline
                && row.system == self.system
                && row.snapshot.sees(stamp.xid)
        })
    }
}

impl ReaderRow {
    fn read(row: &Row) -> Result<Self, LeaseError> {
        let snapshot: &str = codec::get(row, "snapshot")?;
        Ok(Self {
            id: codec::get(row, "id")?,
            beat: codec::get(row, "beat")?,
            timeline: codec::timeline(row)?,
            system: codec::get(row, "system")?,
            snapshot: snapshot
                .parse()
                .map_err(|_| LeaseError::Unreadable("snapshot"))?,
            name: codec::get(row, "name")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Option<Uuid> = Some(Uuid::from_u128(1));
    const STAMP: Stamp = Stamp {
        timeline: 2,
        xid: 7,
    };

    fn row(id: u128, timeline: u32, snapshot: &str) -> ReaderRow {
        ReaderRow {
            id: Uuid::from_u128(id),
            beat: 1,
            timeline,
            system: 5,
            snapshot: snapshot.parse().unwrap(),
            name: String::new(),
        }
    }

    fn reading(rows: Vec<ReaderRow>) -> Reading {
        Reading {
            sent: Duration::ZERO,
            system: 5,
            timeline: 2,
            flushed: 100,
            standbys: Standbys::default(),
            rows,
        }
    }

    #[test]
    fn it_is_obeyed_when_each_other_reader_shows_it_on_its_timeline() {
        assert!(reading(vec![row(1, 2, "1:1:")]).is_obeyed(STAMP, ME));
        assert!(reading(vec![row(2, 2, "8:8:"), row(3, 2, "3:9:3")]).is_obeyed(STAMP, ME));
        for other in [
            row(3, 2, "7:7:"),
            row(3, 2, "3:9:7"),
            // Numbers are used again after a failover.
            row(3, 1, "8:8:"),
            row(3, 3, "8:8:"),
        ] {
            assert!(!reading(vec![row(2, 2, "8:8:"), other]).is_obeyed(STAMP, ME));
        }
        let mut restored = row(3, 2, "8:8:");
        restored.system = 6;
        assert!(!reading(vec![restored]).is_obeyed(STAMP, ME));
    }
}
