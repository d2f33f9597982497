//! Tokens made by hand and signed by the right key.

use std::sync::Mutex;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand, rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use uuid::uuid;

use super::super::*;
use crate::{
    clock::Steady,
    keys::KeySet,
    metrics::Metrics,
    proto::v1::{Revocation, revocation::Over},
    set::OverSet,
    trust::Trust,
};

pub(super) const ISSUER: &str = "https://sso.example";
pub(super) const USER: Uuid = uuid!("01932c07-9d2f-7cc4-8f7e-31b5d1a2a001");
pub(super) const SESSION: Uuid = uuid!("01932c07-9d2f-7cc4-8f7e-31b5d1a2a002");
pub(super) const ALGORITHMS: [&str; 3] = ["EdDSA", "ES256", "RS256"];

pub(super) enum Pair {
    Ed25519(Ed25519KeyPair),
    Es256(EcdsaKeyPair),
    Rs256(Box<rsa::KeyPair>),
}

impl Pair {
    pub(super) fn generate(algorithm: &str) -> Self {
        let random = rand::SystemRandom::new();
        match algorithm {
            "EdDSA" => {
                let document = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
                Self::Ed25519(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap())
            }
            "ES256" => {
                let curve = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let document = EcdsaKeyPair::generate_pkcs8(curve, &random).unwrap();
                Self::Es256(EcdsaKeyPair::from_pkcs8(curve, document.as_ref()).unwrap())
            }
            _ => {
                let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
                let document: Pkcs8V1Der<'_> = pair.as_der().unwrap();
                Self::Rs256(Box::new(
                    rsa::KeyPair::from_pkcs8(document.as_ref()).unwrap(),
                ))
            }
        }
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = rand::SystemRandom::new();
        match self {
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Es256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
        }
    }

    pub(super) fn jwk(&self, algorithm: &str, kid: &str) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match self {
            Self::Ed25519(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref()) })
            }
            Self::Es256(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "x": text(&point[1..33]), "y": text(&point[33..]) })
            }
            Self::Rs256(pair) => json!({
                "kty": "RSA",
                "n": text(pair.public_key().modulus().big_endian_without_leading_zero()),
                "e": text(pair.public_key().exponent().big_endian_without_leading_zero()),
            }),
        };
        jwk["alg"] = json!(algorithm);
        jwk["kid"] = json!(kid);
        jwk["use"] = json!("sig");
        jwk
    }
}

/// A verifier that hears what a test tells it.
pub(super) struct Fixture {
    algorithm: &'static str,
    pair: Pair,
    pub(super) inner: Inner,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::of("EdDSA", &[ISSUER])
    }

    pub(super) fn of(algorithm: &'static str, audiences: &[&str]) -> Self {
        let pair = Pair::generate(algorithm);
        let document = json!({ "keys": [pair.jwk(algorithm, "k")] });
        let keys = KeySet::parse(document.to_string().as_bytes()).unwrap();
        let jwks = Arc::new(Jwks::holding(keys));
        let watcher = Watcher {
            addresses: Vec::new(),
            caller_token: None,
            max_entries: 10,
            jwks: Arc::clone(&jwks),
            set: OverSet::default(),
            clock: Steady::new(),
            trust: Trust::default(),
            metrics: Metrics::new(),
            view: Mutex::default(),
        };
        watcher.trust.extend(monotonic() + Duration::from_hours(1));
        let rules = Rules {
            issuer: ISSUER.to_owned(),
            audiences: audiences.iter().map(|&one| one.to_owned()).collect(),
        };
        let questions = Questions::new(&[], None, 1);
        let refuse = WhenSilent::Refuse;
        let inner = Inner::new(rules, jwks, Arc::new(watcher), questions, refuse, 16);
        Self {
            algorithm,
            pair,
            inner,
        }
    }

    pub(super) fn header(&self) -> Value {
        json!({ "alg": self.algorithm, "kid": "k", "typ": "at+jwt" })
    }

    /// Signed by the key, whatever the parts are.
    pub(super) fn sign(&self, header: &str, payload: &str) -> String {
        let text = |part: &str| URL_SAFE_NO_PAD.encode(part);
        let signed = format!("{}.{}", text(header), text(payload));
        let signature = self.pair.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    pub(super) fn token(&self, claims: &Value) -> String {
        self.sign(&self.header().to_string(), &claims.to_string())
    }

    pub(super) fn with_claim(&self, name: &str, value: Option<Value>) -> String {
        let mut claims = claims();
        match value {
            Some(value) => claims[name] = value,
            None => drop(claims.as_object_mut().unwrap().remove(name)),
        }
        self.token(&claims)
    }

    pub(super) fn with_header(&self, name: &str, value: Option<Value>) -> String {
        let mut header = self.header();
        match value {
            Some(value) => header[name] = value,
            None => drop(header.as_object_mut().unwrap().remove(name)),
        }
        self.sign(&header.to_string(), &claims().to_string())
    }

    pub(super) fn verify(&self, token: &str) -> Result<Claims, Refused> {
        self.inner.verify_now(token)
    }

    #[track_caller]
    pub(super) fn assert_invalid(&self, token: &str) {
        assert_eq!(self.verify(token), Err(Refused::Invalid), "{token}");
    }

    pub(super) fn tell(&self, over: Over) {
        let until = Some(prost_types::Timestamp {
            seconds: seconds() + 60,
            nanos: 0,
        });
        let entry = Revocation {
            over: Some(over),
            until,
        };
        self.inner.watcher.set.apply(&[entry]).unwrap();
    }
}

pub(super) fn seconds() -> i64 {
    now().unix_timestamp()
}

pub(super) fn claims() -> Value {
    json!({
        "token_type": "access",
        "uid": USER,
        "email": "Alice@example.com",
        "exp": seconds() + 900,
        "iss": ISSUER,
        "sub": USER,
        "aud": ISSUER,
        "iat": seconds(),
        "jti": "01932c07-9d2f-7cc4-8f7e-31b5d1a2a003",
        "sid": SESSION,
        "ver": 7,
        "email_verified": false,
    })
}
