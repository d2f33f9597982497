//! Who is woken when an event was stored.

use std::{array, sync::Arc};

use sso_core::{usecases::relay::Lane, values::UserId};
use tokio::sync::watch;

/// Lanes of the relay. While one waits for the sink the other has the store: more of them would take
/// connections and processor time from registrations.
pub(crate) const LANES: u8 = 2;

/// Wakes the lane that delivers the event, and no other: it would look for nothing.
#[derive(Debug, Clone)]
pub(crate) struct Nudges(Arc<[watch::Sender<()>; LANES as usize]>);

impl Nudges {
    pub(crate) fn new() -> Self {
        Self(Arc::new(array::from_fn(|_| watch::Sender::new(()))))
    }

    /// An event of this user was stored.
    pub(crate) fn stored(&self, user: UserId) {
        self.0[usize::from(Lane::number_of(user, LANES))].send_replace(());
    }

    /// What this lane hears.
    pub(crate) fn of(&self, lane: u8) -> watch::Receiver<()> {
        self.0[usize::from(lane % LANES)].subscribe()
    }
}
