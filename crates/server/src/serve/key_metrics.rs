//! How old the signing keys are, and when the next one is due.

use metrics::{Unit, describe_gauge, gauge};
use sso_core::{
    KeyPolicy,
    ports::store::{KeyUse, SealedKey},
};
use time::OffsetDateTime;

const AGE: &str = "sso_key_age_seconds";
const NEXT: &str = "sso_key_next_rotation_seconds";

/// The keys that have an age, by the label `use`.
const USES: [(KeyUse, &str); 2] = [(KeyUse::Access, "access"), (KeyUse::Refresh, "refresh")];

/// Describes these metrics and makes their series exist.
pub(super) fn register() {
    describe_gauge!(
        AGE,
        Unit::Seconds,
        "Age of the newest key, by what it signs or is about to sign."
    );
    describe_gauge!(
        NEXT,
        Unit::Seconds,
        "Time until the newest key of access tokens is as old as keys.rotate_every; negative: \
         the rotation is late, infinite: keys are not rotated by age."
    );
    for (_, name) in USES {
        gauge!(AGE, "use" => name).set(0.0);
    }
    gauge!(NEXT).set(f64::INFINITY);
}

/// Shows the stored keys as they are now.
pub(super) fn show(stored: &[SealedKey], policy: &KeyPolicy, now: OffsetDateTime) {
    for (usage, name) in USES {
        let newest = stored
            .iter()
            .filter(|key| key.usage == usage)
            .map(|key| key.created_at)
            .max();
        let Some(made) = newest else { continue };
        let age = (now - made).as_seconds_f64();
        gauge!(AGE, "use" => name).set(age);
        if usage == KeyUse::Access {
            let left = policy
                .rotate_every
                .map_or(f64::INFINITY, |every| every.as_secs_f64() - age);
            gauge!(NEXT).set(left);
        }
    }
}
