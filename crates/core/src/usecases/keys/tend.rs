//! What the service does to its keys by itself.

use time::OffsetDateTime;

use super::{KeysError, Start, add, end, of_use};
use crate::{
    policy::Policy,
    ports::store::{AuditAction, KeyUse, SealedKey},
    sso::Sso,
};

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tended {
    /// How many keys were made.
    pub made: usize,
    /// How many were retired.
    pub retired: usize,
}

/// Whether [`tend`] has anything to do with this ring. No store is asked.
pub fn is_due(policy: &Policy, ring: &[SealedKey], now: OffsetDateTime) -> bool {
    !old_uses(policy, ring, now).is_empty() || !over(policy, ring, now).is_empty()
}

/// Makes a key where the newest is older than the policy allows, and retires those whose last
/// token is over. Of several instances that do it at once one does it: the others find the ring
/// changed, which is no error.
pub async fn tend(sso: &Sso) -> Result<Tended, KeysError> {
    let mut tended = Tended::default();
    let ring = sso.store.keys().await?;
    for key in over(&sso.policy, &ring, sso.now()) {
        match end(sso, &key.id, sso.record_of_ours(AuditAction::KeyRetire)).await {
            Ok(_) => tended.retired += 1,
            Err(KeysError::NotFound | KeysError::LastKey) => {}
            Err(error) => return Err(error),
        }
    }
    let ring = sso.store.keys().await?;
    let usages = old_uses(&sso.policy, &ring, sso.now());
    if !usages.is_empty() {
        let record = sso.record_of_ours(AuditAction::KeyRotate);
        match add(sso, &ring, &usages, Start::Published, &record).await {
            Ok(new) => tended.made = new.len(),
            Err(KeysError::Contended) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(tended)
}

/// The uses whose newest key is too old.
fn old_uses(policy: &Policy, ring: &[SealedKey], now: OffsetDateTime) -> Vec<KeyUse> {
    let Some(every) = policy.keys.rotate_every else {
        return Vec::new();
    };
    let is_old = |usage: &KeyUse| {
        let newest = ring.iter().filter(|key| key.usage == *usage);
        let newest = newest.map(|key| key.created_at).max();
        newest.is_some_and(|created_at| now - created_at >= every)
    };
    KeyUse::ALL.into_iter().filter(is_old).collect()
}

/// The keys that sign no more since so long that no token of theirs is good.
fn over<'a>(policy: &Policy, ring: &'a [SealedKey], now: OffsetDateTime) -> Vec<&'a SealedKey> {
    let mut over = Vec::new();
    for usage in KeyUse::ALL {
        let life = policy.longest_life(usage);
        let keys = of_use(ring, usage);
        let pairs = keys.iter().zip(keys.iter().skip(1));
        over.extend(
            pairs
                .filter(|(_, successor)| now - successor.signs_from > life)
                .map(|(key, _)| *key),
        );
    }
    over
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use time::macros::datetime;

    use super::*;

    const START: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

    fn key(id: &str, usage: KeyUse, signs_from: Duration) -> SealedKey {
        SealedKey {
            id: id.to_owned(),
            usage,
            algorithm: "EdDSA".to_owned(),
            sealed: vec![1],
            created_at: START + signs_from,
            signs_from: START + signs_from,
        }
    }

    fn ids(keys: &[&SealedKey]) -> Vec<String> {
        keys.iter().map(|key| key.id.clone()).collect()
    }

    #[test]
    fn a_key_is_over_when_its_successor_has_signed_for_longer_than_a_token_lives() {
        let policy = Policy::default();
        let day = Duration::from_hours(24);
        let ring = [
            key("a", KeyUse::Access, Duration::ZERO),
            key("b", KeyUse::Access, day),
            key("c", KeyUse::Refresh, Duration::ZERO),
            key("d", KeyUse::Refresh, day),
        ];
        let access = START + day + policy.access_ttl + Duration::from_secs(20);
        assert_eq!(ids(&over(&policy, &ring, access)), [""; 0]);
        let tick = time::Duration::MICROSECOND;
        assert_eq!(ids(&over(&policy, &ring, access + tick)), ["a"]);
        let refresh = START + day + policy.refresh_ttl + Duration::from_secs(20);
        assert_eq!(ids(&over(&policy, &ring, refresh)), ["a"]);
        assert_eq!(ids(&over(&policy, &ring, refresh + tick)), ["a", "c"]);
        let years = START + 1_000 * day;
        assert_eq!(ids(&over(&policy, &ring, years)), ["a", "c"]);
    }

    #[test]
    fn a_use_is_old_by_its_newest_key_and_only_if_there_is_a_limit() {
        let mut policy = Policy::default();
        let day = Duration::from_hours(24);
        let ring = [
            key("a", KeyUse::Access, Duration::ZERO),
            key("b", KeyUse::Access, day),
            key("c", KeyUse::Refresh, Duration::ZERO),
        ];
        let old = |policy: &Policy, days: u32| old_uses(policy, &ring, START + days * day);
        assert_eq!(old(&policy, 89), []);
        assert_eq!(old(&policy, 90), [KeyUse::Refresh]);
        assert_eq!(old(&policy, 91), [KeyUse::Access, KeyUse::Refresh]);
        assert!(is_due(&policy, &ring, START + 90 * day));
        policy.keys.rotate_every = None;
        assert_eq!(old(&policy, 10_000), []);
    }
}
