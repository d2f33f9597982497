//! What all proofs of a password have in common: they are admitted, and their failures look alike.

use std::time::Duration;

use crate::{
    metrics::count_throttled,
    ports::{Attempt, HashError, Match, Permit, StoreError, Throttled, Work, store::User},
    sso::Sso,
    values::Password,
};

/// When a failure is to be told: at a multiple of the failure floor after the arrival, not counting
/// the wait for a turn. That wait is the same for every account; what comes after it is not (bcrypt,
/// argon2id, more reads), and is hidden. If it counted, then under load what takes longer would more
/// often miss a multiple.
#[derive(Debug)]
pub(crate) struct Floor(Duration);

impl Sso {
    /// Admits an attempt before anything is hashed.
    pub(crate) async fn admit<E>(&self, attempt: Attempt<'_>) -> Result<Permit, E>
    where
        E: From<Throttled> + From<StoreError>,
    {
        let mut admitted = self.throttle.admit(attempt).await;
        if let Err(throttled) = &admitted
            && throttled.spares_known
            && self
                .store
                .knows_network(attempt.email, attempt.network)
                .await?
        {
            let known = Attempt {
                known: true,
                ..attempt
            };
            admitted = self.throttle.admit(known).await;
        }
        Ok(admitted.inspect_err(|throttled| count_throttled(throttled.reason))?)
    }

    /// The floor of a request that has just arrived.
    pub(crate) fn floor(&self) -> Floor {
        Floor(self.clock.monotonic())
    }

    /// Waits until a failure may be told.
    pub(crate) async fn wait_for(&self, Floor(start): Floor) {
        let floor = self.policy.failure_floor;
        if floor.is_zero() {
            return;
        }
        let spent = self.clock.monotonic().saturating_sub(start);
        let floors = spent.as_nanos() / floor.as_nanos() + 1;
        let floors = u32::try_from(floors).unwrap_or(u32::MAX);
        self.clock
            .sleep_until(start + floor.saturating_mul(floors))
            .await;
    }

    /// Verifies `password` against the user's stored hash, or costs as much if there is nobody. A
    /// hash that cannot be used matches nothing: from outside a damaged row looks like a wrong
    /// password, the log tells the operator.
    pub(crate) async fn matches(
        &self,
        work: Work,
        password: &Password,
        user: Option<&User>,
        floor: &mut Floor,
    ) -> Result<Match, HashError> {
        let hash = user.map(|user| user.password_hash.clone());
        let mut verified = self.hasher.verify(work, password.clone(), hash).await;
        if let (Some(user), Err(HashError::Unreadable(why))) = (user, &verified) {
            tracing::error!(user_id = %user.id, why, "a stored password hash cannot be used");
            // Nothing was hashed: wait and cost what others do.
            verified = self.hasher.verify(work, password.clone(), None).await;
        }
        let verified = match verified {
            Err(HashError::Unreadable(_)) if user.is_some() => return Ok(Match::No),
            verified => verified?,
        };
        floor.0 += verified.waited;
        Ok(verified.found)
    }
}
