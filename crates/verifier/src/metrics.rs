//! What can be counted, by the facade `metrics`. Without a recorder it costs nothing.

use std::time::Duration;

use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};

use crate::Refused;

const TOKENS: &str = "sso_verifier_tokens_total";
const QUESTIONS: &str = "sso_verifier_questions_total";
const STREAMS: &str = "sso_verifier_streams_ended_total";
const TRUSTED: &str = "sso_verifier_trusted_seconds";
const ENTRIES: &str = "sso_verifier_revocations";

/// Describes the metrics and makes their series exist. Building a verifier does that, too: this is for
/// who lists them without one.
pub fn register_metrics() {
    drop(Metrics::new());
}

/// The handles, looked up in the recorder once: it must be installed before the verifier is built.
pub(crate) struct Metrics {
    good: Counter,
    invalid: Counter,
    wrong_type: Counter,
    expired: Counter,
    revoked: Counter,
    unknowable: Counter,
    answered: Counter,
    unanswered: Counter,
    streams_ended: Counter,
    trusted: Gauge,
    entries: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        describe_counter!(
            TOKENS,
            Unit::Count,
            "Access tokens by what became of them: good, or why they were refused; unavailable: that \
             could not be known."
        );
        describe_counter!(
            QUESTIONS,
            Unit::Count,
            "Questions to Validate while the revocations were not heard, by whether they were answered."
        );
        describe_counter!(
            STREAMS,
            Unit::Count,
            "Streams of revocations that ended before their time or could not be opened."
        );
        describe_gauge!(
            TRUSTED,
            Unit::Seconds,
            "How long the revocations were trusted at the last beat; 0: no stream is heard."
        );
        describe_gauge!(ENTRIES, Unit::Count, "Revocations in memory.");
        let tokens = |outcome: &'static str| counter!(TOKENS, "outcome" => outcome);
        let questions = |outcome: &'static str| counter!(QUESTIONS, "outcome" => outcome);
        Self {
            good: tokens("good"),
            invalid: tokens(Refused::Invalid.code()),
            wrong_type: tokens(Refused::WrongType.code()),
            expired: tokens(Refused::Expired.code()),
            revoked: tokens(Refused::Revoked.code()),
            unknowable: tokens(Refused::Unknowable.code()),
            answered: questions("answered"),
            unanswered: questions("unanswered"),
            streams_ended: counter!(STREAMS),
            trusted: gauge!(TRUSTED),
            entries: gauge!(ENTRIES),
        }
    }

    pub(crate) fn token<T>(&self, outcome: &Result<T, Refused>) {
        let counter = match outcome {
            Ok(_) => &self.good,
            Err(Refused::Invalid) => &self.invalid,
            Err(Refused::WrongType) => &self.wrong_type,
            Err(Refused::Expired) => &self.expired,
            Err(Refused::Revoked) => &self.revoked,
            Err(Refused::Unknowable) => &self.unknowable,
        };
        counter.increment(1);
    }

    pub(crate) fn question(&self, answered: bool) {
        let counter = if answered {
            &self.answered
        } else {
            &self.unanswered
        };
        counter.increment(1);
    }

    pub(crate) fn stream_ended(&self) {
        self.streams_ended.increment(1);
    }

    pub(crate) fn trusted(&self, left: Duration) {
        self.trusted.set(left.as_secs_f64());
    }

    pub(crate) fn entries(&self, count: usize) {
        self.entries.set(u32::try_from(count).unwrap_or(u32::MAX));
    }
}
