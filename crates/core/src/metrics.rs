//! The metrics that use cases count, by the contract's names.

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

use crate::ports::{
    ThrottleReason,
    store::{Reach, Swept},
};

/// Logins by outcome.
pub const LOGINS: &str = "sso_logins_total";
/// Registrations by outcome.
pub const REGISTRATIONS: &str = "sso_registrations_total";
/// Requests that were throttled, by the rule.
pub const THROTTLED: &str = "sso_throttled_total";
/// Refresh tokens that came a second time after the grace.
pub const REFRESH_REUSE: &str = "sso_refresh_reuse_total";
/// Refresh tokens of sessions that are not there.
pub const REFRESH_UNKNOWN: &str = "sso_refresh_unknown_total";
/// Rows that the janitor deleted, by table.
pub const JANITOR_DELETED: &str = "sso_janitor_deleted_total";

/// Revocations that were acknowledged, by who obeyed them then.
pub const REVOCATION_ANSWERS: &str = "sso_revocation_answers_total";
/// Time from a COMMIT to the answer that every instance obeys it.
pub const EVERYWHERE_AFTER: &str = "sso_revocation_everywhere_seconds";
/// Hints of revocations that turned out to be none.
pub const HINTS_REFUTED: &str = "sso_revocation_hints_refuted_total";

/// What became of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    /// Of a login: wrong e-mail or password. Of a registration: never.
    InvalidCredentials,
    /// Of a login.
    UserDisabled,
    /// Of a registration.
    UserExists,
    /// Of a registration: they are switched off.
    Forbidden,
    /// Throttled.
    RateLimited,
    Overloaded,
    Error,
}

impl Outcome {
    const LOGIN: [Self; 6] = [
        Self::Success,
        Self::InvalidCredentials,
        Self::UserDisabled,
        Self::RateLimited,
        Self::Overloaded,
        Self::Error,
    ];
    const REGISTRATION: [Self; 6] = [
        Self::Success,
        Self::UserExists,
        Self::Forbidden,
        Self::RateLimited,
        Self::Overloaded,
        Self::Error,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::InvalidCredentials => "invalid_credentials",
            Self::UserDisabled => "user_disabled",
            Self::UserExists => "user_exists",
            Self::Forbidden => "forbidden",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Error => "error",
        }
    }
}

/// Counts what `step` comes to, also when nobody waits for its end any more.
pub(crate) async fn counted<T>(
    name: &'static str,
    outcome_of: impl FnOnce(&T) -> Outcome,
    step: impl Future<Output = T>,
) -> T {
    let mut counting = Counting {
        name,
        outcome: Outcome::Error,
    };
    let result = step.await;
    counting.outcome = outcome_of(&result);
    result
}

/// Counts one when it is dropped.
struct Counting {
    name: &'static str,
    outcome: Outcome,
}

impl Drop for Counting {
    fn drop(&mut self) {
        counter!(self.name, "outcome" => self.outcome.as_str()).increment(1);
    }
}

/// Counts a request that was throttled.
pub fn count_throttled(reason: ThrottleReason) {
    counter!(THROTTLED, "reason" => reason.as_str()).increment(1);
}

/// Describes these metrics and makes their series exist at 0.
pub fn register() {
    describe_counter!(LOGINS, Unit::Count, "Logins by outcome.");
    describe_counter!(REGISTRATIONS, Unit::Count, "Registrations by outcome.");
    describe_counter!(
        REFRESH_REUSE,
        Unit::Count,
        "Refresh tokens used again after the grace: the session was ended."
    );
    describe_counter!(
        THROTTLED,
        Unit::Count,
        "Requests that were throttled, by the rule that refused them."
    );
    for reason in ThrottleReason::ALL {
        counter!(THROTTLED, "reason" => reason.as_str()).absolute(0);
    }
    for outcome in Outcome::LOGIN {
        counter!(LOGINS, "outcome" => outcome.as_str()).absolute(0);
    }
    for outcome in Outcome::REGISTRATION {
        counter!(REGISTRATIONS, "outcome" => outcome.as_str()).absolute(0);
    }
    counter!(REFRESH_REUSE).absolute(0);
    describe_counter!(
        REFRESH_UNKNOWN,
        Unit::Count,
        "Refresh tokens whose session is not there: it ended long ago, or a failover lost it."
    );
    counter!(REFRESH_UNKNOWN).absolute(0);
    describe_counter!(
        JANITOR_DELETED,
        Unit::Count,
        "Rows that the janitor deleted because they were past their age, by table."
    );
    for table in Swept::ALL {
        counter!(JANITOR_DELETED, "table" => table.as_str()).absolute(0);
    }
    register_revocation();
}

fn register_revocation() {
    describe_counter!(
        REVOCATION_ANSWERS,
        Unit::Count,
        "Revocations that were acknowledged, by who obeyed them then."
    );
    for reach in Reach::ALL {
        counter!(REVOCATION_ANSWERS, "reach" => reach.as_str()).absolute(0);
    }
    describe_histogram!(
        EVERYWHERE_AFTER,
        Unit::Seconds,
        "Time from the COMMIT of a revocation to the answer that every instance obeys it."
    );
    // It has its buckets from now on.
    drop(histogram!(EVERYWHERE_AFTER));
    describe_counter!(
        HINTS_REFUTED,
        Unit::Count,
        "Hints of revocations that turned out to be none."
    );
    counter!(HINTS_REFUTED).absolute(0);
}
