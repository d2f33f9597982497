//! Whether a failover can lose what was committed.

use std::collections::BTreeSet;

use tokio_postgres::Row;

use super::{codec, error::LeaseError};

/// What the primary says about its standbys at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Standbys {
    /// Commits have waited for every standby that may be promoted.
    synchronous: bool,
    /// Standbys whose position nobody lets us see.
    hidden: i64,
    /// Who follows: its slot, or its connection.
    following: BTreeSet<String>,
    /// Which slots are held by one that does not follow.
    absent: BTreeSet<String>,
    /// Position up to which each that follows has flushed; `None`: none follows.
    shipped: Option<i64>,
}

impl Standbys {
    pub(super) fn read(here: &Row) -> Result<Self, LeaseError> {
        Ok(Self {
            synchronous: waits_for_all(codec::get(here, "synchronous")?),
            hidden: codec::get(here, "hidden")?,
            following: names(here, "following")?,
            absent: names(here, "absent")?,
            shipped: codec::get(here, "shipped")?,
        })
    }

    /// Whether a deposed primary can commit nothing more: a commit waits for each standby that may
    /// be promoted.
    pub(super) const fn are_waited_for(&self) -> bool {
        self.synchronous
    }

    /// Whether no failover loses what was committed at `position` or before: it has waited for the
    /// standbys, or each that may be promoted follows and has it. `expected`: how many those are,
    /// if somebody has said so; else those that hold a slot, and there may be none.
    pub(super) fn have(&self, position: i64, expected: Option<u32>) -> bool {
        let all_follow = match expected {
            Some(expected) => {
                self.following.len() >= usize::try_from(expected).unwrap_or(usize::MAX)
            }
            None => self.absent.is_empty(),
        };
        let follow = all_follow && self.hidden == 0;
        self.synchronous || (follow && self.shipped.is_none_or(|has| has >= position))
    }

    /// Who may be promoted, as far as this primary knows. Whose slot is dropped, and whose
    /// connection ends that has none, is not among them any more: perhaps because it was promoted.
    /// `expected` as in [`have`](Self::have): slots say nothing then.
    pub(super) fn members(&self, expected: Option<u32>) -> BTreeSet<String> {
        let absent = self.absent.iter().filter(|_| expected.is_none());
        self.following.iter().chain(absent).cloned().collect()
    }
}

fn names(here: &Row, column: &'static str) -> Result<BTreeSet<String>, LeaseError> {
    let names: Option<Vec<String>> = codec::get(here, column)?;
    Ok(names.unwrap_or_default().into_iter().collect())
}

/// Whether `synchronous_standby_names` makes a commit wait for each standby that it names. With
/// fewer than all, another standby than the promoted one can go on confirming to a deposed primary.
fn waits_for_all(names: &str) -> bool {
    let (rule, list) = match names.split_once('(') {
        Some((rule, list)) => (rule, list.trim_end().trim_end_matches(')')),
        None => ("1", names),
    };
    let mut quoted = false;
    let mut standbys = 1;
    for letter in list.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => standbys += 1,
            '*' if !quoted => return false,
            _ => {}
        }
    }
    let required = rule.split_whitespace().last();
    let required = required.and_then(|number| number.parse::<usize>().ok());
    !list.trim().is_empty() && required.is_some_and(|required| required >= standbys)
}

#[cfg(test)]
impl Standbys {
    /// These follow, and have everything.
    pub(super) fn followed_by(names: &[&str]) -> Self {
        Self {
            following: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Self::default()
        }
    }

    /// None follows and none is missed; `names` as in `synchronous_standby_names`.
    pub(super) fn alone(names: &str) -> Self {
        Self {
            synchronous: waits_for_all(names),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_waits_for_all_if_as_many_are_required_as_are_named() {
        for all in [
            "a",
            "\"a,b*\"",
            "FIRST 1 (a)",
            "2 (a, b)",
            "first 2 (a, b)",
            "ANY 2 (a, b) ",
        ] {
            assert!(waits_for_all(all), "{all}");
        }
        for some in [
            "",
            " ",
            "*",
            "a, b",
            "1 (a, b)",
            "FIRST 1 (a, b)",
            "ANY 1 (a, b)",
            "ANY 2 (a, b, c)",
            "2 (a, *)",
        ] {
            assert!(!waits_for_all(some), "{some}");
        }
    }

    fn named(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn following(flushed: i64) -> Standbys {
        Standbys {
            following: named(&["a"]),
            shipped: Some(flushed),
            ..Standbys::default()
        }
    }

    #[test]
    fn what_each_standby_has_is_safe_and_what_commits_have_waited_for() {
        assert!(following(50).have(50, None));
        assert!(!following(49).have(50, None));
        let synchronous = Standbys {
            synchronous: true,
            hidden: 1,
            absent: named(&["b"]),
            ..following(0)
        };
        assert!(synchronous.have(50, Some(2)));
    }

    #[test]
    fn who_stands_alone_loses_nothing_unless_a_standby_is_missed() {
        let alone = Standbys::default();
        assert!(alone.have(50, None) && alone.have(50, Some(0)));
        assert!(!alone.have(50, Some(1)));
        let absent = Standbys {
            absent: named(&["b"]),
            ..following(50)
        };
        assert!(!absent.have(50, None));
        // The slot is forgotten, says the operator, or all that he knows of follow.
        assert!(absent.have(50, Some(1)) && !absent.have(50, Some(2)));
        let hidden = Standbys {
            hidden: 1,
            ..following(50)
        };
        assert!(!hidden.have(50, None) && !hidden.have(50, Some(1)));
    }

    #[test]
    fn who_holds_a_slot_is_a_member_while_he_is_away_unless_slots_say_nothing() {
        let away = Standbys {
            absent: named(&["b"]),
            ..following(50)
        };
        assert_eq!(away.members(None), named(&["a", "b"]));
        assert_eq!(away.members(Some(1)), named(&["a"]));
    }
}
