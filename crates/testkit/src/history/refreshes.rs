//! Refresh tokens: one successor each, for the grace.

use std::{collections::HashMap, time::Duration};

use super::call::{Action, Call, Grant};

/// The uses of each refresh token.
pub(super) struct Refreshes<'a> {
    uses: HashMap<&'a str, Vec<Use<'a>>>,
    grace: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Use<'a> {
    generation: u64,
    call: &'a Call,
}

impl<'a> Refreshes<'a> {
    pub(super) fn of(calls: &'a [Call], grace: Duration) -> Self {
        let mut uses: HashMap<&str, Vec<Use<'_>>> = HashMap::new();
        for call in calls {
            if let Action::Refresh {
                session,
                generation,
            } = &call.action
            {
                uses.entry(session).or_default().push(Use {
                    generation: *generation,
                    call,
                });
            }
        }
        Self { uses, grace }
    }

    fn of_session(&self, session: &str) -> &[Use<'a>] {
        self.uses.get(session).map_or(&[], Vec::as_slice)
    }

    /// Whether a use before `end` may have been taken for a theft: of a token whose successor may
    /// have been made for longer than the grace, or of one before the last.
    pub(super) fn may_look_stolen(&self, session: &str, end: Duration) -> bool {
        let uses = self.of_session(session);
        uses.iter()
            .filter(|used| used.call.start <= end)
            .any(|used| {
                uses.iter().any(|earlier| {
                    earlier.generation >= used.generation
                        && earlier.call.may_be_done()
                        && !std::ptr::eq(earlier.call, used.call)
                        && earlier.call.start + self.grace <= used.call.end
                })
            })
    }

    /// Whether a refresh by this token may be refused although its session goes on: it is not the
    /// last or the one before, or the grace of that may be over.
    pub(super) fn may_be_outdated(&self, asked: &Call, session: &str, generation: u64) -> bool {
        let others = self.of_session(session).iter().filter(|used| {
            used.call.may_be_done()
                && used.call.start <= asked.end
                && !std::ptr::eq(used.call, asked)
        });
        others.into_iter().any(|used| {
            used.generation > generation
                || (used.generation == generation && used.call.start + self.grace <= asked.end)
        })
    }

    /// An accepted use of a token that certainly had its successor for longer than the grace. After
    /// a failover the grace begins anew: `disturbed` says whether there was one since.
    pub(super) fn is_after_grace(
        &self,
        asked: &Call,
        session: &str,
        generation: u64,
        disturbed: impl Fn(Duration, Duration) -> bool,
    ) -> bool {
        self.of_session(session).iter().any(|used| {
            let Some(by) = used.call.done_by() else {
                return false;
            };
            let over = by + self.grace < asked.start;
            used.generation == generation && over && !disturbed(by, asked.end)
        })
    }

    /// Another successor that was given for the same token.
    pub(super) fn other_successor(
        &self,
        asked: &Call,
        session: &str,
        generation: u64,
    ) -> Option<&'a Grant> {
        let mine = asked.grant()?;
        let others = self
            .of_session(session)
            .iter()
            .filter(|used| used.generation == generation);
        others
            .filter_map(|used| used.call.grant())
            .find(|other| other.refresh != mine.refresh)
    }
}
