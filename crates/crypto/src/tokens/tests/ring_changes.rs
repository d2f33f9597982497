//! A ring that changes while tokens are out.

use std::{sync::atomic::AtomicU64, sync::atomic::Ordering, time::Duration as Span};

use async_trait::async_trait;
use sso_core::ports::KeyMaker as _;

use super::*;
use crate::{KeyRingError, KeyWorkshop};

/// Its monotonic time is moved by hand.
#[derive(Default)]
struct Seconds(AtomicU64);

#[async_trait]
impl Clock for Seconds {
    fn now(&self) -> OffsetDateTime {
        NOW
    }

    fn monotonic(&self) -> Span {
        Span::from_secs(self.0.load(Ordering::Relaxed))
    }

    async fn sleep_until(&self, _until: Span) {}
}

/// A key beside those of the fixture, made a minute before it signs.
async fn another(fixture: &Fixture, signs_from: OffsetDateTime) -> SealedKey {
    let master = MasterKey::from_base64(&fixture.master.to_base64()).unwrap();
    let workshop = KeyWorkshop::new(AccessAlgorithm::default(), master, Arc::new(SystemRandom));
    let made = workshop.make(fixture.stored[0].clone()).await.unwrap();
    SealedKey {
        signs_from,
        created_at: signs_from - Duration::MINUTE,
        ..made
    }
}

fn reload(fixture: &Fixture, stored: &[SealedKey], master: &MasterKey) -> Option<KeyRingError> {
    let reloaded = fixture.tokens.ring().reload(stored, master, NOW).unwrap();
    fixture.tokens.replace_ring(reloaded.ring);
    reloaded.problem
}

#[tokio::test]
async fn a_new_key_is_published_first_and_signs_later() {
    let fixture = fixture();
    let old = fixture.access();
    let mut stored = fixture.stored.clone();
    stored.push(another(&fixture, NOW + Duration::MINUTE).await);
    assert_eq!(reload(&fixture, &stored, &fixture.master), None);
    assert_eq!(fixture.tokens.jwks()["keys"].as_array().unwrap().len(), 2);
    let kid_at = |issued_at| {
        let claims = AccessClaims {
            issued_at,
            ..access()
        };
        part(&fixture.tokens.sign_access(&claims).unwrap(), 0)["kid"].clone()
    };
    assert_eq!(kid_at(NOW + Duration::seconds(59)), stored[0].id);
    assert_eq!(kid_at(NOW + Duration::MINUTE), stored[2].id);
    assert_eq!(fixture.verify(&old), Ok(access()));
}

/// Who reads it late publishes it late.
#[tokio::test]
async fn a_key_signs_no_earlier_than_it_was_known_here_for_long_enough() {
    let fixture = fixture();
    let mut stored = fixture.stored.clone();
    stored.push(another(&fixture, NOW + Duration::MINUTE).await);
    let late = NOW + Duration::seconds(50);
    let ring = fixture.tokens.ring();
    let reloaded = ring.reload(&stored, &fixture.master, late).unwrap();
    fixture.tokens.replace_ring(reloaded.ring);
    let signing = |at| {
        let ring = fixture.tokens.ring();
        ring.signing(KeyUse::Access, at).unwrap().id.clone()
    };
    // A minute, of which a second is for the way.
    let first = late + Duration::seconds(59);
    assert_eq!(signing(first - Duration::SECOND), stored[0].id);
    assert_eq!(signing(first), stored[2].id);
    // It does not begin anew with each reload.
    let ring = fixture.tokens.ring();
    let reloaded = ring.reload(&stored, &fixture.master, first).unwrap();
    fixture.tokens.replace_ring(reloaded.ring);
    assert_eq!(signing(first), stored[2].id);
    // One that was there at the start is not new.
    let ring = KeyRing::open(&stored, &fixture.master).unwrap();
    fixture.tokens.replace_ring(ring);
    assert_eq!(signing(NOW + Duration::MINUTE), stored[2].id);
}

#[tokio::test]
async fn no_key_is_made_under_another_master_key_than_the_others_have() {
    let fixture = fixture();
    let workshop = KeyWorkshop::new(
        AccessAlgorithm::default(),
        MasterKey::generate(&SystemRandom),
        Arc::new(SystemRandom),
    );
    let made = workshop.make(fixture.stored[0].clone()).await;
    assert!(matches!(
        made,
        Err(sso_core::ports::NoKey::OtherMasterKey(_))
    ));
    assert!(!format!("{workshop:?}").contains("master"));
}

#[tokio::test]
async fn keys_resealed_under_an_unknown_master_key_go_on_and_new_ones_are_not_taken_for_forged() {
    let fixture = fixture();
    let token = fixture.access();
    let new_master = MasterKey::generate(&SystemRandom);
    let resealed: Vec<_> = fixture
        .stored
        .iter()
        .map(|key| Key::reseal(key, &fixture.master, &new_master, &SystemRandom).unwrap())
        .collect();
    let problem = reload(&fixture, &resealed, &fixture.master);
    assert!(matches!(problem, Some(KeyRingError::WrongMasterKey { .. })));
    assert_eq!(fixture.verify(&token), Ok(access()));
    let stranger = super::fixture().access();
    assert_eq!(fixture.verify(&stranger), Err(TokenRefused::Invalid));

    // A key of the new master key only: what it signed cannot be judged here.
    let mut grown = resealed.clone();
    let sealed_anew = another(&fixture, NOW).await;
    let sealed_anew = Key::reseal(&sealed_anew, &fixture.master, &new_master, &SystemRandom);
    grown.push(sealed_anew.unwrap());
    assert!(reload(&fixture, &grown, &fixture.master).is_some());
    assert_eq!(fixture.verify(&token), Ok(access()));
    assert_eq!(fixture.verify(&stranger), Err(TokenRefused::Unknowable));
    assert_eq!(
        fixture.tokens.subject(&stranger),
        Err(TokenRefused::Unknowable)
    );
    let refused = fixture.tokens.verify_refresh(&stranger, NOW);
    assert_eq!(refused, Err(TokenRefused::Unknowable));

    // What is stored no more is gone, whatever else cannot be read.
    let without: Vec<_> = grown.iter().skip(1).cloned().collect();
    let lost = fixture
        .tokens
        .ring()
        .reload(&without, &fixture.master, NOW)
        .err();
    assert_eq!(lost, Some(KeyRingError::Missing(KeyUse::Access)));
    assert_eq!(reload(&fixture, &without, &new_master), None);
    assert_eq!(fixture.verify(&token), Err(TokenRefused::Invalid));
}

#[tokio::test]
async fn an_emptied_or_damaged_ring_does_not_replace_the_one_in_use() {
    let fixture = fixture();
    let token = fixture.access();
    let ring = fixture.tokens.ring();
    let emptied = ring.reload(&[], &fixture.master, NOW).err();
    assert_eq!(emptied, Some(KeyRingError::Missing(KeyUse::Access)));
    let mut damaged = fixture.stored.clone();
    damaged[0].sealed.truncate(3);
    let problem = reload(&fixture, &damaged, &fixture.master);
    assert!(matches!(problem, Some(KeyRingError::Corrupt { .. })));
    assert_eq!(fixture.verify(&token), Ok(access()));
}

#[tokio::test]
async fn a_retired_key_does_not_come_back_with_a_ring_that_was_read_before() {
    let fixture = fixture();
    let token = fixture.access();
    let mut stored = fixture.stored.clone();
    stored.push(another(&fixture, NOW).await);
    let read_before = || KeyRing::open(&stored, &fixture.master).unwrap();
    fixture.tokens.replace_ring(read_before());
    assert_eq!(fixture.verify(&token), Ok(access()));
    fixture.tokens.retire(crate::random::key_tag(&stored[0].id));
    assert_eq!(
        fixture.verify(&token),
        Err(TokenRefused::Invalid),
        "cached before"
    );
    fixture.tokens.replace_ring(read_before());
    assert_eq!(fixture.verify(&token), Err(TokenRefused::Invalid));
    assert_eq!(fixture.tokens.jwks()["keys"].as_array().unwrap().len(), 1);
    fixture
        .tokens
        .replace_ring(KeyRing::open(&stored[1..], &fixture.master).unwrap());
    assert_eq!(fixture.verify(&token), Err(TokenRefused::Invalid));
    assert_eq!(fixture.verify(&fixture.access()), Ok(access()));
}

#[test]
fn beyond_the_max_age_an_unknown_key_is_not_known_to_be_forged() {
    let Fixture { stored, master, .. } = fixture();
    let clock = Arc::new(Seconds::default());
    let settings = JwsSettings {
        issuer: ISSUER.to_owned(),
        audiences: vec![],
        verified_tokens: 4,
    };
    let ring = KeyRing::open(&stored, &master).unwrap();
    let tokens = JwsTokens::new(settings, ring).with_max_age(clock.clone(), Span::from_mins(5));
    let stranger = fixture().access();
    let verify = |token: &str| tokens.verify_access(token, NOW).map(|_| ());
    let ours = tokens.sign_access(&access()).unwrap();
    assert_eq!(verify(&stranger), Err(TokenRefused::Invalid));
    clock.0.store(300, Ordering::Relaxed);
    assert_eq!(verify(&stranger), Err(TokenRefused::Invalid));
    clock.0.store(301, Ordering::Relaxed);
    assert_eq!(verify(&stranger), Err(TokenRefused::Unknowable));
    assert_eq!(verify(&ours), Ok(()));
    let garbage = format!("{}x", &ours[..ours.len() - 1]);
    assert_eq!(verify(&garbage), Err(TokenRefused::Invalid));
    tokens.ring_was_read(Span::from_secs(301));
    assert_eq!(verify(&stranger), Err(TokenRefused::Invalid));
    // Reads are told in any order.
    tokens.ring_was_read(Span::from_secs(5));
    assert_eq!(verify(&stranger), Err(TokenRefused::Invalid));
}
