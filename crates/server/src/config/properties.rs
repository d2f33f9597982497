//! Configuration files of any content: read or refused with sentences, never a panic, and no
//! secret in what is said.

use proptest::prelude::*;

use super::*;

/// 32 bytes in base64; recognisable where it must not appear.
const KEY: &str = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=";

const GOOD: &str = r#"
data_dir = "data"
[http]
listen = "127.0.0.1:0"
trusted_proxies = ["10.0.0.0/8", "::1"]
[keys]
master_key = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U="
[tokens]
mode = "hs256"
hs256_secret = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U="
access_ttl = "15m"
[[grpc.callers]]
name = "orders"
token_sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
scopes = ["auth"]
"#;

fn spoilt() -> impl Strategy<Value = String> {
    let places = prop::collection::vec((any::<prop::sample::Index>(), any::<char>()), 1..4);
    let changed = places.prop_map(|places| {
        let mut characters: Vec<char> = GOOD.chars().collect();
        for (at, with) in places {
            let at = at.index(characters.len());
            characters[at] = with;
        }
        characters.into_iter().collect()
    });
    let lines: Vec<&str> = GOOD.lines().collect();
    let shuffled = Just(lines)
        .prop_shuffle()
        .prop_map(|lines| lines.join("\n"));
    prop_oneof![4 => changed, 2 => shuffled, 1 => any::<String>()]
}

proptest! {
    #[test]
    fn whatever_the_file_says_it_is_read_or_refused_without_its_secrets(text in spoilt()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sso.toml");
        std::fs::write(&path, text).unwrap();
        let sources = Sources { file: Some(path), ..Sources::default() };
        if let Err(problems) = load(sources) {
            // A spoilt secret is still most of it.
            let said = problems.to_string();
            prop_assert!(!said.is_empty());
            prop_assert!(!said.contains(&KEY[..20]) && !said.contains(&KEY[24..]), "{said}");
        }
    }

    #[test]
    fn whatever_a_variable_is_called_and_says_it_is_read_or_refused(
        name in "SSO__[A-Z_]{0,20}", value in any::<String>()
    ) {
        let env = vec![(name.into(), value.into())];
        let _ = load(Sources { env, ..Sources::default() });
    }
}
