//! The issuer's public keys (RFC 7517), parsed once.

use std::{collections::HashMap, fmt};

use aws_lc_rs::{
    digest,
    encoding::AsDer,
    signature::{
        ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
        RsaPublicKeyComponents,
    },
};
use serde_json::Value;
use uuid::Uuid;

use crate::token::decode;

/// Most keys of a set; a ring has a handful.
const MAX_KEYS: usize = 64;
/// First byte of an uncompressed point (SEC 1, 2.3.3); two coordinates of 32 bytes follow.
const UNCOMPRESSED: u8 = 4;

/// A public key with the one algorithm that it is for.
pub(crate) struct Key {
    pub(crate) algorithm: &'static str,
    /// How a revocation names it.
    pub(crate) tag: Uuid,
    public: ParsedPublicKey,
}

impl Key {
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public.verify_sig(message, signature).is_ok()
    }

    /// A JWK for signatures of an algorithm that is accepted; `None` for any other.
    fn of(jwk: &Value) -> Option<Self> {
        let text = |name: &str| jwk.get(name)?.as_str();
        let bytes = |name: &str| decode(text(name)?);
        if jwk.get("use").is_some_and(|usage| usage != "sig") {
            return None;
        }
        let parse = |algorithm, bytes: &[u8]| ParsedPublicKey::new(algorithm, bytes).ok();
        let (algorithm, public) = match (text("alg")?, text("kty")?) {
            // RFC 8037.
            ("EdDSA", "OKP") if text("crv")? == "Ed25519" => {
                ("EdDSA", parse(&ED25519, &bytes("x")?)?)
            }
            // RFC 7518, 6.2.
            ("ES256", "EC") if text("crv")? == "P-256" => {
                let mut point = vec![UNCOMPRESSED];
                for coordinate in ["x", "y"] {
                    let coordinate: [u8; 32] = bytes(coordinate)?.try_into().ok()?;
                    point.extend_from_slice(&coordinate);
                }
                ("ES256", parse(&ECDSA_P256_SHA256_FIXED, &point)?)
            }
            // RFC 7518, 6.3.
            ("RS256", "RSA") => {
                let components = RsaPublicKeyComponents {
                    n: bytes("n")?,
                    e: bytes("e")?,
                };
                let der = components.as_der().ok()?;
                ("RS256", parse(&RSA_PKCS1_2048_8192_SHA256, der.as_ref())?)
            }
            _ => return None,
        };
        Some(Self {
            algorithm,
            tag: tag_of(text("kid")?),
            public,
        })
    }
}

/// How a revocation names a key: see `sso.v1.Revocation.key_tag`.
pub(crate) fn tag_of(kid: &str) -> Uuid {
    let mut bytes = [0; 16];
    let digest = digest::digest(&digest::SHA256, kid.as_bytes());
    for (to, from) in bytes.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// All of them, by `kid`.
#[derive(Default)]
pub(crate) struct KeySet(HashMap<String, Key>);

/// A document that is no set of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoKeySet {
    #[error("the answer is no JWK Set")]
    Malformed,
    #[error("two keys have the same kid")]
    Ambiguous,
    #[error("there are more than {MAX_KEYS} keys")]
    TooMany,
}

impl KeySet {
    /// Reads a JWK Set. Keys of another kind are left out (RFC 7517, section 5).
    pub(crate) fn parse(document: &[u8]) -> Result<Self, NoKeySet> {
        let document = sso_ijson::parse(document).map_err(|_| NoKeySet::Malformed)?;
        let keys = document.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or(NoKeySet::Malformed)?;
        if keys.len() > MAX_KEYS {
            return Err(NoKeySet::TooMany);
        }
        let mut set = HashMap::new();
        for jwk in keys {
            let kid = jwk.get("kid").and_then(Value::as_str);
            if let Some((kid, key)) = kid.zip(Key::of(jwk))
                && set.insert(kid.to_owned(), key).is_some()
            {
                return Err(NoKeySet::Ambiguous);
            }
        }
        Ok(Self(set))
    }

    pub(crate) fn find(&self, kid: &str) -> Option<&Key> {
        self.0.get(kid)
    }

    pub(crate) fn has(&self, tag: Uuid) -> bool {
        self.0.values().any(|key| key.tag == tag)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The ids alone.
impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
