//! Each rule by a token that breaks it and no other: made by hand and signed by the right key.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sso_core::{
    ports::{TokenSubject, store::SealedKey},
    values::{SessionId, UserId, Version},
};
use time::{Duration, macros::datetime};
use uuid::{Uuid, uuid};

use super::*;
use crate::{AccessAlgorithm, MasterKey, SystemRandom};

const ISSUER: &str = "https://sso.example";
const NOW: OffsetDateTime = datetime!(2026-11-22 12:00:00 UTC);
const USER: Uuid = uuid!("01932c07-9d2f-7cc4-8f7e-31b5d1a2a001");
const SESSION: Uuid = uuid!("01932c07-9d2f-7cc4-8f7e-31b5d1a2a002");

mod algorithms;
mod compat_mode;
mod forgeries;
mod mutations;
mod ring_changes;
mod rules;

struct Fixture {
    master: MasterKey,
    stored: Vec<SealedKey>,
    tokens: JwsTokens,
}

fn fixture_for(audiences: &[&str]) -> Fixture {
    fixture_of(AccessAlgorithm::default(), audiences)
}

fn fixture_of(algorithm: AccessAlgorithm, audiences: &[&str]) -> Fixture {
    let master = MasterKey::generate(&SystemRandom);
    let first = NOW - Duration::DAY;
    let stored = KeyRing::first_keys_of(algorithm, &master, &SystemRandom, first).unwrap();
    let ring = KeyRing::open(&stored, &master).unwrap();
    let settings = JwsSettings {
        issuer: ISSUER.to_owned(),
        audiences: audiences.iter().map(|&aud| aud.to_owned()).collect(),
        verified_tokens: 16,
    };
    Fixture {
        master,
        stored,
        tokens: JwsTokens::new(settings, ring),
    }
}

fn fixture() -> Fixture {
    fixture_for(&[])
}

fn access() -> AccessClaims {
    AccessClaims {
        user: UserId::from_uuid(USER),
        session: SessionId::from_uuid(SESSION),
        version: Version::new(1 << 40),
        kind: AccessKind::Ring,
        email: "Alice@Example.com".to_owned(),
        email_verified: false,
        is_admin: false,
        id: Uuid::nil(),
        issued_at: NOW,
        expires_at: NOW + Duration::minutes(15),
    }
}

fn refresh() -> RefreshClaims {
    RefreshClaims {
        user: UserId::from_uuid(USER),
        session: SessionId::from_uuid(SESSION),
        generation: 3,
        issued_at: NOW,
        expires_at: NOW + Duration::days(10),
    }
}

impl Fixture {
    fn access(&self) -> String {
        self.tokens.sign_access(&access()).unwrap()
    }

    fn refresh(&self) -> String {
        self.tokens.sign_refresh(&refresh()).unwrap()
    }

    fn kid(&self, usage: KeyUse) -> String {
        let of_use = |key: &&SealedKey| key.usage == usage;
        self.stored.iter().find(of_use).unwrap().id.clone()
    }

    /// Any header and payload, signed by the key of `usage`.
    fn forge(&self, usage: KeyUse, header: &str, payload: &str) -> String {
        let ring = self.tokens.ring();
        let key = ring.find(&self.kid(usage)).unwrap();
        let header = URL_SAFE_NO_PAD.encode(header) + ".";
        jws::write(&header, payload.as_bytes(), |message| key.sign(message)).unwrap()
    }

    fn forge_header(&self, header: &Value) -> String {
        let payload = part(&self.access(), 1).to_string();
        self.forge(KeyUse::Access, &header.to_string(), &payload)
    }

    fn forge_payload(&self, usage: KeyUse, payload: &str) -> String {
        let header = match usage {
            KeyUse::Access => part(&self.access(), 0),
            KeyUse::Refresh => part(&self.refresh(), 0),
        };
        self.forge(usage, &header.to_string(), payload)
    }

    /// A good access token with one claim changed (`None`: taken out).
    fn with_claim(&self, name: &str, value: Option<Value>) -> String {
        let mut payload = part(&self.access(), 1);
        let members = payload.as_object_mut().unwrap();
        match value {
            Some(value) => members.insert(name.to_owned(), value),
            None => members.remove(name),
        };
        self.forge_payload(KeyUse::Access, &payload.to_string())
    }

    fn verify(&self, token: &str) -> Result<AccessClaims, TokenRefused> {
        self.tokens.verify_access(token, NOW)
    }

    #[track_caller]
    fn assert_invalid(&self, token: &str) {
        assert_eq!(self.verify(token), Err(TokenRefused::Invalid));
        assert_eq!(
            self.tokens.verify_refresh(token, NOW),
            Err(TokenRefused::Invalid)
        );
    }
}

/// A part of a token, decoded.
fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn header(fixture: &Fixture) -> Value {
    part(&fixture.access(), 0)
}
