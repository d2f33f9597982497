//! One value that is written and read: a password, a flag.

use std::time::Duration;

use super::call::{Call, Reach};

/// The writes of one value.
#[derive(Debug)]
pub(super) struct Register<V> {
    writes: Vec<Write<V>>,
}

#[derive(Debug)]
struct Write<V> {
    value: V,
    start: Duration,
    /// It is known to have happened by then.
    done_by: Option<Duration>,
    everywhere: bool,
}

/// Why a value cannot be current.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stale {
    /// One of the writes after it was answered `everywhere`.
    pub(super) everywhere: bool,
}

impl<V> Default for Register<V> {
    fn default() -> Self {
        Self { writes: Vec::new() }
    }
}

impl<V: Clone + PartialEq> Register<V> {
    /// A value that is there before anything is asked.
    pub(super) fn given(value: V) -> Self {
        Self {
            writes: vec![Write {
                value,
                start: Duration::ZERO,
                done_by: Some(Duration::ZERO),
                everywhere: false,
            }],
        }
    }

    /// A call that writes `value`, unless it was refused.
    pub(super) fn write(&mut self, value: V, call: &Call) {
        if call.may_be_done() {
            self.writes.push(Write {
                value,
                start: call.start,
                done_by: call.done_by(),
                everywhere: call.reach() == Some(Reach::Everywhere),
            });
        }
    }

    /// Somebody was told by `end` that this is the value: if only one write can have made it so,
    /// that has happened.
    pub(super) fn seen(&mut self, value: &V, end: Duration) {
        let mut writes = self.writes.iter_mut();
        let mut of_it = writes.by_ref().filter(|write| write.value == *value);
        if let (Some(only), None) = (of_it.next(), of_it.next()) {
            only.done_by = Some(only.done_by.map_or(end, |by| by.min(end)));
        }
    }

    /// Whether it was ever written, perhaps, before `end`.
    pub(super) fn may_have_been_written(&self, end: Duration) -> bool {
        self.writes.iter().any(|write| write.start <= end)
    }

    /// Why `value` cannot have been the current one at any moment from `start` to `end`; `None`: it
    /// can.
    pub(super) fn cannot_be(&self, value: &V, start: Duration, end: Duration) -> Option<Stale> {
        let of_it = |write: &&Write<V>| write.value == *value && write.start <= end;
        let mut everywhere = true;
        for write in self.writes.iter().filter(of_it) {
            let mut over = self.writes.iter().filter(|later| {
                later.value != *value
                    && write.done_by.is_some_and(|by| by < later.start)
                    && later.done_by.is_some_and(|by| by < start)
            });
            let first = over.next()?;
            everywhere &= first.everywhere || over.any(|later| later.everywhere);
        }
        Some(Stale { everywhere })
    }

    /// Whether `value` must have been the current one at every moment from `start` to `end`.
    pub(super) fn must_be(&self, value: &V, start: Duration, end: Duration) -> bool {
        self.writes.iter().any(|write| {
            let Some(by) = write
                .done_by
                .filter(|by| write.value == *value && *by < start)
            else {
                return false;
            };
            debug_assert!(by >= write.start);
            self.writes.iter().all(|other| {
                other.value == *value
                    || other.start > end
                    || other.done_by.is_some_and(|by| by < write.start)
            })
        })
    }
}
