//! The memory store obeys the contract of every store, and its tools do what they say.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![expect(
    clippy::unchecked_time_subtraction,
    reason = "an underflow is a failed test"
)]

mod audit;
mod servers;
mod signing_keys;
mod throttle;

use std::sync::Arc;

use sso_core::ports::Store;
use sso_testkit::memory::MemoryStore;

fn empty() -> (Arc<dyn Store>, ()) {
    (Arc::new(MemoryStore::new()), ())
}

mod contract {
    sso_testkit::store_contract!(crate::empty);
}
