//! What all proofs of a password have in common: they are admitted, and their failures look alike.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use crate::{
    audit::Repeat,
    caller::Caller,
    metrics::count_throttled,
    ports::{Attempt, HashError, Match, Permit, Settled, StoreError, Throttled, Work, store::User},
    sso::Sso,
    usecases::confirmed::RestsOnRow,
    values::{Email, Password},
};

/// When a failure is to be told: at a multiple of the failure floor after the arrival, so that all
/// ways to fail look alike. A wait for the pool that is longer than half a floor is not counted. It
/// is the same for every account, but what comes after it is not (bcrypt, argon2id, more reads): if
/// it counted, then under load what takes longer would more often miss a multiple.
#[derive(Debug)]
pub(crate) struct Floor {
    arrival: Duration,
    /// In microseconds.
    waited: AtomicU64,
    /// The last hash that came to an end said that the password is wrong.
    is_wrong: AtomicBool,
}

impl Floor {
    fn from(arrival: Duration) -> Self {
        Self {
            arrival,
            waited: AtomicU64::new(0),
            is_wrong: AtomicBool::new(false),
        }
    }

    /// Something was waited for that is the same for every account.
    fn waited(&self, wait: Duration) {
        let wait = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        self.waited.fetch_add(wait, Ordering::Relaxed);
    }

    /// Tries the password. A refusal waits for the floor and only then for
    /// [what confirms it](Sso::confirmed): from a time on that tells nothing of the account.
    pub(crate) async fn attempt<'a, T, E, F>(
        &'a self,
        sso: &'a Sso,
        attempt: impl Fn(&'a Self) -> F,
    ) -> Result<T, E>
    where
        E: RestsOnRow,
        F: Future<Output = Result<T, E>>,
    {
        let told = || {
            let attempt = attempt(self);
            async {
                let result = attempt.await;
                if result.as_ref().is_err_and(E::could_tell_by_time) {
                    sso.wait_for(self).await;
                }
                result
            }
        };
        sso.confirmed(told).await
    }

    /// When it may be told, if it is known `now`.
    fn end(&self, now: Duration, floor: Duration) -> Duration {
        let waited = Duration::from_micros(self.waited.load(Ordering::Relaxed));
        let start = if waited < floor / 2 {
            self.arrival
        } else {
            self.arrival + waited
        };
        let Some(floors) = now
            .saturating_sub(start)
            .as_nanos()
            .checked_div(floor.as_nanos())
        else {
            return now;
        };
        let floors = u32::try_from(floors).unwrap_or(u32::MAX);
        start + floor.saturating_mul(floors.saturating_add(1))
    }
}

/// An attempt that was admitted. Dropped without a word it has failed.
#[derive(Debug)]
pub(crate) struct Proof {
    permit: Permit,
    pub(crate) floor: Floor,
}

impl Proof {
    /// The end of the attempt, when its answer may be told: what is `refused` is noted. Not settled
    /// before: whoever waits for it must not learn how long it took. A password that was wrong has
    /// failed whatever the answer became: while nothing can be confirmed, guessing must cost as ever.
    pub(crate) fn end(self, sso: &Sso, caller: &Caller, settled: Settled, refused: Option<Repeat>) {
        if let Some(repeat) = refused {
            // In memory only: known and unknown accounts cost the same.
            sso.note(caller, repeat);
        }
        let is_wrong = self.floor.is_wrong.load(Ordering::Relaxed);
        self.permit.settle(match settled {
            Settled::Unjudged if is_wrong => Settled::Failed,
            settled => settled,
        });
    }
}

impl Sso {
    /// Admits an attempt to prove that one knows the password of `email`, before anything is hashed.
    /// The floor begins now.
    pub(crate) async fn admit<E>(&self, caller: &Caller, email: &Email) -> Result<Proof, E>
    where
        E: From<Throttled> + From<StoreError>,
    {
        let attempt = Attempt {
            email,
            network: caller.origin.network(),
            known: false,
        };
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
        let permit = admitted.inspect_err(|throttled| {
            count_throttled(throttled.reason);
            self.note_throttled(caller, throttled.reason);
        })?;
        let floor = Floor::from(self.clock.monotonic());
        Ok(Proof { permit, floor })
    }

    /// Waits until a failure may be told.
    async fn wait_for(&self, floor: &Floor) {
        let now = self.clock.monotonic();
        let end = floor.end(now, self.policy.failure_floor);
        self.clock.sleep_until(end).await;
    }

    /// Verifies `password` against the user's stored hash, or costs as much if there is nobody. A
    /// hash that cannot be used matches nothing: from outside a damaged row looks like a wrong
    /// password, the log tells the operator.
    pub(crate) async fn matches(
        &self,
        work: Work,
        password: &Password,
        user: Option<&User>,
        floor: &Floor,
    ) -> Result<Match, HashError> {
        let found = self.verified(work, password, user, floor).await?;
        floor.is_wrong.store(found == Match::No, Ordering::Relaxed);
        Ok(found)
    }

    async fn verified(
        &self,
        work: Work,
        password: &Password,
        user: Option<&User>,
        floor: &Floor,
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
        floor.waited(verified.waited);
        Ok(verified.found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: Duration = Duration::from_millis(250);
    const ARRIVAL: Duration = Duration::from_secs(9);

    /// Milliseconds after the arrival at which a failure is told.
    fn told(waited: u64, computed: u64) -> u128 {
        let (floor, waited) = (Floor::from(ARRIVAL), Duration::from_millis(waited));
        floor.waited(waited);
        let now = ARRIVAL + waited + Duration::from_millis(computed);
        floor.end(now, FLOOR).saturating_sub(ARRIVAL).as_millis()
    }

    #[test]
    fn a_failure_is_told_at_the_next_multiple_of_the_floor() {
        assert_eq!(told(0, 1), 250);
        assert_eq!(told(0, 249), 250);
        assert_eq!(told(0, 250), 500);
        assert_eq!(told(0, 600), 750);
    }

    #[test]
    fn a_short_wait_does_not_show_and_a_long_one_shows_alone() {
        assert_eq!(told(124, 1), 250);
        assert_eq!(told(124, 100), 250);
        for waited in [125, 200, 300, 1234] {
            let fast = told(waited, 20);
            assert_eq!(u128::from(waited) + 250, fast);
            assert_eq!(told(waited, 120), fast, "{waited}");
        }
    }

    #[test]
    fn no_floor_is_no_wait() {
        let floor = Floor::from(ARRIVAL);
        let now = Duration::from_secs(10);
        assert_eq!(floor.end(now, Duration::ZERO), now);
    }
}
