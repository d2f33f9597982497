//! A private part with what follows from it: how it signs, verifies, and is published.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    hmac, rand, rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
        RSA_PKCS1_SHA256, VerificationAlgorithm,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use sso_core::ports::Random;
use zeroize::Zeroizing;

use super::algorithm::{AccessAlgorithm, Algorithm};
use crate::sha256;

/// Bytes of an Ed25519 seed (RFC 8032, 5.1.5) and of an HMAC-SHA-256 key.
const SECRET_BYTES: usize = 32;
/// Bytes of the modulus of an RSA key: 3072 bits, 128 bits of strength (NIST SP 800-57, part 1).
const RSA_BYTES: usize = 384;
/// First byte of an uncompressed point (SEC 1, 2.3.3); two coordinates of 32 bytes follow.
const UNCOMPRESSED: u8 = 4;

/// A private part, parsed.
pub(super) enum Pair {
    Ed25519(Box<Ed25519KeyPair>, Box<ParsedPublicKey>),
    Es256(Box<EcdsaKeyPair>, Box<ParsedPublicKey>),
    Rs256(Box<rsa::KeyPair>, Box<ParsedPublicKey>),
    Hmac(Box<hmac::Key>),
}

/// A private part that is none of its algorithm, or the cryptographic library refused to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoPair;

/// Makes a private part as it is sealed: the seed of an Ed25519 or HMAC key, PKCS #8 (RFC 5958) of
/// the others, whose random bytes are the library's own. An RSA key takes about a second.
pub(super) fn generate(
    algorithm: Algorithm,
    random: &dyn Random,
) -> Result<Zeroizing<Vec<u8>>, NoPair> {
    match algorithm {
        Algorithm::Hs256 | Algorithm::Access(AccessAlgorithm::EdDsa) => {
            let mut secret = Zeroizing::new(vec![0; SECRET_BYTES]);
            random.fill(&mut secret);
            Ok(secret)
        }
        Algorithm::Access(AccessAlgorithm::Es256) => {
            let curve = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let document = EcdsaKeyPair::generate_pkcs8(curve, &rand::SystemRandom::new());
            let document = document.map_err(|_| NoPair)?;
            Ok(Zeroizing::new(document.as_ref().to_vec()))
        }
        Algorithm::Access(AccessAlgorithm::Rs256) => {
            let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa3072).map_err(|_| NoPair)?;
            let document: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| NoPair)?;
            Ok(Zeroizing::new(document.as_ref().to_vec()))
        }
    }
}

impl Pair {
    /// Parses what [`generate`] made. An RSA key of another size is none.
    pub(super) fn parse(algorithm: Algorithm, secret: &[u8]) -> Result<Self, NoPair> {
        match algorithm {
            Algorithm::Access(AccessAlgorithm::EdDsa) => {
                let pair = Ed25519KeyPair::from_seed_unchecked(secret).map_err(|_| NoPair)?;
                let public = public(&ED25519, pair.public_key())?;
                Ok(Self::Ed25519(Box::new(pair), public))
            }
            Algorithm::Access(AccessAlgorithm::Es256) => {
                let curve = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let pair = EcdsaKeyPair::from_pkcs8(curve, secret).map_err(|_| NoPair)?;
                let public = public(&ECDSA_P256_SHA256_FIXED, pair.public_key())?;
                Ok(Self::Es256(Box::new(pair), public))
            }
            Algorithm::Access(AccessAlgorithm::Rs256) => {
                let pair = rsa::KeyPair::from_pkcs8(secret).map_err(|_| NoPair)?;
                if pair.public_modulus_len() != RSA_BYTES {
                    return Err(NoPair);
                }
                let public = public(&RSA_PKCS1_2048_8192_SHA256, pair.public_key())?;
                Ok(Self::Rs256(Box::new(pair), public))
            }
            Algorithm::Hs256 if secret.len() == SECRET_BYTES => Ok(Self::Hmac(Box::new(
                hmac::Key::new(hmac::HMAC_SHA256, secret),
            ))),
            Algorithm::Hs256 => Err(NoPair),
        }
    }

    pub(super) const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(..) => Algorithm::Access(AccessAlgorithm::EdDsa),
            Self::Es256(..) => Algorithm::Access(AccessAlgorithm::Es256),
            Self::Rs256(..) => Algorithm::Access(AccessAlgorithm::Rs256),
            Self::Hmac(_) => Algorithm::Hs256,
        }
    }

    /// The signature of `message`. Of the same message it is the same bytes, but for ES256.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Ed25519(pair, _) => Some(pair.try_sign(message).ok()?.as_ref().to_vec()),
            Self::Es256(pair, _) => {
                let signature = pair.sign(&rand::SystemRandom::new(), message).ok()?;
                Some(signature.as_ref().to_vec())
            }
            Self::Rs256(pair, _) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let random = rand::SystemRandom::new();
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .ok()?;
                Some(signature)
            }
            Self::Hmac(key) => Some(hmac::sign(key, message).as_ref().to_vec()),
        }
    }

    /// Whether `signature` is this key's of `message`.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ed25519(_, public) | Self::Es256(_, public) | Self::Rs256(_, public) => {
                public.verify_sig(message, signature).is_ok()
            }
            Self::Hmac(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }

    /// The members of a JWK that are the public key: RFC 8037 (OKP), RFC 7518, 6.2 (EC) and 6.3
    /// (RSA). They are also what a thumbprint is of.
    pub(super) fn public_members(&self) -> Option<Map<String, Value>> {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let members = match self {
            Self::Ed25519(pair, _) => json!({
                "kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref()),
            }),
            Self::Es256(pair, _) => {
                let (first, point) = pair.public_key().as_ref().split_first()?;
                let (x, y) = point.split_at_checked(SECRET_BYTES)?;
                if *first != UNCOMPRESSED || y.len() != SECRET_BYTES {
                    return None;
                }
                json!({ "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y) })
            }
            Self::Rs256(pair, _) => {
                let public = pair.public_key();
                json!({
                    "kty": "RSA",
                    "n": text(public.modulus().big_endian_without_leading_zero()),
                    "e": text(public.exponent().big_endian_without_leading_zero()),
                })
            }
            Self::Hmac(_) => return None,
        };
        match members {
            Value::Object(members) => Some(members),
            _ => None,
        }
    }

    /// RFC 7638: SHA-256 of the public members, ordered by name, without white space.
    pub(super) fn thumbprint(&self) -> Option<String> {
        let members: std::collections::BTreeMap<_, _> =
            self.public_members()?.into_iter().collect();
        let text = serde_json::to_vec(&members).ok()?;
        Some(URL_SAFE_NO_PAD.encode(sha256(&text)))
    }
}

fn public(
    algorithm: &'static dyn VerificationAlgorithm,
    bytes: impl AsRef<[u8]>,
) -> Result<Box<ParsedPublicKey>, NoPair> {
    ParsedPublicKey::new(algorithm, bytes)
        .map(Box::new)
        .map_err(|_| NoPair)
}
