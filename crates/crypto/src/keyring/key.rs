//! One key: what it signs, from when, and the header of its tokens.

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sso_core::{
    ports::{
        Random,
        store::{KeyUse, SealedKey},
    },
    values::KeyTag,
};
use time::{Duration, OffsetDateTime};

use super::{
    KeyRingError,
    algorithm::{AccessAlgorithm, Algorithm},
    master::{MasterKey, OpenError},
    pair::{NoPair, Pair, generate},
};
use crate::random::{key_tag, sha256};

/// A key, parsed once. A clone shares the private part.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) tag: KeyTag,
    pub(crate) usage: KeyUse,
    pub(crate) signs_from: OffsetDateTime,
    /// How long it is to be known here before it signs.
    notice: Duration,
    /// Everything before the payload of a token: the encoded header and a dot.
    pub(crate) header: String,
    /// Of the sealed private part that it was opened from.
    sealed: [u8; 32],
    pair: Arc<Pair>,
}

/// When a key is made and when it starts to sign.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) created_at: OffsetDateTime,
    pub(super) signs_from: OffsetDateTime,
}

impl Key {
    /// Makes a key, sealed. `access` is the algorithm of one for access tokens.
    pub(super) fn generate(
        usage: KeyUse,
        access: AccessAlgorithm,
        master: &MasterKey,
        random: &dyn Random,
        times: Times,
    ) -> Result<SealedKey, KeyRingError> {
        let refused = |NoPair| KeyRingError::Crypto;
        let algorithm = Algorithm::of_use(usage, access);
        let secret = generate(algorithm, random).map_err(refused)?;
        let pair = Pair::parse(algorithm, &secret).map_err(refused)?;
        let id = pair.thumbprint().unwrap_or_else(|| {
            let mut id = [0; 16];
            random.fill(&mut id);
            URL_SAFE_NO_PAD.encode(id)
        });
        let context = context(&id, usage, algorithm.as_str());
        let sealed = master
            .seal(&secret, &context, random)
            .map_err(|_| KeyRingError::Crypto)?;
        Ok(SealedKey {
            id,
            usage,
            algorithm: algorithm.as_str().to_owned(),
            sealed,
            created_at: times.created_at,
            signs_from: times.signs_from,
        })
    }

    /// Opens and parses a stored key.
    pub(super) fn open(stored: &SealedKey, master: &MasterKey) -> Result<Self, KeyRingError> {
        let kid = || stored.id.clone();
        let algorithm = Algorithm::of(stored).ok_or_else(|| KeyRingError::Unsupported {
            kid: kid(),
            algorithm: stored.algorithm.clone(),
        })?;
        let secret = unseal(stored, master)?;
        let corrupt = || KeyRingError::Corrupt { kid: kid() };
        let pair = Pair::parse(algorithm, &secret).map_err(|NoPair| corrupt())?;
        // A kid is a promise about the public key: caches go by it.
        if pair.thumbprint().is_some_and(|print| print != stored.id) {
            return Err(corrupt());
        }
        Ok(Self {
            header: header(&stored.id, stored.usage, algorithm),
            id: stored.id.clone(),
            tag: key_tag(&stored.id),
            usage: stored.usage,
            signs_from: stored.signs_from,
            notice: notice(stored),
            sealed: sha256(&stored.sealed),
            pair: Arc::new(pair),
        })
    }

    /// Seals the private part of a stored key under another master key.
    pub(crate) fn reseal(
        stored: &SealedKey,
        old: &MasterKey,
        new: &MasterKey,
        random: &dyn Random,
    ) -> Result<SealedKey, KeyRingError> {
        let secret = unseal(stored, old)?;
        let context = context(&stored.id, stored.usage, &stored.algorithm);
        let sealed = new
            .seal(&secret, &context, random)
            .map_err(|_| KeyRingError::Crypto)?;
        let resealed = SealedKey {
            sealed,
            ..stored.clone()
        };
        // Nothing replaces what opens before it has been seen to open itself.
        Self::open(&resealed, new).map(|_| resealed)
    }

    /// Whether it was opened from these very bytes.
    pub(super) fn is_of(&self, stored: &SealedKey) -> bool {
        self.is_named_by(stored) && self.sealed == sha256(&stored.sealed)
    }

    /// Whether it is the key of this row, sealed as it may be.
    pub(super) fn is_named_by(&self, stored: &SealedKey) -> bool {
        self.id == stored.id
            && self.usage == stored.usage
            && self.algorithm().as_str() == stored.algorithm
    }

    /// The key becomes known here at `now`. Its row says when it signs if all goes well; who reads
    /// the row late, because he is overloaded or the store was away, publishes the key late, and so
    /// uses it later. Not so a key of refresh tokens, which nobody waits for: of the same claims
    /// each instance makes the same bytes.
    pub(super) fn arrives(&mut self, now: OffsetDateTime) {
        if self.usage == KeyUse::Access {
            self.signs_from = self.signs_from.max(now.saturating_add(self.notice));
        }
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.pair.algorithm()
    }

    /// The signature of `message`. With a key for refresh tokens it is the same bytes each time.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        self.pair.sign(message)
    }

    /// Whether `signature` is this key's of `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.pair.verifies(message, signature)
    }

    /// The public part as a JWK (RFC 7517, section 4), if there is one.
    pub(super) fn jwk(&self) -> Option<Value> {
        let mut members = self.pair.public_members()?;
        for (name, value) in [
            ("kid", self.id.as_str()),
            ("use", "sig"),
            ("alg", self.algorithm().as_str()),
        ] {
            members.insert(name.to_owned(), value.into());
        }
        Some(Value::Object(members))
    }
}

/// Names the key, and nothing secret.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("usage", &self.usage)
            .field("algorithm", &self.algorithm().as_str())
            .finish_non_exhaustive()
    }
}

/// `typ` of the tokens that a key of this use signs.
pub(crate) const fn token_typ(usage: KeyUse) -> &'static str {
    match usage {
        // RFC 9068, 2.1.
        KeyUse::Access => "at+jwt",
        KeyUse::Refresh => "rt+jwt",
    }
}

fn header(kid: &str, usage: KeyUse, algorithm: Algorithm) -> String {
    let header = json!({
        "alg": algorithm.as_str(),
        "kid": kid,
        "typ": token_typ(usage),
    });
    URL_SAFE_NO_PAD.encode(header.to_string()) + "."
}

/// What is left of the time between making and signing when it was read within a second.
fn notice(stored: &SealedKey) -> Duration {
    let notice = stored.signs_from - stored.created_at - Duration::SECOND;
    notice.max(Duration::ZERO)
}

/// What a sealed private part is bound to, so that it cannot be moved to another row.
fn context(kid: &str, usage: KeyUse, algorithm: &str) -> String {
    format!("{kid}|{}|{algorithm}", usage.as_str())
}

fn unseal(
    stored: &SealedKey,
    master: &MasterKey,
) -> Result<zeroize::Zeroizing<Vec<u8>>, KeyRingError> {
    let kid = || stored.id.clone();
    let context = context(&stored.id, stored.usage, &stored.algorithm);
    master
        .open(&stored.sealed, &context)
        .map_err(|error| match error {
            OpenError::OtherMasterKey => KeyRingError::WrongMasterKey { kid: kid() },
            OpenError::Corrupt => KeyRingError::Corrupt { kid: kid() },
        })
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rsa;

    use super::*;
    use crate::SystemRandom;

    const TIMES: Times = Times {
        created_at: OffsetDateTime::UNIX_EPOCH,
        signs_from: OffsetDateTime::UNIX_EPOCH,
    };

    fn access(algorithm: AccessAlgorithm, master: &MasterKey) -> SealedKey {
        Key::generate(KeyUse::Access, algorithm, master, &SystemRandom, TIMES).unwrap()
    }

    #[test]
    fn the_kid_is_the_thumbprint_of_the_public_key() {
        // RFC 8037, appendix A.1 to A.3.
        let seed = URL_SAFE_NO_PAD
            .decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
            .unwrap();
        let pair = Pair::parse(Algorithm::Access(AccessAlgorithm::EdDsa), &seed).unwrap();
        let members = pair.public_members().unwrap();
        assert_eq!(members["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(
            pair.thumbprint().unwrap(),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }

    #[test]
    fn a_key_under_another_kid_than_its_thumbprint_is_refused() {
        let master = MasterKey::generate(&SystemRandom);
        let mut stored = access(AccessAlgorithm::EdDsa, &master);
        assert!(Key::open(&stored, &master).is_ok());
        stored.id = "another".to_owned();
        stored.sealed = master
            .seal(&[1; 32], "another|access|EdDSA", &SystemRandom)
            .unwrap();
        let refused = KeyRingError::Corrupt {
            kid: "another".to_owned(),
        };
        assert_eq!(Key::open(&stored, &master).err(), Some(refused));
    }

    #[test]
    fn a_private_part_of_one_algorithm_is_none_of_another() {
        let master = MasterKey::generate(&SystemRandom);
        let names = ["EdDSA", "ES256", "RS256"];
        for algorithm in [
            AccessAlgorithm::EdDsa,
            AccessAlgorithm::Es256,
            AccessAlgorithm::Rs256,
        ] {
            let stored = access(algorithm, &master);
            let secret = unseal(&stored, &master).unwrap();
            for name in names.iter().filter(|name| **name != stored.algorithm) {
                let mut other = stored.clone();
                other.algorithm = (*name).to_owned();
                other.sealed = master
                    .seal(
                        &secret,
                        &context(&other.id, KeyUse::Access, name),
                        &SystemRandom,
                    )
                    .unwrap();
                let refused = KeyRingError::Corrupt {
                    kid: other.id.clone(),
                };
                assert_eq!(Key::open(&other, &master).err(), Some(refused));
            }
        }
    }

    #[test]
    fn an_rsa_key_of_fewer_than_3072_bits_is_refused() {
        use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
        let rs256 = Algorithm::Access(AccessAlgorithm::Rs256);
        let weak = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
        let document: Pkcs8V1Der<'_> = weak.as_der().unwrap();
        assert!(Pair::parse(rs256, document.as_ref()).is_err());
    }

    #[test]
    fn a_key_resealed_under_a_new_master_key_is_the_same_key() {
        let (old, new) = (
            MasterKey::generate(&SystemRandom),
            MasterKey::generate(&SystemRandom),
        );
        for algorithm in [AccessAlgorithm::EdDsa, AccessAlgorithm::Es256] {
            let stored = access(algorithm, &old);
            let resealed = Key::reseal(&stored, &old, &new, &SystemRandom).unwrap();
            let before = Key::open(&stored, &old).unwrap();
            let after = Key::open(&resealed, &new).unwrap();
            let signature = before.sign(b"message").unwrap();
            assert!(after.verifies(b"message", &signature));
            let refused = KeyRingError::WrongMasterKey {
                kid: stored.id.clone(),
            };
            assert_eq!(Key::open(&resealed, &old).err(), Some(refused));
            assert!(Key::reseal(&stored, &new, &old, &SystemRandom).is_err());
        }
    }
}
