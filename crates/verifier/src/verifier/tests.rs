//! Each rule by a token that breaks it and no other.

mod fixture;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::{
    keys::{KeySet, tag_of},
    proto::v1::{Revocation, TokensBelow, revocation::Over},
};
use fixture::*;

#[test]
fn a_good_token_of_each_algorithm_is_read_as_it_is() {
    for algorithm in ALGORITHMS {
        let fixture = Fixture::of(algorithm, &[ISSUER]);
        let token = fixture.token(&claims());
        for _fresh_then_remembered in 0..2 {
            let read = fixture.verify(&token).unwrap();
            assert_eq!((read.user_id, read.session_id), (USER, SESSION));
            assert_eq!((read.version, read.is_admin), (7, false));
            assert_eq!(&*read.email, "Alice@example.com");
            assert!(!format!("{read:?}").contains("Alice"));
        }
        let admin = fixture.with_claim("adm", Some(json!(true)));
        assert!(fixture.verify(&admin).unwrap().is_admin);
    }
}

#[test]
fn the_algorithm_is_the_keys_whatever_the_token_says() {
    for algorithm in ALGORITHMS {
        let fixture = Fixture::of(algorithm, &[ISSUER]);
        for other in [
            "none", "HS256", "ES256", "RS256", "EdDSA", "Ed25519", "PS256", "",
        ] {
            if other != algorithm {
                fixture.assert_invalid(&fixture.with_header("alg", Some(json!(other))));
            }
        }
        let good = fixture.token(&claims());
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        bytes[3] ^= 1;
        fixture.assert_invalid(&format!("{signed}.{}", URL_SAFE_NO_PAD.encode(&bytes)));
        fixture.assert_invalid(&format!("{signed}."));
        // Somebody else's signature under the same kid.
        let other = Pair::generate(algorithm).sign(signed.as_bytes());
        fixture.assert_invalid(&format!("{signed}.{}", URL_SAFE_NO_PAD.encode(other)));
    }
}

#[test]
fn the_header_says_what_it_must_and_no_crit() {
    let fixture = Fixture::new();
    for name in ["alg", "typ", "kid"] {
        fixture.assert_invalid(&fixture.with_header(name, None));
        fixture.assert_invalid(&fixture.with_header(name, Some(json!(1))));
    }
    for typ in ["JWT", "AT+JWT", "at+jwt ", "application/at+jwt", ""] {
        fixture.assert_invalid(&fixture.with_header("typ", Some(json!(typ))));
    }
    for crit in [json!([]), json!(["exp"]), json!(null)] {
        fixture.assert_invalid(&fixture.with_header("crit", Some(crit)));
    }
    let rt = fixture.with_header("typ", Some(json!("rt+jwt")));
    assert_eq!(fixture.verify(&rt), Err(Refused::WrongType));
    let unknown = fixture.with_header("kid", Some(json!("l")));
    assert_eq!(fixture.verify(&unknown), Err(Refused::Unknowable));
    assert!(
        fixture
            .verify(&fixture.with_header("cty", Some(json!("x"))))
            .is_ok()
    );
}

#[test]
fn every_claim_must_be_there_and_of_its_type() {
    let fixture = Fixture::new();
    for name in [
        "token_type",
        "uid",
        "email",
        "exp",
        "iss",
        "sub",
        "aud",
        "iat",
        "jti",
        "sid",
        "ver",
        "email_verified",
    ] {
        fixture.assert_invalid(&fixture.with_claim(name, None));
        for bad in [json!(null), json!([]), json!({}), json!(-1.5)] {
            fixture.assert_invalid(&fixture.with_claim(name, Some(bad)));
        }
    }
    let end = seconds() + 900;
    for (name, bad) in [
        ("token_type", json!("refresh")),
        ("token_type", json!("Access")),
        ("iss", json!("https://sso.example/")),
        ("sub", json!("01932c07-9d2f-7cc4-8f7e-31b5d1a2a009")),
        ("uid", json!("01932c079d2f7cc48f7e31b5d1a2a001")),
        ("sid", json!("me")),
        ("ver", json!(-1)),
        ("ver", json!("7")),
        ("adm", json!(1)),
        ("adm", json!(null)),
        ("email_verified", json!("false")),
        ("exp", json!(end.to_string())),
        ("exp", serde_json::from_str(&format!("{end}.0")).unwrap()),
        ("exp", json!(u64::MAX)),
        ("aud", json!("https://elsewhere")),
        ("aud", json!(["https://elsewhere"])),
        ("aud", json!([ISSUER, 1])),
    ] {
        fixture.assert_invalid(&fixture.with_claim(name, Some(bad)));
    }
}

#[test]
fn an_audience_of_ours_is_enough_and_each_of_ours_is_good() {
    let fixture = Fixture::of("EdDSA", &["a", "b"]);
    for good in [json!("a"), json!(["x", "b"]), json!(["b"])] {
        assert!(
            fixture
                .verify(&fixture.with_claim("aud", Some(good)))
                .is_ok()
        );
    }
    fixture.assert_invalid(&fixture.with_claim("aud", Some(json!(ISSUER))));
}

#[test]
fn duplicate_members_and_what_is_no_json_are_refused() {
    let fixture = Fixture::new();
    let (header, claims) = (fixture.header().to_string(), claims().to_string());
    let twice = |object: &str, member: &str| format!("{{{member},{}", &object[1..]);
    for (header, claims) in [
        (twice(&header, "\"alg\":\"none\""), claims.clone()),
        (twice(&header, "\"kid\":\"k\""), claims.clone()),
        (header.clone(), twice(&claims, "\"adm\":true,\"adm\":true")),
        (header.clone(), twice(&claims, "\"sub\":\"x\"")),
        (header.clone(), format!("{claims} x")),
        (header.clone(), format!("\u{feff}{claims}")),
        (header.clone(), "[]".to_owned()),
        (header.clone(), String::new()),
        (format!("{header}{header}"), claims.clone()),
    ] {
        fixture.assert_invalid(&fixture.sign(&header, &claims));
    }
}

#[test]
fn one_token_has_one_spelling() {
    let fixture = Fixture::new();
    let good = fixture.token(&claims());
    assert!(fixture.verify(&good).is_ok());
    for spelling in [
        format!("{good}="),
        format!("{good}=="),
        format!(" {good}"),
        format!("{good}\n"),
        good.replace('.', ".."),
        format!("{good}.{good}"),
        format!("{good}."),
    ] {
        fixture.assert_invalid(&spelling);
    }
    // 64 bytes are 86 letters; four bits of the last one are not the signature's.
    let mut rest = good.clone();
    let last = rest.pop().unwrap();
    for letter in ('A'..='Z').filter(|letter| *letter != last) {
        fixture.assert_invalid(&format!("{rest}{letter}"));
    }
    let long = fixture.with_claim("x", Some(json!("x".repeat(8 * 1024))));
    fixture.assert_invalid(&long);
}

#[test]
fn times_have_ten_seconds_of_leeway_and_no_more() {
    let fixture = Fixture::new();
    let at = |name: &str, time: i64| fixture.verify(&fixture.with_claim(name, Some(json!(time))));
    assert!(at("exp", seconds() - 8).is_ok());
    assert_eq!(at("exp", seconds() - 10), Err(Refused::Expired));
    assert!(at("iat", seconds() + 9).is_ok());
    assert_eq!(at("iat", seconds() + 12), Err(Refused::Invalid));
    // Bad, then expired, then revoked: the first is what is said.
    fixture.tell(Over::SessionId(SESSION.to_string()));
    assert_eq!(at("exp", seconds() - 10), Err(Refused::Expired));
}

#[test]
fn a_remembered_token_is_refused_when_it_is_over() {
    for over in [
        Over::SessionId(SESSION.to_string()),
        Over::TokensBelow(TokensBelow {
            user_id: USER.to_string(),
            version: 8,
        }),
        Over::KeyTag(tag_of("k").to_string()),
    ] {
        let fixture = Fixture::new();
        let token = fixture.token(&claims());
        assert!(fixture.verify(&token).is_ok());
        fixture.tell(over);
        assert_eq!(fixture.verify(&token), Err(Refused::Revoked));
    }
}

#[test]
fn what_ends_others_ends_nothing_else() {
    let fixture = Fixture::new();
    fixture.tell(Over::SessionId(USER.to_string()));
    fixture.tell(Over::KeyTag(tag_of("l").to_string()));
    fixture.tell(Over::TokensBelow(TokensBelow {
        user_id: USER.to_string(),
        version: 7,
    }));
    assert!(fixture.verify(&fixture.token(&claims())).is_ok());
}

#[test]
fn without_trust_nothing_is_accepted_and_what_is_over_stays_so() {
    let fixture = Fixture::new();
    let token = fixture.token(&claims());
    assert!(fixture.verify(&token).is_ok());
    fixture.inner.watcher.trust.lose();
    assert_eq!(fixture.verify(&token), Err(Refused::Unknowable));
    fixture.tell(Over::SessionId(SESSION.to_string()));
    assert_eq!(fixture.verify(&token), Err(Refused::Revoked));
    fixture.assert_invalid("x");
}

#[test]
fn a_remembered_token_goes_with_its_key() {
    let fixture = Fixture::new();
    let token = fixture.token(&claims());
    assert!(fixture.verify(&token).is_ok());
    fixture.inner.jwks.replace(KeySet::default());
    assert_eq!(fixture.verify(&token), Err(Refused::Unknowable));
}

#[test]
fn an_entry_of_an_unknown_kind_is_no_entry_to_skip() {
    let fixture = Fixture::new();
    let until = Some(prost_types::Timestamp::default());
    for bad in [
        Revocation { over: None, until },
        Revocation {
            over: Some(Over::SessionId("x".to_owned())),
            until,
        },
        Revocation {
            over: Some(Over::SessionId(SESSION.to_string())),
            until: None,
        },
    ] {
        assert!(fixture.inner.watcher.set.apply(&[bad]).is_err());
    }
}

#[test]
fn a_retired_key_is_remembered_for_as_long_as_it_is_published() {
    let fixture = Fixture::new();
    let set = &fixture.inner.watcher.set;
    fixture.tell(Over::KeyTag(tag_of("k").to_string()));
    fixture.tell(Over::SessionId(SESSION.to_string()));
    set.forget_before(seconds() + 3600, &fixture.inner.jwks.keys());
    assert_eq!(set.len(), 1);
    assert_eq!(
        fixture.verify(&fixture.token(&claims())),
        Err(Refused::Revoked)
    );
    set.forget_before(seconds() + 3600, &KeySet::default());
    assert_eq!(set.len(), 0);
}

#[test]
fn keys_that_are_none_of_ours_are_left_out() {
    let pair = Pair::generate("EdDSA");
    let good = pair.jwk("EdDSA", "good");
    let with = |name: &str, value: Value| {
        let mut jwk = pair.jwk("EdDSA", "bad");
        jwk[name] = value;
        jwk
    };
    let document = json!({ "keys": [
        good,
        with("alg", json!("HS256")),
        with("alg", json!("none")),
        with("kty", json!("oct")),
        with("crv", json!("X25519")),
        with("use", json!("enc")),
        with("x", json!("AAAA")),
        with("kid", json!(7)),
        json!({ "kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "bad" }),
        "nonsense",
    ]});
    let keys = KeySet::parse(document.to_string().as_bytes()).unwrap();
    assert_eq!(keys.len(), 1);
    assert!(keys.find("good").is_some() && keys.find("bad").is_none());
    let twice = json!({ "keys": [pair.jwk("EdDSA", "k"), pair.jwk("EdDSA", "k")] });
    for bad in [twice.to_string().as_str(), "", "[]", "{}", "{\"keys\":{}}"] {
        assert!(KeySet::parse(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn every_problem_of_the_settings_is_told_at_once_and_no_secret() {
    let error = Verifier::builder("")
        .jwks_url("https://me:hunter2@sso/keys")
        .grpc_url("http://sso.internal:44044")
        .caller_token("hunter2\n")
        .max_questions(0)
        .roots_pem("hunter2")
        .build()
        .await
        .unwrap_err();
    let problems = error.to_string();
    assert!(error.problems().len() >= 4, "{problems}");
    assert!(!problems.contains("hunter2"), "{problems}");
    let error = Verifier::builder("https://sso.example")
        .build()
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "grpc_url: say at least one");
}
