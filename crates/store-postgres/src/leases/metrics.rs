use metrics::{Unit, counter, describe_counter};

const REGISTRATIONS: &str = "sso_revocation_registrations_total";
const WRITTEN_BACK: &str = "sso_revocation_written_back_total";
const FENCED: &str = "sso_revocation_readers_fenced_total";

/// Describes these metrics and makes their series exist at 0.
pub fn register() {
    describe_counter!(
        REGISTRATIONS,
        Unit::Count,
        "Registrations of this instance as a reader: one at the start, one for each timeline."
    );
    describe_counter!(
        WRITTEN_BACK,
        Unit::Count,
        "Revocations that a failover had lost and this instance wrote back."
    );
    describe_counter!(
        FENCED,
        Unit::Count,
        "Rows of readers that were silent for 1.2 leases, deleted by this instance."
    );
    for name in [REGISTRATIONS, WRITTEN_BACK, FENCED] {
        counter!(name).absolute(0);
    }
}

pub(super) fn registered() {
    counter!(REGISTRATIONS).increment(1);
}

pub(super) fn written_back(entries: usize) {
    counter!(WRITTEN_BACK).increment(entries as u64);
}

pub(super) fn fenced() {
    counter!(FENCED).increment(1);
}
