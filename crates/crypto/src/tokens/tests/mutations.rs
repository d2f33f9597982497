//! No change of a good token is accepted.

use proptest::prelude::*;

use super::*;

/// Ways to spoil a token.
#[derive(Debug, Clone)]
enum Mutation {
    Flip {
        at: prop::sample::Index,
        bit: u32,
    },
    Replace {
        at: prop::sample::Index,
        with: char,
    },
    Insert {
        at: prop::sample::Index,
        what: String,
    },
    Delete {
        at: prop::sample::Index,
        count: usize,
    },
    Truncate {
        at: prop::sample::Index,
    },
    SwapParts {
        a: usize,
        b: usize,
    },
    /// A part of another good token in its place.
    Transplant {
        part: usize,
    },
    /// A member of header or claims changed, under the old signature.
    Member {
        part: usize,
        name: &'static str,
        value: Value,
    },
    /// A part decoded and written with padding, or in the standard alphabet.
    Reencode {
        part: usize,
        padded: bool,
    },
    Pad {
        with: &'static str,
    },
}

fn mutations() -> impl Strategy<Value = Mutation> {
    let index = any::<prop::sample::Index>;
    let name = prop::sample::select(vec![
        "alg",
        "kid",
        "typ",
        "crit",
        "exp",
        "iat",
        "sub",
        "uid",
        "sid",
        "aud",
        "iss",
        "ver",
        "adm",
        "gen",
        "token_type",
        "email",
    ]);
    let value = prop_oneof![
        Just(json!(null)),
        any::<i64>().prop_map(|n| json!(n)),
        any::<bool>().prop_map(|b| json!(b)),
        "[a-zA-Z0-9+]{0,12}".prop_map(|s| json!(s)),
        prop::sample::select(vec!["none", "HS256", "EdDSA", "at+jwt", "rt+jwt", "access"])
            .prop_map(|s| json!(s)),
    ];
    prop_oneof![
        (index(), 0_u32..8).prop_map(|(at, bit)| Mutation::Flip { at, bit }),
        (index(), any::<char>()).prop_map(|(at, with)| Mutation::Replace { at, with }),
        (index(), "[A-Za-z0-9._=-]{1,8}").prop_map(|(at, what)| Mutation::Insert { at, what }),
        (index(), 1_usize..9).prop_map(|(at, count)| Mutation::Delete { at, count }),
        index().prop_map(|at| Mutation::Truncate { at }),
        (0_usize..3, 0_usize..3).prop_map(|(a, b)| Mutation::SwapParts { a, b }),
        (0_usize..3).prop_map(|part| Mutation::Transplant { part }),
        (0_usize..2, name, value).prop_map(|(part, name, value)| Mutation::Member {
            part,
            name,
            value
        }),
        (0_usize..3, any::<bool>()).prop_map(|(part, padded)| Mutation::Reencode { part, padded }),
        prop::sample::select(vec!["=", "==", ".", "A", " ", "\n", "\0", "\u{200b}"])
            .prop_map(|with| Mutation::Pad { with }),
    ]
}

/// The spoilt token, or `None` where the mutation does not apply.
fn mutate(token: &str, other: &str, mutation: &Mutation) -> Option<String> {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    match mutation {
        Mutation::Flip { at, bit } => {
            let mut bytes = token.as_bytes().to_vec();
            bytes[at.index(token.len())] ^= 1 << bit;
            return String::from_utf8(bytes).ok();
        }
        Mutation::Replace { at, with } => {
            let at = at.index(token.len());
            return Some(format!("{}{with}{}", &token[..at], &token[at + 1..]));
        }
        Mutation::Insert { at, what } => {
            let at = at.index(token.len());
            return Some(format!("{}{what}{}", &token[..at], &token[at..]));
        }
        Mutation::Delete { at, count } => {
            let at = at.index(token.len());
            let end = (at + count).min(token.len());
            return Some(format!("{}{}", &token[..at], &token[end..]));
        }
        Mutation::Truncate { at } => return Some(token[..at.index(token.len())].to_owned()),
        Mutation::SwapParts { a, b } => parts.swap(*a, *b),
        Mutation::Transplant { part } => {
            parts[*part] = other.split('.').nth(*part)?.to_owned();
        }
        Mutation::Member { part, name, value } => {
            let decoded = URL_SAFE_NO_PAD.decode(&parts[*part]).ok()?;
            let mut object: Value = serde_json::from_slice(&decoded).ok()?;
            object
                .as_object_mut()?
                .insert((*name).to_owned(), value.clone());
            parts[*part] = URL_SAFE_NO_PAD.encode(object.to_string());
        }
        Mutation::Reencode { part, padded } => {
            use base64::engine::general_purpose::{STANDARD, URL_SAFE};
            let bytes = URL_SAFE_NO_PAD.decode(&parts[*part]).ok()?;
            let engine = if *padded { &URL_SAFE } else { &STANDARD };
            parts[*part] = engine.encode(bytes);
        }
        Mutation::Pad { with } => return Some(format!("{token}{with}")),
    }
    Some(parts.join("."))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_mutation_of_a_good_token_is_accepted(
        mutations in prop::collection::vec(mutations(), 1..4),
        is_access in any::<bool>(),
        warm in any::<bool>(),
    ) {
        thread_local!(static FIXTURE: Fixture = fixture());
        FIXTURE.with(|fixture| {
            let (good, other) = if is_access {
                let other = AccessClaims { version: Version::new(1), ..access() };
                (fixture.access(), fixture.tokens.sign_access(&other).unwrap())
            } else {
                let other = RefreshClaims { generation: 9, ..refresh() };
                (fixture.refresh(), fixture.tokens.sign_refresh(&other).unwrap())
            };
            if warm {
                let _ = fixture.verify(&good);
            }
            let spoilt = mutations.iter().try_fold(good.clone(), |token, mutation| {
                (token.is_ascii() && token.split('.').count() == 3 && !token.is_empty())
                    .then(|| mutate(&token, &other, mutation))
                    .flatten()
            });
            let Some(spoilt) = spoilt.filter(|spoilt| *spoilt != good && *spoilt != other) else {
                return Ok(());
            };
            prop_assert!(fixture.verify(&spoilt).is_err());
            prop_assert!(fixture.tokens.verify_refresh(&spoilt, NOW).is_err());
            prop_assert!(fixture.tokens.subject(&spoilt).is_err());
            Ok(())
        })?;
    }
}
