//! What tokens say, and when a good one is taken.

use super::*;

#[test]
fn an_access_token_says_what_the_contract_says() {
    let fixture = fixture();
    let token = fixture.access();
    let expected = json!({
        "alg": "EdDSA", "kid": fixture.kid(KeyUse::Access), "typ": "at+jwt",
    });
    assert_eq!(part(&token, 0), expected);
    let expected = json!({
        "token_type": "access",
        "uid": "01932c07-9d2f-7cc4-8f7e-31b5d1a2a001",
        "email": "Alice@Example.com",
        "exp": 1_795_349_700,
        "iss": ISSUER,
        "sub": "01932c07-9d2f-7cc4-8f7e-31b5d1a2a001",
        "aud": ISSUER,
        "iat": 1_795_348_800,
        "jti": "00000000-0000-0000-0000-000000000000",
        "sid": "01932c07-9d2f-7cc4-8f7e-31b5d1a2a002",
        "ver": 1_099_511_627_776_u64,
        "email_verified": false,
    });
    assert_eq!(part(&token, 1), expected);
    assert_eq!(fixture.verify(&token), Ok(access()));
    assert_eq!(
        fixture.verify(&token),
        Ok(access()),
        "the second time from the cache"
    );
}

#[test]
fn adm_is_there_only_for_admins() {
    let fixture = fixture();
    let admin = AccessClaims {
        is_admin: true,
        ..access()
    };
    let token = fixture.tokens.sign_access(&admin).unwrap();
    assert_eq!(part(&token, 1)["adm"], json!(true));
    assert_eq!(fixture.verify(&token), Ok(admin));
}

#[test]
fn a_refresh_token_says_what_the_contract_says_and_is_the_same_bytes_each_time() {
    let fixture = fixture();
    let token = fixture.refresh();
    let expected = json!({
        "alg": "HS256", "kid": fixture.kid(KeyUse::Refresh), "typ": "rt+jwt",
    });
    assert_eq!(part(&token, 0), expected);
    let payload = part(&token, 1);
    let expected = json!({
        "token_type": "refresh",
        "uid": "01932c07-9d2f-7cc4-8f7e-31b5d1a2a001",
        "sub": "01932c07-9d2f-7cc4-8f7e-31b5d1a2a001",
        "iss": ISSUER,
        "aud": ISSUER,
        "sid": "01932c07-9d2f-7cc4-8f7e-31b5d1a2a002",
        "gen": 3,
        "jti": payload["jti"],
        "iat": 1_795_348_800,
        "exp": 1_796_212_800,
    });
    assert_eq!(payload, expected);
    assert!(payload["jti"].as_str().unwrap().parse::<Uuid>().is_ok());
    assert_eq!(fixture.tokens.verify_refresh(&token, NOW), Ok(refresh()));
    assert_eq!(fixture.refresh(), token);
    let next = RefreshClaims {
        generation: 4,
        ..refresh()
    };
    let next = fixture.tokens.sign_refresh(&next).unwrap();
    assert_ne!(part(&next, 1)["jti"], payload["jti"]);
}

#[test]
fn a_refresh_token_of_before_a_rotation_is_the_same_bytes_after_it() {
    let fixture = fixture();
    let token = fixture.refresh();
    let next = KeyRing::first_keys(&fixture.master, &SystemRandom, NOW + Duration::HOUR).unwrap();
    let both = [fixture.stored.clone(), next].concat();
    fixture
        .tokens
        .replace_ring(KeyRing::open(&both, &fixture.master).unwrap());
    assert_eq!(fixture.refresh(), token);
    assert_eq!(fixture.tokens.verify_refresh(&token, NOW), Ok(refresh()));
    let later = RefreshClaims {
        issued_at: NOW + Duration::HOUR,
        ..refresh()
    };
    let later = fixture.tokens.sign_refresh(&later).unwrap();
    assert_ne!(part(&later, 0)["kid"], part(&token, 0)["kid"]);
}

#[test]
fn neither_type_passes_for_the_other() {
    let fixture = fixture();
    assert_eq!(
        fixture.verify(&fixture.refresh()),
        Err(TokenRefused::WrongType)
    );
    let refused = fixture.tokens.verify_refresh(&fixture.access(), NOW);
    assert_eq!(refused, Err(TokenRefused::WrongType));
    let years_later = NOW + Duration::days(1000);
    let refused = fixture
        .tokens
        .verify_access(&fixture.refresh(), years_later);
    assert_eq!(
        refused,
        Err(TokenRefused::WrongType),
        "before it is expired"
    );
    let before = NOW - Duration::HOUR;
    let refused = fixture.tokens.verify_access(&fixture.refresh(), before);
    assert_eq!(refused, Err(TokenRefused::Invalid), "after it is found bad");
}

#[test]
fn times_have_ten_seconds_of_leeway_and_no_more() {
    let fixture = fixture();
    let token = fixture.access();
    let at = |now| fixture.tokens.verify_access(&token, now).map(|_| ());
    let end = access().expires_at;
    assert_eq!(at(end + Duration::seconds(9)), Ok(()));
    assert_eq!(at(end + Duration::seconds(10)), Err(TokenRefused::Expired));
    assert_eq!(at(NOW - Duration::seconds(10)), Ok(()));
    assert_eq!(at(NOW - Duration::seconds(11)), Err(TokenRefused::Invalid));

    let token = fixture.refresh();
    let at = |now| fixture.tokens.verify_refresh(&token, now).map(|_| ());
    let end = refresh().expires_at;
    assert_eq!(at(end + Duration::seconds(9)), Ok(()));
    assert_eq!(at(end + Duration::seconds(10)), Err(TokenRefused::Expired));
    assert_eq!(at(NOW - Duration::seconds(11)), Err(TokenRefused::Invalid));
}

#[test]
fn the_audience_must_be_one_of_ours() {
    let fixture = fixture_for(&["https://a.example", "https://b.example"]);
    let token = fixture.access();
    assert_eq!(
        part(&token, 1)["aud"],
        json!(["https://a.example", "https://b.example"])
    );
    assert_eq!(fixture.verify(&token), Ok(access()));
    for aud in [
        json!("https://b.example"),
        json!(["https://x.example", "https://a.example"]),
    ] {
        assert!(
            fixture
                .verify(&fixture.with_claim("aud", Some(aud)))
                .is_ok()
        );
    }
    for aud in [
        json!("https://x.example"),
        json!(ISSUER),
        json!([]),
        json!(["https://a.example", 1]),
        json!([["https://a.example"]]),
        json!(null),
        json!({"https://a.example": true}),
    ] {
        fixture.assert_invalid(&fixture.with_claim("aud", Some(aud)));
    }
    fixture.assert_invalid(&fixture.with_claim("aud", None));
}

#[test]
fn the_subject_is_told_of_any_token_of_ours() {
    let fixture = fixture();
    let subject = TokenSubject {
        user: UserId::from_uuid(USER),
        session: SessionId::from_uuid(SESSION),
    };
    let old = AccessClaims {
        expires_at: NOW - Duration::days(1000),
        ..access()
    };
    let old = fixture.tokens.sign_access(&old).unwrap();
    let elsewhere = fixture.with_claim("aud", Some(json!("https://elsewhere.example")));
    for token in [fixture.access(), fixture.refresh(), old, elsewhere] {
        assert_eq!(
            fixture.tokens.subject(&token),
            Ok(TokenOwner::Session(subject))
        );
    }
    let other_issuer = fixture.with_claim("iss", Some(json!("https://other.example")));
    assert_eq!(
        fixture.tokens.subject(&other_issuer),
        Err(TokenRefused::Invalid)
    );
    let token = fixture.access();
    let cut = &token[..token.len() - 4];
    assert_eq!(fixture.tokens.subject(cut), Err(TokenRefused::Invalid));
}

#[test]
fn only_good_access_tokens_are_remembered() {
    let fixture = fixture();
    let token = fixture.access();
    let _ = fixture.verify(&fixture.refresh());
    let _ = fixture.verify(&token[..token.len() - 4]);
    let _ = fixture.verify(&fixture.with_claim("aud", None));
    let _ = fixture.tokens.verify_refresh(&fixture.refresh(), NOW);
    assert_eq!(fixture.tokens.verified.len(), 0);
    for n in 0..200 {
        let claims = AccessClaims {
            version: Version::new(n),
            ..access()
        };
        let token = fixture.tokens.sign_access(&claims).unwrap();
        assert_eq!(fixture.verify(&token), Ok(claims));
    }
    assert!((1..=16).contains(&fixture.tokens.verified.len()));
}

#[test]
fn a_remembered_token_still_expires_and_dies_with_its_key() {
    let fixture = fixture();
    let token = fixture.access();
    assert_eq!(fixture.verify(&token), Ok(access()));
    let end = access().expires_at + Duration::seconds(10);
    assert_eq!(
        fixture.tokens.verify_access(&token, end),
        Err(TokenRefused::Expired)
    );
    let before = NOW - Duration::seconds(11);
    assert_eq!(
        fixture.tokens.verify_access(&token, before),
        Err(TokenRefused::Invalid)
    );
    let others = KeyRing::first_keys(&fixture.master, &SystemRandom, NOW).unwrap();
    fixture
        .tokens
        .replace_ring(KeyRing::open(&others, &fixture.master).unwrap());
    assert_eq!(fixture.verify(&token), Err(TokenRefused::Invalid));
    assert_eq!(fixture.tokens.verified.len(), 0);
    fixture
        .tokens
        .replace_ring(KeyRing::open(&fixture.stored, &fixture.master).unwrap());
    assert_eq!(fixture.verify(&token), Ok(access()));
}
