//! ES256 and RS256 beside EdDSA: what they say, and that none passes for another.

use std::sync::OnceLock;

use aws_lc_rs::hmac;

use super::*;

const ALGORITHMS: [AccessAlgorithm; 3] = [
    AccessAlgorithm::EdDsa,
    AccessAlgorithm::Es256,
    AccessAlgorithm::Rs256,
];

/// One for each: an RSA key takes its time.
fn fixtures() -> &'static [Fixture] {
    static FIXTURES: OnceLock<Vec<Fixture>> = OnceLock::new();
    FIXTURES.get_or_init(|| ALGORITHMS.map(|of| fixture_of(of, &[])).into())
}

fn jwk(fixture: &Fixture) -> Value {
    fixture.tokens.jwks()["keys"][0].clone()
}

fn bytes(member: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(member.as_str().unwrap()).unwrap()
}

#[test]
fn each_algorithm_signs_and_verifies_and_names_itself() {
    for (fixture, alg) in fixtures().iter().zip(["EdDSA", "ES256", "RS256"]) {
        let token = fixture.access();
        let header = json!({ "alg": alg, "kid": fixture.kid(KeyUse::Access), "typ": "at+jwt" });
        assert_eq!(part(&token, 0), header);
        assert_eq!(fixture.verify(&token), Ok(access()));
        assert_eq!(fixture.verify(&token), Ok(access()), "from the cache");
        assert_eq!(part(&fixture.refresh(), 0)["alg"], "HS256");
    }
}

#[test]
fn the_jwks_has_the_members_of_each_key_type_and_no_private_one() {
    let expected = [
        vec!["alg", "crv", "kid", "kty", "use", "x"],
        vec!["alg", "crv", "kid", "kty", "use", "x", "y"],
        vec!["alg", "e", "kid", "kty", "n", "use"],
    ];
    for (fixture, members) in fixtures().iter().zip(expected) {
        let jwk = jwk(fixture);
        let mut found: Vec<_> = jwk.as_object().unwrap().keys().cloned().collect();
        found.sort();
        assert_eq!(found, members);
        assert_eq!(jwk["use"], "sig");
        assert_eq!(jwk["kid"], fixture.kid(KeyUse::Access));
    }
    let (ec, rsa) = (jwk(&fixtures()[1]), jwk(&fixtures()[2]));
    assert_eq!((&ec["kty"], &ec["crv"]), (&json!("EC"), &json!("P-256")));
    assert_eq!((bytes(&ec["x"]).len(), bytes(&ec["y"]).len()), (32, 32));
    assert_eq!((&rsa["kty"], &rsa["e"]), (&json!("RSA"), &json!("AQAB")));
    let n = bytes(&rsa["n"]);
    assert!(n.len() == 384 && n[0] >= 0x80, "3072 bits, no leading zero");
}

/// By another implementation of the verification: the one that services have.
#[test]
fn the_published_members_verify_the_token() {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
        UnparsedPublicKey,
    };
    let signed = |fixture: &Fixture| {
        let token = fixture.access();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        (message.as_bytes().to_vec(), signature)
    };
    let ec = jwk(&fixtures()[1]);
    let point = [&[4][..], &bytes(&ec["x"]), &bytes(&ec["y"])].concat();
    let (message, signature) = signed(&fixtures()[1]);
    assert_eq!(signature.len(), 64, "RFC 7518, 3.4");
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(&message, &signature)
        .unwrap();
    let rsa = jwk(&fixtures()[2]);
    let public = RsaPublicKeyComponents {
        n: bytes(&rsa["n"]),
        e: bytes(&rsa["e"]),
    };
    let (message, signature) = signed(&fixtures()[2]);
    public
        .verify(&RSA_PKCS1_2048_8192_SHA256, &message, &signature)
        .unwrap();
}

#[test]
fn an_algorithm_in_the_header_that_is_not_the_keys_is_refused() {
    for fixture in fixtures() {
        let own = header(fixture)["alg"].clone();
        for alg in ["EdDSA", "ES256", "RS256", "PS256", "HS256", "none"] {
            let mut header = header(fixture);
            header["alg"] = json!(alg);
            let token = fixture.forge_header(&header);
            if own == alg {
                assert_eq!(fixture.verify(&token), Ok(access()));
            } else {
                fixture.assert_invalid(&token);
            }
        }
    }
}

#[test]
fn a_key_of_one_algorithm_does_not_verify_what_another_signed() {
    for ours in fixtures() {
        for theirs in fixtures() {
            if std::ptr::eq(ours, theirs) {
                continue;
            }
            let payload = part(&ours.access(), 1).to_string();
            let forged = theirs.forge(KeyUse::Access, &header(ours).to_string(), &payload);
            ours.assert_invalid(&forged);
            // Under its own name it is a stranger's.
            ours.assert_invalid(&theirs.access());
        }
    }
}

#[test]
fn no_spelling_of_a_public_key_is_an_hmac_secret() {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::signature::RsaPublicKeyComponents;
    let (ec, rsa) = (&fixtures()[1], &fixtures()[2]);
    let (x, y) = (bytes(&jwk(ec)["x"]), bytes(&jwk(ec)["y"]));
    let (n, e) = (bytes(&jwk(rsa)["n"]), bytes(&jwk(rsa)["e"]));
    let public = RsaPublicKeyComponents { n: n.clone(), e };
    let der: PublicKeyX509Der<'_> = public.as_der().unwrap();
    let der = der.as_ref().to_vec();
    let base64 = base64::engine::general_purpose::STANDARD.encode(&der);
    let lines: Vec<_> = base64
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        lines.join("\n")
    );
    let secrets = [
        (ec, [&[4][..], &x, &y].concat()),
        (ec, [x.clone(), y].concat()),
        (ec, x),
        (rsa, n),
        (rsa, der),
        (rsa, pem.trim_end().as_bytes().to_vec()),
        (rsa, pem.into_bytes()),
        (rsa, jwk(rsa).to_string().into_bytes()),
    ];
    for (fixture, secret) in secrets {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let sign = |message: &[u8]| Some(hmac::sign(&key, message).as_ref().to_vec());
        let payload = part(&fixture.access(), 1).to_string();
        for alg in ["HS256", "RS256", "ES256"] {
            for with_kid in [true, false] {
                let mut header = header(fixture);
                header["alg"] = json!(alg);
                if !with_kid {
                    header = json!({ "alg": alg, "typ": "JWT" });
                }
                let head = URL_SAFE_NO_PAD.encode(header.to_string()) + ".";
                fixture.assert_invalid(&jws::write(&head, payload.as_bytes(), sign).unwrap());
            }
        }
    }
}

#[test]
fn a_signature_that_is_not_the_keys_own_is_refused_whatever_its_form() {
    for fixture in fixtures() {
        let token = fixture.access();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let good = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let mut zero_first = vec![0];
        zero_first.extend(&good);
        let halves = [&good[good.len() / 2..], &good[..good.len() / 2]].concat();
        for bad in [
            vec![],
            vec![0; good.len()],
            good[..good.len() - 1].to_vec(),
            zero_first,
            [&good[..], &[0]].concat(),
            halves,
        ] {
            let bad = URL_SAFE_NO_PAD.encode(bad);
            fixture.assert_invalid(&format!("{message}.{bad}"));
        }
    }
}

#[test]
fn keys_of_every_algorithm_live_in_one_ring() {
    let fixture = fixture();
    let mut stored = fixture.stored.clone();
    let mut tokens = vec![fixture.access()];
    for (hours, algorithm) in [(1, AccessAlgorithm::Es256), (2, AccessAlgorithm::Rs256)] {
        let at = NOW + Duration::hours(hours);
        let next = KeyRing::first_keys_of(algorithm, &fixture.master, &SystemRandom, at).unwrap();
        stored.push(next[0].clone());
        let ring = KeyRing::open(&stored, &fixture.master).unwrap();
        fixture.tokens.replace_ring(ring);
        let claims = AccessClaims {
            issued_at: at,
            expires_at: at + Duration::days(1),
            ..access()
        };
        tokens.push(fixture.tokens.sign_access(&claims).unwrap());
    }
    let algorithms: Vec<_> = tokens
        .iter()
        .map(|token| part(token, 0)["alg"].clone())
        .collect();
    assert_eq!(algorithms, ["EdDSA", "ES256", "RS256"]);
    assert_eq!(fixture.verify(&tokens[0]), Ok(access()));
    let later = NOW + Duration::hours(3);
    for token in &tokens[1..] {
        assert!(fixture.tokens.verify_access(token, later).is_ok());
    }
    assert_eq!(fixture.tokens.jwks()["keys"].as_array().unwrap().len(), 3);
}
