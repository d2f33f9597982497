//! What is no token.

use super::*;

#[test]
fn a_key_signs_only_its_own_type() {
    let fixture = fixture();
    let access_payload = part(&fixture.access(), 1).to_string();
    let refresh_payload = part(&fixture.refresh(), 1).to_string();
    fixture.assert_invalid(&fixture.forge_payload(KeyUse::Access, &refresh_payload));
    fixture.assert_invalid(&fixture.forge_payload(KeyUse::Refresh, &access_payload));
    // The refresh key's signature under an access token's header, and the other way round.
    let (access, refresh) = (header(&fixture), part(&fixture.refresh(), 0));
    let crossed = fixture.forge(KeyUse::Refresh, &access.to_string(), &access_payload);
    fixture.assert_invalid(&crossed);
    let crossed = fixture.forge(KeyUse::Access, &refresh.to_string(), &refresh_payload);
    fixture.assert_invalid(&crossed);
}

#[test]
fn every_claim_must_be_there_and_of_its_type() {
    let fixture = fixture();
    for name in [
        "token_type",
        "uid",
        "email",
        "exp",
        "iss",
        "sub",
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
    let end = access().expires_at.unix_timestamp();
    for (name, bad) in [
        ("token_type", json!("refresh")),
        ("token_type", json!("Access")),
        ("iss", json!("https://sso.example/")),
        ("sub", json!("01932c07-9d2f-7cc4-8f7e-31b5d1a2a009")),
        ("uid", json!("")),
        ("sid", json!("me")),
        ("jti", json!("")),
        ("ver", json!(-1)),
        ("ver", json!("1")),
        ("adm", json!(1)),
        ("adm", json!("true")),
        ("adm", json!(null)),
        ("email_verified", json!("false")),
        ("exp", json!(end.to_string())),
        ("exp", serde_json::from_str(&format!("{end}.0")).unwrap()),
        ("exp", json!(1e300)),
        ("exp", json!(i64::MAX)),
        ("exp", json!(u64::MAX)),
        ("iat", json!("0")),
        ("iat", json!(0.5)),
    ] {
        fixture.assert_invalid(&fixture.with_claim(name, Some(bad)));
    }
    assert_eq!(
        fixture.verify(&fixture.with_claim("adm", Some(json!(false)))),
        Ok(access())
    );
    assert_eq!(
        fixture.verify(&fixture.with_claim("unknown", Some(json!([1])))),
        Ok(access())
    );
}

#[test]
fn duplicate_members_are_refused_in_header_and_claims() {
    let fixture = fixture();
    let (head, payload) = (
        header(&fixture).to_string(),
        part(&fixture.access(), 1).to_string(),
    );
    let twice = |object: &str, member: &str| object.replacen('{', &format!("{{{member},"), 1);
    let again = fixture.forge(KeyUse::Access, &head, &payload);
    assert_eq!(
        fixture.verify(&again),
        Ok(access()),
        "the forge makes good tokens"
    );
    let bad = fixture.forge(KeyUse::Access, &twice(&head, r#""typ":"at+jwt""#), &payload);
    fixture.assert_invalid(&bad);
    let bad = fixture.forge(
        KeyUse::Access,
        &head,
        &twice(&payload, r#""exp":99999999999"#),
    );
    fixture.assert_invalid(&bad);
    let bad = fixture.forge(
        KeyUse::Access,
        &head,
        &twice(&payload, r#""x":{"a":1,"a":1}"#),
    );
    fixture.assert_invalid(&bad);
}

#[test]
fn the_header_decides_nothing() {
    let fixture = fixture();
    let changed = |name: &str, value: Value| {
        let mut header = header(&fixture);
        header[name] = value;
        fixture.forge_header(&header)
    };
    for algorithm in [
        "none", "None", "HS256", "eddsa", "ES256", "RS256", "Ed25519", "",
    ] {
        fixture.assert_invalid(&changed("alg", json!(algorithm)));
    }
    for typ in ["JWT", "rt+jwt", "AT+JWT", "application/at+jwt", ""] {
        fixture.assert_invalid(&changed("typ", json!(typ)));
    }
    fixture.assert_invalid(&changed("kid", json!(fixture.kid(KeyUse::Refresh))));
    for kid in ["", "x", "../../dev/null", "' or 1=1 --"] {
        fixture.assert_invalid(&changed("kid", json!(kid)));
    }
    for crit in [json!(["exp"]), json!([]), json!(["b64"]), json!(null)] {
        fixture.assert_invalid(&changed("crit", crit));
    }
    for name in ["alg", "kid", "typ"] {
        fixture.assert_invalid(&changed(name, json!(null)));
        fixture.assert_invalid(&changed(name, json!([fixture.kid(KeyUse::Access)])));
        let mut header = header(&fixture);
        header.as_object_mut().unwrap().remove(name);
        fixture.assert_invalid(&fixture.forge_header(&header));
    }
}

#[test]
fn key_material_in_the_header_is_ignored() {
    let (fixture, stranger) = (fixture(), fixture());
    let jwk = stranger.tokens.ring().jwks()["keys"][0].clone();
    let payload = part(&fixture.access(), 1).to_string();
    let mut header = header(&fixture);
    header["jwk"] = jwk;
    header["jku"] = json!("https://stranger.example/jwks.json");
    header["x5u"] = json!("https://stranger.example/cert.pem");
    header["x5c"] = json!(["MIIB"]);
    // Signed by ours it is good; by the stranger's, whose key is in the header, it is not.
    assert_eq!(fixture.verify(&fixture.forge_header(&header)), Ok(access()));
    let forged = stranger.forge(KeyUse::Access, &header.to_string(), &payload);
    fixture.assert_invalid(&forged);
}

#[test]
fn the_public_key_is_no_hmac_secret() {
    let fixture = fixture();
    let x = fixture.tokens.ring().jwks()["keys"][0]["x"]
        .as_str()
        .unwrap()
        .to_owned();
    let public = URL_SAFE_NO_PAD.decode(&x).unwrap();
    for algorithm in ["HS256", "EdDSA"] {
        for secret in [x.as_bytes(), &public] {
            let mut header = header(&fixture);
            header["alg"] = json!(algorithm);
            let header = URL_SAFE_NO_PAD.encode(header.to_string()) + ".";
            let payload = part(&fixture.access(), 1).to_string();
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
            let sign = |m: &[u8]| Some(aws_lc_rs::hmac::sign(&key, m).as_ref().to_vec());
            fixture.assert_invalid(&jws::write(&header, payload.as_bytes(), sign).unwrap());
        }
    }
}

#[test]
fn what_is_not_canonical_is_refused() {
    let fixture = fixture();
    let token = fixture.access();
    let parts: Vec<_> = token.split('.').collect();
    let [head, payload, signature] = parts[..] else {
        panic!("three parts")
    };
    // 64 bytes are 86 characters with four bits to spare in the last.
    let last = signature.chars().last().unwrap();
    assert!("AQgw".contains(last));
    let spare = signature[..85].to_owned() + &char::from(last as u8 + 1).to_string();
    for bad in [
        format!("{head}.{payload}.{spare}"),
        format!("{head}.{payload}.{signature}=="),
        format!("{head}.{payload}.{signature}="),
        format!("{head}.{payload}.{signature}\n"),
        format!(" {token}"),
        format!("{head}.{payload}."),
        format!("{head}.{payload}"),
        format!("{head}..{signature}"),
        format!(".{payload}.{signature}"),
        format!("{token}.{signature}"),
        format!("{head}.{payload}.{payload}.{signature}"),
        token.replace('.', ".."),
        "..".to_owned(),
        String::new(),
        ".".repeat(1 << 20),
        "a".repeat(1 << 20),
    ] {
        fixture.assert_invalid(&bad);
    }
    for payload in ["", "null", "[]", "\"x\"", "{", "\u{feff}{}", "{} {}"] {
        fixture.assert_invalid(&fixture.forge_payload(KeyUse::Access, payload));
    }
    let deep = format!("{}1{}", "{\"a\":".repeat(1000), "}".repeat(1000));
    fixture.assert_invalid(&fixture.forge_payload(KeyUse::Access, &deep));
}

#[test]
fn nothing_longer_than_8_kib_is_signed_or_read() {
    let fixture = fixture();
    let long = AccessClaims {
        email: "x".repeat(8 * 1024),
        ..access()
    };
    assert!(fixture.tokens.sign_access(&long).is_err());
    let padding = |n: usize| fixture.with_claim("x", Some(json!("x".repeat(n))));
    assert!(fixture.verify(&padding(5_000)).is_ok());
    assert!(padding(5_900).len() > MAX_BYTES);
    fixture.assert_invalid(&padding(5_900));
}

#[test]
fn tokens_of_a_stranger_are_refused() {
    let (fixture, stranger) = (fixture(), fixture());
    for token in [stranger.access(), stranger.refresh()] {
        fixture.assert_invalid(&token);
        assert_eq!(fixture.tokens.subject(&token), Err(TokenRefused::Invalid));
    }
}
