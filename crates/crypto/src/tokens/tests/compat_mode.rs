//! The mode `hs256`: tokens as the seed made them.

use aws_lc_rs::hmac;

use super::*;

const SECRET: &[u8] = b"a secret of thirty-two bytes ...";

fn compat() -> Fixture {
    let Fixture {
        master,
        stored,
        tokens,
    } = fixture();
    let tokens = tokens.with_compat(CompatSecret::new(SECRET));
    Fixture {
        master,
        stored,
        tokens,
    }
}

/// A token as anybody with the secret makes it.
fn signed(secret: &[u8], header: &Value, payload: &Value) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let header = URL_SAFE_NO_PAD.encode(header.to_string()) + ".";
    let sign = |message: &[u8]| Some(hmac::sign(&key, message).as_ref().to_vec());
    jws::write(&header, payload.to_string().as_bytes(), sign).unwrap()
}

fn seed_header() -> Value {
    json!({ "alg": "HS256", "typ": "JWT" })
}

fn seed_claims() -> Value {
    json!({
        "token_type": "access",
        "uid": USER.to_string(),
        "email": "Alice@Example.com",
        "exp": (NOW + Duration::HOUR).unix_timestamp(),
    })
}

fn seed() -> String {
    signed(SECRET, &seed_header(), &seed_claims())
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

#[test]
fn an_access_token_is_signed_by_the_secret_and_says_what_the_seeds_did() {
    let fixture = compat();
    let admin = AccessClaims {
        is_admin: true,
        ..access()
    };
    let token = fixture.tokens.sign_access(&admin).unwrap();
    assert!(token.starts_with(&(URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#) + ".")));
    let claims = part(&token, 1);
    assert_eq!(claims["token_type"], "access");
    assert_eq!(claims["uid"], USER.to_string());
    assert_eq!(claims["email"], "Alice@Example.com");
    assert_eq!(claims["exp"], 1_795_349_700);
    assert_eq!(claims["sid"], SESSION.to_string());
    assert_eq!(
        claims.get("adm"),
        None,
        "whoever has the secret could say so"
    );
    let (message, signature) = token.rsplit_once('.').unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    hmac::verify(&key, message.as_bytes(), &signature).unwrap();

    let verified = fixture.verify(&token).unwrap();
    let expected = AccessClaims {
        kind: AccessKind::Compat,
        ..access()
    };
    assert_eq!(verified, expected);
    assert!(verified.is_compat() && !verified.is_admin);
    assert_eq!(fixture.verify(&token), Ok(expected), "from the cache");
    assert_eq!(fixture.tokens.jwks(), json!({ "keys": [] }));
}

#[test]
fn a_token_of_the_seed_is_good_until_its_exp() {
    let fixture = compat();
    let token = seed();
    let claims = fixture.verify(&token).unwrap();
    assert_eq!(
        (claims.user, claims.kind),
        (UserId::from_uuid(USER), AccessKind::Seed)
    );
    assert_eq!(claims.version, Version::ZERO);
    assert_ne!(claims.session, SessionId::from_uuid(SESSION));
    assert_eq!(claims.session.as_uuid().get_version_num(), 8);
    let end = NOW + Duration::HOUR + Duration::seconds(10);
    let at = |now| fixture.tokens.verify_access(&token, now).map(|_| ());
    assert_eq!(at(end - Duration::SECOND), Ok(()));
    assert_eq!(at(end), Err(TokenRefused::Expired));
    assert_eq!(
        fixture.tokens.subject(&token),
        Ok(TokenOwner::Seed(claims.clone()))
    );

    for (name, value) in [
        ("iss", json!(ISSUER)),
        ("aud", json!(ISSUER)),
        ("sub", json!(USER.to_string())),
        ("iat", json!(NOW.unix_timestamp())),
        ("theirs", json!({})),
    ] {
        let claims_more = with(&seed_claims(), name, value);
        let other = fixture.verify(&signed(SECRET, &seed_header(), &claims_more));
        let other = other.unwrap_or_else(|refused| panic!("{name}: {refused:?}"));
        assert_ne!(other.session, claims.session, "another token ends alone");
    }
}

#[test]
fn what_another_issuer_signs_with_the_secret_does_not_pass_without_a_session() {
    let fixture = compat();
    for (name, bad) in [
        ("iss", json!("https://elsewhere.example")),
        ("iss", json!("")),
        ("iss", json!(7)),
        ("aud", json!("elsewhere")),
        ("aud", json!([])),
        ("aud", json!([ISSUER, 7])),
        ("sub", json!(SESSION.to_string())),
        ("sub", json!(null)),
        ("iat", json!("1795349700")),
        ("iat", json!(1.5)),
    ] {
        let claims = with(&seed_claims(), name, bad);
        fixture.assert_invalid(&signed(SECRET, &seed_header(), &claims));
    }
    let later = (NOW + Duration::MINUTE).unix_timestamp();
    let token = signed(
        SECRET,
        &seed_header(),
        &with(&seed_claims(), "iat", json!(later)),
    );
    assert!(fixture.verify(&token).is_err());
}

#[test]
fn a_token_of_the_seed_needs_its_four_claims_of_their_types() {
    let fixture = compat();
    for name in ["token_type", "uid", "email", "exp"] {
        let mut claims = seed_claims();
        claims.as_object_mut().unwrap().remove(name);
        fixture.assert_invalid(&signed(SECRET, &seed_header(), &claims));
        for bad in [json!(null), json!([]), json!(1.5), json!(true)] {
            let claims = with(&seed_claims(), name, bad);
            fixture.assert_invalid(&signed(SECRET, &seed_header(), &claims));
        }
    }
    for (name, bad) in [
        ("uid", json!("42")),
        ("token_type", json!("Access")),
        ("exp", json!("1795349700")),
        ("adm", json!(true)),
        ("adm", json!(false)),
        // With a session it must be one of ours, whole.
        ("sid", json!(SESSION.to_string())),
        ("sid", json!(null)),
    ] {
        let claims = with(&seed_claims(), name, bad);
        fixture.assert_invalid(&signed(SECRET, &seed_header(), &claims));
    }
}

#[test]
fn the_end_of_time_is_no_panic() {
    let fixture = compat();
    for exp in [253_402_300_799_i64, 253_402_300_798, 0, -1] {
        let claims = with(&seed_claims(), "exp", json!(exp));
        let token = signed(SECRET, &seed_header(), &claims);
        let good = exp > NOW.unix_timestamp();
        assert_eq!(fixture.verify(&token).is_ok(), good, "{exp}");
    }
}

#[test]
fn the_header_of_the_seed_is_demanded_and_its_secret() {
    let fixture = compat();
    for header in [
        json!({ "alg": "HS256", "typ": "at+jwt" }),
        json!({ "alg": "HS256", "typ": "jwt" }),
        json!({ "alg": "HS256" }),
        json!({ "alg": "HS512", "typ": "JWT" }),
        json!({ "alg": "none", "typ": "JWT" }),
        json!({ "alg": "HS256", "typ": "JWT", "kid": "" }),
        json!({ "alg": "HS256", "typ": "JWT", "kid": null }),
        json!({ "alg": "HS256", "typ": "JWT", "kid": fixture.kid(KeyUse::Access) }),
        json!({ "alg": "HS256", "typ": "JWT", "kid": fixture.kid(KeyUse::Refresh) }),
        json!({ "alg": "HS256", "typ": "JWT", "crit": ["exp"] }),
    ] {
        fixture.assert_invalid(&signed(SECRET, &header, &seed_claims()));
    }
    fixture.assert_invalid(&signed(b"another secret", &seed_header(), &seed_claims()));
    fixture.assert_invalid(&signed(b"", &seed_header(), &seed_claims()));
}

#[test]
fn nothing_that_the_secret_signs_refreshes() {
    let fixture = compat();
    let refused = |token: &str| fixture.tokens.verify_refresh(token, NOW).err();
    assert_eq!(refused(&fixture.access()), Some(TokenRefused::WrongType));
    assert_eq!(refused(&seed()), Some(TokenRefused::WrongType));
    let claims = with(&seed_claims(), "token_type", json!("refresh"));
    let old = signed(SECRET, &seed_header(), &claims);
    assert_eq!(refused(&old), Some(TokenRefused::Invalid));
    assert_eq!(fixture.verify(&old), Err(TokenRefused::WrongType));
    assert_eq!(fixture.tokens.subject(&old), Err(TokenRefused::Invalid));
    // A refresh token of ours, made by somebody who has the secret.
    let mut forged = part(&fixture.refresh(), 1);
    forged["email"] = json!("Alice@Example.com");
    for header in [seed_header(), part(&fixture.refresh(), 0)] {
        assert_eq!(
            refused(&signed(SECRET, &header, &forged)),
            Some(TokenRefused::Invalid)
        );
    }
    let good = fixture.refresh();
    assert_eq!(part(&good, 0)["typ"], "rt+jwt");
    assert_eq!(fixture.tokens.verify_refresh(&good, NOW), Ok(refresh()));
}

#[test]
fn in_the_other_mode_the_secret_opens_nothing_and_the_ring_opens_in_both() {
    let (compat, fixture) = (compat(), fixture());
    for token in [seed(), compat.access()] {
        fixture.assert_invalid(&token);
        assert_eq!(fixture.tokens.subject(&token), Err(TokenRefused::Invalid));
    }
    // What the service signed before it was switched lives on.
    let before = JwsTokens::new(
        JwsSettings {
            issuer: ISSUER.to_owned(),
            audiences: vec![],
            verified_tokens: 4,
        },
        KeyRing::open(&compat.stored, &compat.master).unwrap(),
    );
    let token = before.sign_access(&access()).unwrap();
    assert_eq!(compat.verify(&token), Ok(access()));
}
