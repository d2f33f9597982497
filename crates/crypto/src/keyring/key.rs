//! One key: its algorithm, its parsed private part, and how it signs.

use std::fmt;

use aws_lc_rs::{
    hmac,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sso_core::ports::{
    Random,
    store::{KeyUse, SealedKey},
};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::{
    KeyRingError,
    master::{MasterKey, OpenError},
};
use crate::sha256;

/// Bytes of the private part: an Ed25519 seed (RFC 8032, 5.1.5) or an HMAC-SHA-256 key.
const SECRET_BYTES: usize = 32;

/// The algorithms of keys, by their names in RFC 7518 and RFC 8037.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    EdDsa,
    Hs256,
}

impl Algorithm {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Hs256 => "HS256",
        }
    }

    /// The algorithm of a stored key. A key that others must verify is never symmetric.
    fn of(key: &SealedKey) -> Option<Self> {
        match (key.usage, key.algorithm.as_str()) {
            (KeyUse::Access, "EdDSA") => Some(Self::EdDsa),
            (KeyUse::Refresh, "HS256") => Some(Self::Hs256),
            _ => None,
        }
    }
}

/// A key, parsed once.
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) usage: KeyUse,
    pub(crate) signs_from: OffsetDateTime,
    /// Everything before the payload of a token: the encoded header and a dot.
    pub(crate) header: String,
    pair: Pair,
}

enum Pair {
    Ed25519(Box<Ed25519KeyPair>),
    Hmac(Box<hmac::Key>),
}

impl Key {
    /// Makes a key that signs from `now` on, sealed.
    pub(super) fn generate(
        usage: KeyUse,
        master: &MasterKey,
        random: &dyn Random,
        now: OffsetDateTime,
    ) -> Result<SealedKey, KeyRingError> {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        random.fill(&mut *secret);
        let (algorithm, id) = match usage {
            KeyUse::Access => (Algorithm::EdDsa, thumbprint(&ed25519(&secret[..])?)),
            KeyUse::Refresh => {
                let mut id = [0; 16];
                random.fill(&mut id);
                (Algorithm::Hs256, URL_SAFE_NO_PAD.encode(id))
            }
        };
        let context = context(&id, usage, algorithm.as_str());
        let sealed = master
            .seal(&*secret, &context, random)
            .map_err(|_| KeyRingError::Crypto)?;
        Ok(SealedKey {
            id,
            usage,
            algorithm: algorithm.as_str().to_owned(),
            sealed,
            created_at: now,
            signs_from: now,
        })
    }

    /// Opens and parses a stored key.
    pub(super) fn open(stored: &SealedKey, master: &MasterKey) -> Result<Self, KeyRingError> {
        let kid = || stored.id.clone();
        let algorithm = Algorithm::of(stored).ok_or_else(|| KeyRingError::Unsupported {
            kid: kid(),
            algorithm: stored.algorithm.clone(),
        })?;
        let context = context(&stored.id, stored.usage, &stored.algorithm);
        let secret = master
            .open(&stored.sealed, &context)
            .map_err(|error| match error {
                OpenError::OtherMasterKey => KeyRingError::WrongMasterKey { kid: kid() },
                OpenError::Corrupt => KeyRingError::Corrupt { kid: kid() },
            })?;
        let pair = match algorithm {
            Algorithm::EdDsa => {
                let pair = ed25519(&secret)?;
                // A kid is a promise about the public key: caches go by it.
                if thumbprint(&pair) != stored.id {
                    return Err(KeyRingError::Corrupt { kid: kid() });
                }
                Pair::Ed25519(Box::new(pair))
            }
            Algorithm::Hs256 if secret.len() == SECRET_BYTES => {
                Pair::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &secret)))
            }
            Algorithm::Hs256 => return Err(KeyRingError::Corrupt { kid: kid() }),
        };
        Ok(Self {
            header: header(&stored.id, stored.usage, algorithm),
            id: stored.id.clone(),
            usage: stored.usage,
            signs_from: stored.signs_from,
            pair,
        })
    }

    pub(crate) const fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Ed25519(_) => Algorithm::EdDsa,
            Pair::Hmac(_) => Algorithm::Hs256,
        }
    }

    /// The signature of `message`. Of the same message it is the same bytes, with either algorithm.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match &self.pair {
            Pair::Ed25519(pair) => {
                let signature = pair.try_sign(message).ok()?;
                Some(signature.as_ref().to_vec())
            }
            Pair::Hmac(key) => Some(hmac::sign(key, message).as_ref().to_vec()),
        }
    }

    /// Whether `signature` is this key's of `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.pair {
            Pair::Ed25519(pair) => UnparsedPublicKey::new(&ED25519, pair.public_key().as_ref())
                .verify(message, signature)
                .is_ok(),
            Pair::Hmac(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }

    /// The public part as a JWK (RFC 7517, RFC 8037), if there is one.
    pub(super) fn jwk(&self) -> Option<Value> {
        match &self.pair {
            Pair::Ed25519(pair) => Some(json!({
                "kty": "OKP",
                "crv": "Ed25519",
                "x": URL_SAFE_NO_PAD.encode(pair.public_key()),
                "kid": self.id,
                "use": "sig",
                "alg": self.algorithm().as_str(),
            })),
            Pair::Hmac(_) => None,
        }
    }
}

/// Names the key, and nothing secret.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("usage", &self.usage)
            .field("algorithm", &self.algorithm())
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

/// What a sealed private part is bound to, so that it cannot be moved to another row.
fn context(kid: &str, usage: KeyUse, algorithm: &str) -> String {
    format!("{kid}|{}|{algorithm}", usage.as_str())
}

fn ed25519(seed: &[u8]) -> Result<Ed25519KeyPair, KeyRingError> {
    Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyRingError::Crypto)
}

/// RFC 7638 of an OKP key (RFC 8037, appendix A.3).
fn thumbprint(pair: &Ed25519KeyPair) -> String {
    let x = URL_SAFE_NO_PAD.encode(pair.public_key());
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(sha256(members.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemRandom;

    #[test]
    fn the_kid_is_the_thumbprint_of_the_public_key() {
        // RFC 8037, appendix A.1 to A.3.
        let seed = URL_SAFE_NO_PAD
            .decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
            .unwrap();
        let pair = ed25519(&seed).unwrap();
        assert_eq!(
            URL_SAFE_NO_PAD.encode(pair.public_key()),
            "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
        );
        assert_eq!(
            thumbprint(&pair),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }

    #[test]
    fn a_key_under_another_kid_than_its_thumbprint_is_refused() {
        let master = MasterKey::generate(&SystemRandom);
        let now = OffsetDateTime::UNIX_EPOCH;
        let mut stored = Key::generate(KeyUse::Access, &master, &SystemRandom, now).unwrap();
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
}
