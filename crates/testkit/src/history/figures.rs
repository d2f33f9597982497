//! How much was asked, and how long nothing succeeded.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::call::{Action, Call, Outcome};

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names of the calls")]
pub enum Kind {
    Register,
    Login,
    Refresh,
    Validate,
    ChangePassword,
    Logout,
    Admin,
}

/// What became of the calls of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figure {
    /// All of them.
    pub calls: usize,
    /// Answered 503, 504, UNAVAILABLE, DEADLINE_EXCEEDED.
    pub unavailable: usize,
    /// Not answered.
    pub unknown: usize,
    /// The longest time between the ends of two that were answered, whatever the answer.
    pub longest_gap: Duration,
    /// The longest that an answer took.
    pub slowest: Duration,
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (gap, slowest) = (self.longest_gap.as_secs_f64(), self.slowest.as_secs_f64());
        write!(
            f,
            "{} calls, {} unavailable, {} unknown, longest gap {gap:.2} s, slowest {slowest:.2} s",
            self.calls, self.unavailable, self.unknown
        )
    }
}

impl Kind {
    /// What kind a call is of.
    pub const fn of(action: &Action) -> Self {
        match action {
            Action::Register { .. } => Self::Register,
            Action::Login { .. } => Self::Login,
            Action::Refresh { .. } => Self::Refresh,
            Action::Validate { .. } => Self::Validate,
            Action::ChangePassword { .. } => Self::ChangePassword,
            Action::Logout { .. } | Action::LogoutEverywhere { .. } => Self::Logout,
            Action::SetDisabled { .. } | Action::SetAdmin { .. } | Action::IsAdmin { .. } => {
                Self::Admin
            }
        }
    }
}

/// Of calls that are sorted by their ends.
pub(super) fn figures(calls: &[Call]) -> BTreeMap<Kind, Figure> {
    let mut figures: BTreeMap<Kind, (Figure, Duration)> = BTreeMap::new();
    for call in calls {
        let of_kind = figures.entry(Kind::of(&call.action));
        let (figure, last) = of_kind.or_insert((Figure::default(), call.end));
        figure.calls += 1;
        figure.slowest = figure.slowest.max(call.end.saturating_sub(call.start));
        match call.outcome {
            Outcome::Unavailable => figure.unavailable += 1,
            Outcome::Unknown => figure.unknown += 1,
            Outcome::Done { .. } | Outcome::Is(_) | Outcome::Refused(_) => {
                figure.longest_gap = figure.longest_gap.max(call.end.saturating_sub(*last));
                *last = call.end;
            }
        }
    }
    figures
        .into_iter()
        .map(|(kind, (figure, _))| (kind, figure))
        .collect()
}
