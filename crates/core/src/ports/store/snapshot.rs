use std::str::FromStr;

/// Which transactions are visible: PostgreSQL's `pg_snapshot`, by 64-bit numbers that never wrap.
/// The default is the one in which nothing is visible.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// From this number on nothing is visible.
    xmax: u64,
    /// What was under way below that. Sorted.
    under_way: Vec<u64>,
}

/// Not `xmin:xmax:xip,xip...`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a snapshot")]
pub struct NotASnapshot;

impl Snapshot {
    /// Everything up to this number is visible, and nothing after it: where transactions commit in
    /// the order of their numbers.
    pub fn up_to(last: u64) -> Self {
        Self {
            xmax: last.saturating_add(1),
            under_way: Vec::new(),
        }
    }

    /// Whether a transaction that was committed with this number is visible.
    pub fn sees(&self, xid: u64) -> bool {
        xid < self.xmax && self.under_way.binary_search(&xid).is_err()
    }
}

impl FromStr for Snapshot {
    type Err = NotASnapshot;

    fn from_str(text: &str) -> Result<Self, NotASnapshot> {
        let number = |part: &str| part.parse::<u64>().map_err(|_| NotASnapshot);
        let mut parts = text.splitn(3, ':');
        let mut part = || parts.next().ok_or(NotASnapshot);
        let (xmin, xmax, listed) = (number(part()?)?, number(part()?)?, part()?);
        let listed = listed.split(',').filter(|xid| !xid.is_empty());
        let mut under_way = listed.map(number).collect::<Result<Vec<_>, _>>()?;
        under_way.sort_unstable();
        if xmin > xmax || under_way.last().is_some_and(|last| *last >= xmax) {
            return Err(NotASnapshot);
        }
        Ok(Self { xmax, under_way })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_sees_what_was_committed_and_neither_what_was_under_way_nor_what_came_later() {
        let snapshot: Snapshot = "5:9:5,7".parse().unwrap();
        let seen: Vec<_> = (0..12).filter(|xid| snapshot.sees(*xid)).collect();
        assert_eq!(seen, [0, 1, 2, 3, 4, 6, 8]);
        assert!(!Snapshot::default().sees(0));
        assert!(Snapshot::up_to(3).sees(3) && !Snapshot::up_to(3).sees(4));
        let idle: Snapshot = "18446744073709551615:18446744073709551615:"
            .parse()
            .unwrap();
        assert!(idle.sees(u64::MAX - 1) && !idle.sees(u64::MAX));
    }

    #[test]
    fn what_is_no_snapshot_is_refused() {
        for bad in [
            "", "1", "1:2", "2:1:", "1:3:3", "a:2:", "1:2:x", "1:2:3:4", "-1:2:",
        ] {
            assert_eq!(bad.parse::<Snapshot>(), Err(NotASnapshot), "{bad}");
        }
    }
}
