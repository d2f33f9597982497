//! The ring of signing keys: sealed in the store, opened once, parsed once.

mod algorithm;
mod key;
mod master;
mod pair;
mod workshop;

use std::collections::HashSet;

use serde_json::{Value, json};
use sso_core::{
    ports::{
        Random,
        store::{KeyUse, SealedKey},
    },
    values::KeyTag,
};
use time::OffsetDateTime;

pub use algorithm::AccessAlgorithm;
pub use master::{MalformedMasterKey, MasterKey};
pub use workshop::{KeyWorkshop, Resealer};

pub(crate) use key::{Key, token_typ};

use key::Times;

/// Every key that signs or verifies. Not changed after it was opened: a change of the stored keys
/// makes a new ring.
#[derive(Debug, Clone)]
pub struct KeyRing {
    /// By the time from which they sign, the oldest first.
    keys: Vec<Key>,
    /// Whether every stored key is in it.
    complete: bool,
}

/// A ring of what is stored now, and why it has not all of it.
#[derive(Debug)]
pub struct Reloaded {
    /// The ring.
    pub ring: KeyRing,
    /// The first key that did not open. What the ring before it knew it still has.
    pub problem: Option<KeyRingError>,
}

/// Why there is no key ring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// The keys are sealed under another master key. Nothing is damaged.
    #[error("the master key is not the one under which key {kid:?} was sealed")]
    WrongMasterKey {
        /// The first key that did not open.
        kid: String,
    },
    /// Under the right master key a stored key does not open: it was damaged or tampered with.
    #[error("the stored key {kid:?} is damaged")]
    Corrupt {
        /// Which key.
        kid: String,
    },
    /// A key of an algorithm that this version does not know for its use.
    #[error("the stored key {kid:?} has the unsupported algorithm {algorithm:?}")]
    Unsupported {
        /// Which key.
        kid: String,
        /// Its algorithm as stored.
        algorithm: String,
    },
    /// Two keys have one `kid`.
    #[error("two stored keys have the id {kid:?}")]
    Duplicate {
        /// Their id.
        kid: String,
    },
    /// No key for this use.
    #[error("there is no key for {} tokens", .0.as_str())]
    Missing(KeyUse),
    /// The cryptographic library refused to work.
    #[error("the cryptographic library refused to work")]
    Crypto,
}

impl KeyRing {
    /// Makes the first keys of a new database, as [`KeyRing::first_keys_of`] does, with Ed25519.
    pub fn first_keys(
        master: &MasterKey,
        random: &dyn Random,
        now: OffsetDateTime,
    ) -> Result<Vec<SealedKey>, KeyRingError> {
        Self::first_keys_of(AccessAlgorithm::default(), master, random, now)
    }

    /// Makes the first keys of a new database, sealed under `master`: one of `algorithm` for access
    /// tokens, one of HMAC-SHA-256 for refresh tokens. Both sign from the second of `now` on, since
    /// tokens have whole seconds.
    pub fn first_keys_of(
        algorithm: AccessAlgorithm,
        master: &MasterKey,
        random: &dyn Random,
        now: OffsetDateTime,
    ) -> Result<Vec<SealedKey>, KeyRingError> {
        let now = now.truncate_to_second();
        let times = Times {
            created_at: now,
            signs_from: now,
        };
        [KeyUse::Access, KeyUse::Refresh]
            .into_iter()
            .map(|usage| Key::generate(usage, algorithm, master, random, times))
            .collect()
    }

    /// Opens the stored keys. All of them must open, and each use must have one: a ring with holes
    /// would refuse good tokens.
    pub fn open(stored: &[SealedKey], master: &MasterKey) -> Result<Self, KeyRingError> {
        let keys = stored
            .iter()
            .map(|key| Key::open(key, master))
            .collect::<Result<Vec<_>, _>>()?;
        Self::of(keys, true)
    }

    /// The ring after the stored keys have changed. What this one has opened it need not open
    /// again, and keeps even if it cannot (keys resealed under a master key that this process was
    /// not given yet); what is stored no more is gone. What is new arrives at `now`. An error is a reason to go on with this one.
    pub fn reload(
        &self,
        stored: &[SealedKey],
        master: &MasterKey,
        now: OffsetDateTime,
    ) -> Result<Reloaded, KeyRingError> {
        let (mut keys, mut problem, mut complete) = (Vec::new(), None, true);
        for row in stored {
            let known = self.keys.iter().find(|key| key.is_named_by(row));
            if let Some(key) = known.filter(|key| key.is_of(row)) {
                keys.push(key.clone());
                continue;
            }
            match Key::open(row, master) {
                Ok(mut key) => {
                    match known {
                        Some(known) => key.signs_from = known.signs_from,
                        None => key.arrives(now),
                    }
                    keys.push(key);
                }
                Err(error) => {
                    complete &= known.is_some();
                    keys.extend(known.cloned());
                    problem.get_or_insert(error);
                }
            }
        }
        let ring = Self::of(keys, complete)?;
        Ok(Reloaded { ring, problem })
    }

    fn of(mut keys: Vec<Key>, complete: bool) -> Result<Self, KeyRingError> {
        keys.sort_by(|a, b| (a.signs_from, &a.id).cmp(&(b.signs_from, &b.id)));
        let mut ids = HashSet::new();
        if let Some(key) = keys.iter().find(|key| !ids.insert(key.id.as_str())) {
            let kid = key.id.clone();
            return Err(KeyRingError::Duplicate { kid });
        }
        for usage in [KeyUse::Access, KeyUse::Refresh] {
            if !keys.iter().any(|key| key.usage == usage) {
                return Err(KeyRingError::Missing(usage));
            }
        }
        Ok(Self { keys, complete })
    }

    /// Drops these keys, whatever is left.
    pub(crate) fn drop_retired(&mut self, retired: &HashSet<KeyTag>) {
        self.keys.retain(|key| !retired.contains(&key.tag));
    }

    /// Whether every stored key is in it, as far as it knows.
    pub(crate) const fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether a key of this tag is in it.
    pub(crate) fn has(&self, tag: KeyTag) -> bool {
        self.keys.iter().any(|key| key.tag == tag)
    }

    /// The public keys as a JWK Set (RFC 7517, section 5): also those that will sign later.
    pub fn jwks(&self) -> Value {
        let keys: Vec<_> = self.keys.iter().filter_map(Key::jwk).collect();
        json!({ "keys": keys })
    }

    /// The key with this id. There are few, and a scan tells nothing: ids are public.
    pub(crate) fn find(&self, kid: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == kid)
    }

    /// The key that signs tokens issued at `at`: the newest that signs by then. It depends on
    /// nothing else, so that the same claims are signed by the same key. Before the first key signs
    /// (another instance's clock is ahead of ours) it is the first.
    pub(crate) fn signing(&self, usage: KeyUse, at: OffsetDateTime) -> Option<&Key> {
        let mut of_use = self.keys.iter().filter(|key| key.usage == usage);
        let first = of_use.next()?;
        let newest = of_use.take_while(|key| key.signs_from <= at).last();
        Some(newest.unwrap_or(first))
    }
}

#[cfg(test)]
mod tests {
    use time::{Duration, macros::datetime};

    use super::*;
    use crate::SystemRandom;

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00:00.654321 UTC);

    fn master() -> MasterKey {
        MasterKey::generate(&SystemRandom)
    }

    fn keys(master: &MasterKey, now: OffsetDateTime) -> Vec<SealedKey> {
        KeyRing::first_keys(master, &SystemRandom, now).unwrap()
    }

    #[test]
    fn the_first_keys_open_and_sign_from_the_second_of_their_making() {
        let master = master();
        let stored = keys(&master, NOW);
        let described: Vec<_> = stored
            .iter()
            .map(|key| (key.usage, key.algorithm.as_str(), key.signs_from))
            .collect();
        let second = datetime!(2026-11-22 12:00:00 UTC);
        assert_eq!(
            described,
            [
                (KeyUse::Access, "EdDSA", second),
                (KeyUse::Refresh, "HS256", second)
            ]
        );
        let ring = KeyRing::open(&stored, &master).unwrap();
        for key in &stored {
            assert_eq!(ring.signing(key.usage, second).unwrap().id, key.id);
            let other = keys(&master, NOW);
            assert!(other.iter().all(|other| other.id != key.id));
        }
    }

    #[test]
    fn a_wrong_master_key_is_not_taken_for_damage_nor_damage_for_a_wrong_key() {
        let (right, wrong) = (master(), master());
        let stored = keys(&right, NOW);
        let kid = stored[0].id.clone();
        let opened = KeyRing::open(&stored, &wrong);
        assert_eq!(
            opened.err(),
            Some(KeyRingError::WrongMasterKey { kid: kid.clone() })
        );
        let mut damaged = stored.clone();
        *damaged[0].sealed.last_mut().unwrap() ^= 1;
        let opened = KeyRing::open(&damaged, &right);
        assert_eq!(opened.err(), Some(KeyRingError::Corrupt { kid }));
    }

    #[test]
    fn a_sealed_part_opens_only_in_its_own_row() {
        let master = master();
        let mut swapped = keys(&master, NOW);
        swapped[0].sealed = keys(&master, NOW).swap_remove(0).sealed;
        let opened = KeyRing::open(&swapped, &master);
        assert!(matches!(opened.err(), Some(KeyRingError::Corrupt { .. })));
    }

    #[test]
    fn a_symmetric_key_never_signs_access_tokens() {
        let master = master();
        let mut stored = keys(&master, NOW);
        stored[1].usage = KeyUse::Access;
        let opened = KeyRing::open(&stored, &master);
        assert!(matches!(
            opened.err(),
            Some(KeyRingError::Unsupported { .. })
        ));
        stored[1].usage = KeyUse::Refresh;
        stored[1].algorithm = "none".to_owned();
        let opened = KeyRing::open(&stored, &master);
        assert!(matches!(
            opened.err(),
            Some(KeyRingError::Unsupported { .. })
        ));
    }

    #[test]
    fn a_ring_needs_a_key_of_each_use_and_each_only_once() {
        let master = master();
        let mut stored = keys(&master, NOW);
        stored.push(stored[0].clone());
        let kid = stored[0].id.clone();
        let opened = KeyRing::open(&stored, &master);
        assert_eq!(opened.err(), Some(KeyRingError::Duplicate { kid }));
        let opened = KeyRing::open(&stored[..1], &master);
        assert_eq!(opened.err(), Some(KeyRingError::Missing(KeyUse::Refresh)));
        let opened = KeyRing::open(&[], &master);
        assert_eq!(opened.err(), Some(KeyRingError::Missing(KeyUse::Access)));
    }

    #[test]
    fn the_newest_key_that_signs_by_then_signs() {
        let master = master();
        let (day, second) = (Duration::DAY, NOW.truncate_to_second());
        let (old, new) = (keys(&master, NOW), keys(&master, NOW + day));
        let ring = KeyRing::open(&[new.clone(), old.clone()].concat(), &master).unwrap();
        let signing = |at| ring.signing(KeyUse::Refresh, at).unwrap().id.as_str();
        assert_eq!(signing(second - day), old[1].id);
        assert_eq!(signing(second), old[1].id);
        assert_eq!(signing(second + day - Duration::SECOND), old[1].id);
        assert_eq!(signing(second + day), new[1].id);
        assert_eq!(signing(second + 10 * day), new[1].id);
    }

    #[test]
    fn the_jwks_has_every_public_key_and_no_other() {
        let master = master();
        let later = keys(&master, NOW + Duration::DAY);
        let stored = [keys(&master, NOW), later].concat();
        let jwks = KeyRing::open(&stored, &master).unwrap().jwks();
        let published = jwks["keys"].as_array().unwrap();
        assert_eq!(published.len(), 2);
        for (jwk, key) in published.iter().zip([&stored[0], &stored[2]]) {
            let x = jwk["x"].as_str().unwrap();
            assert_eq!(x.len(), 43);
            let expected = json!({
                "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "x": x, "kid": key.id,
            });
            assert_eq!(*jwk, expected);
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        let master = master();
        let ring = KeyRing::open(&keys(&master, NOW), &master).unwrap();
        let printed = format!("{ring:?}");
        assert!(
            printed.contains("EdDSA") && printed.len() < 250,
            "{printed}"
        );
    }
}
