//! What is counted. All labels are of closed sets.

use metrics::{Unit, counter, describe_counter};

const MAILS: &str = "welcome_mails_total";
const FAILURES: &str = "welcome_smtp_failures_total";

/// What became of an event: values of the label `outcome`.
const OUTCOMES: [&str; 7] = [
    "sent",
    "known",
    "too_old",
    "forgotten",
    "retried",
    "parked",
    "gave_up",
];
/// Why a mail was not taken: values of the label `reason`.
const REASONS: [&str; 4] = ["temporary", "permanent", "account", "unreachable"];

/// Describes them and makes them exist at 0.
pub(crate) fn register() {
    describe_counter!(
        MAILS,
        Unit::Count,
        "Registrations by what became of their mail: sent, known (sent before), too_old, forgotten (their \
         user is), retried, parked, gave_up (tried for too long, and parked)."
    );
    describe_counter!(
        FAILURES,
        Unit::Count,
        "Mails that the mail server did not take, by reason: temporary (4xx), permanent (5xx), account (it \
         refuses ours), unreachable."
    );
    for outcome in OUTCOMES {
        counter!(MAILS, "outcome" => outcome).absolute(0);
    }
    for reason in REASONS {
        counter!(FAILURES, "reason" => reason).absolute(0);
    }
}

pub(crate) fn mail(outcome: &'static str) {
    counter!(MAILS, "outcome" => outcome).increment(1);
}

pub(crate) fn failure(reason: &'static str) {
    counter!(FAILURES, "reason" => reason).increment(1);
}
