use std::sync::Arc;

use crate::{
    audit::Repeated,
    policy::Policy,
    ports::{Clock, Cursors, Hasher, KeyMaker, Random, Store, Tasks, Throttle, Tokens},
    revocation::Revocations,
    values::UserId,
};

/// Everything that the use cases work with. Cheap to clone.
#[derive(Clone)]
pub struct Sso {
    /// Users, sessions, events, keys.
    pub store: Arc<dyn Store>,
    /// The hashing pool.
    pub hasher: Arc<dyn Hasher>,
    /// Signs and verifies.
    pub tokens: Arc<dyn Tokens>,
    /// Makes signing keys.
    pub keys: Arc<dyn KeyMaker>,
    /// Seals the places where lists go on.
    pub cursors: Arc<dyn Cursors>,
    /// What is over.
    pub revocations: Arc<Revocations>,
    /// Slows down who guesses.
    pub throttle: Arc<dyn Throttle>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Work after the answer.
    pub tasks: Arc<dyn Tasks>,
    /// Called when an event of this user was stored: wakes the relay.
    pub nudge: Arc<dyn Fn(UserId) + Send + Sync>,
    /// What strangers can repeat, to be told to the audit log in bounded numbers.
    pub repeated: Arc<Repeated>,
    /// The operator's decisions.
    pub policy: Arc<Policy>,
}
