//! Redis, alone or behind Sentinel: the stream that hastens revocation, and counters that all
//! instances share.
//!
//! Redis only helps. Nothing is true because it stands there: an entry of the stream is a hint that
//! the database confirms, and a count is never taken below what this process counted itself. With
//! Redis away, emptied, split or lying revocations reach everywhere some beats later, and attempts
//! are counted by each instance.

mod connector;
mod entry;
mod follow;
mod metrics;
mod sentence;
mod sentinel;
mod settings;
mod stream;
mod throttle;
mod traces;

pub use follow::{Redis, Status};
pub use metrics::register_metrics;
pub use settings::{Access, Address, Secret, Settings, SettingsError, Target, Tls};
pub use stream::{RevocationStream, StreamSettings};
pub use throttle::{SharedThrottle, SharedThrottleSettings};

use std::sync::Arc;

/// A keyed digest that only the instances of one database can make.
pub type Digest = Arc<dyn Fn(&[u8]) -> [u8; 16] + Send + Sync>;
