//! Services that may call the services' port.

use std::fmt;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sso_core::Scope;
use toml::{Table, Value};

use sso_config::unknown_among;

use crate::config::values::{Misshapen, Shape, Text};

/// Longest name of a caller, and of a certificate.
const MAX_NAME: usize = 64;
const MAX_CERTIFICATE: usize = 255;
/// SHA-256 of nothing: what a broken pipe makes.
const OF_NOTHING: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];
const KEYS: [&str; 4] = ["name", "token_sha256", "certificate", "scopes"];
/// Other names that are read: what stands there is a digest, too.
const ALIASES: [(&str, &str); 2] = [
    ("token", "token_sha256"),
    ("client_certificate", "certificate"),
];

/// A service that is known.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Caller {
    /// Its name in logs.
    #[schemars(with = "Text<CallerName>")]
    pub(crate) name: CallerName,
    /// The SHA-256 of its token.
    #[schemars(with = "Option<Text<TokenDigest>>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_sha256: Option<TokenDigest>,
    /// A name in its client certificate.
    #[schemars(with = "Option<Text<CertificateName>>")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<CertificateName>,
    /// What it may do.
    #[schemars(with = "Vec<Text<ScopeName>>", length(min = 1))]
    pub(crate) scopes: Vec<ScopeName>,
}

/// All of them; no two are known by the same.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct Callers(Vec<Caller>);

impl Callers {
    /// In the order of the file.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Caller> {
        self.0.iter()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Tells everything that is wrong, and no value.
impl<'de> Deserialize<'de> for Callers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut wrong = Wrong::default();
        let mut callers = Vec::new();
        for (at, table) in (1..).zip(Vec::<Table>::deserialize(deserializer)?) {
            wrong.caller = at;
            callers.extend(wrong.caller(table).map(|caller| (at, caller)));
        }
        wrong.twins(&callers);
        if wrong.texts.is_empty() {
            Ok(Self(
                callers.into_iter().map(|(_, caller)| caller).collect(),
            ))
        } else {
            Err(de::Error::custom(wrong.texts.join("; ")))
        }
    }
}

/// What is wrong, and with which caller, from 1.
#[derive(Default)]
struct Wrong {
    caller: usize,
    texts: Vec<String>,
}

impl Wrong {
    fn caller(&mut self, mut table: Table) -> Option<Caller> {
        for (alias, key) in ALIASES {
            if table.contains_key(key) {
                continue;
            }
            if let Some(value) = table.remove(alias) {
                table.insert(key.to_owned(), value);
            }
        }
        let table = &table;
        for key in table.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            self.add(unknown_among("sso", key, &KEYS));
        }
        let name = self.text(table, "name");
        if !table.contains_key("name") {
            self.add(format!("name must be {}", CallerName::SHAPE));
        }
        let token_sha256 = self.text(table, "token_sha256");
        let certificate = self.text(table, "certificate");
        if !table.contains_key("token_sha256") && !table.contains_key("certificate") {
            self.add("token_sha256 or certificate must say how it is known");
        }
        let scopes = self.scopes(table.get("scopes"));
        Some(Caller {
            name: name?,
            token_sha256,
            certificate,
            scopes: scopes?,
        })
    }

    fn text<T: Shape + std::str::FromStr>(&mut self, table: &Table, key: &str) -> Option<T> {
        let value = table.get(key)?;
        let parsed = value.as_str().and_then(|text| text.parse().ok());
        if parsed.is_none() {
            self.add(format!("{key} must be {}", T::SHAPE));
        }
        parsed
    }

    fn scopes(&mut self, value: Option<&Value>) -> Option<Vec<ScopeName>> {
        let names = value.and_then(Value::as_array);
        let scope = |name: &Value| name.as_str()?.parse().ok();
        let scopes: Option<Vec<_>> = names.and_then(|names| names.iter().map(scope).collect());
        let scopes = scopes.filter(|scopes| !scopes.is_empty());
        if scopes.is_none() {
            self.add(format!("scopes must be a list, each {}", ScopeName::SHAPE));
        }
        scopes
    }

    /// Who would two callers be that are known by the same?
    fn twins(&mut self, callers: &[(usize, Caller)]) {
        for (at, (number, caller)) in callers.iter().enumerate() {
            self.caller = *number;
            let mut twin = |key: &str, same: &dyn Fn(&Caller) -> bool| {
                if callers[..at].iter().any(|(_, other)| same(other)) {
                    self.add(format!("{key} is also another caller's"));
                }
            };
            twin("name", &|other| other.name == caller.name);
            twin("token_sha256", &|other| {
                other.token_sha256.is_some() && other.token_sha256 == caller.token_sha256
            });
            twin("certificate", &|other| {
                other.certificate.is_some() && other.certificate == caller.certificate
            });
        }
    }

    fn add(&mut self, text: impl fmt::Display) {
        self.texts.push(format!("caller {}: {text}", self.caller));
    }
}

/// What the operator calls a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallerName(String);

impl CallerName {
    /// The name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Shape for CallerName {
    const SHAPE: &str = "a name of 1 to 64 letters, digits, dots, hyphens or underscores";
}

impl std::str::FromStr for CallerName {
    type Err = Misshapen;

    fn from_str(text: &str) -> Result<Self, Misshapen> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(good) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Misshapen)
        }
    }
}

impl Serialize for CallerName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// A name that a client certificate has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertificateName(String);

impl CertificateName {
    /// The name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Shape for CertificateName {
    const SHAPE: &str = "a name of 1 to 255 characters as it stands in the certificate";
}

impl std::str::FromStr for CertificateName {
    type Err = Misshapen;

    fn from_str(text: &str) -> Result<Self, Misshapen> {
        let good = (1..=MAX_CERTIFICATE).contains(&text.len()) && !text.contains(char::is_control);
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(Misshapen)
        }
    }
}

impl Serialize for CertificateName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// The SHA-256 of a token. It is not shown: somebody may have chosen a short token.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// The 32 bytes.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Shape for TokenDigest {
    const SHAPE: &str = "the SHA-256 of the token in hex (64 digits) or base64, and the token not \
                         empty";
}

impl std::str::FromStr for TokenDigest {
    type Err = Misshapen;

    fn from_str(text: &str) -> Result<Self, Misshapen> {
        let bytes = if text.len() == 64 {
            hex(text)
        } else {
            let decoded = STANDARD.decode(text);
            decoded.or_else(|_| STANDARD_NO_PAD.decode(text)).ok()
        };
        let digest = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        digest
            .filter(|digest| *digest != OF_NOTHING)
            .map(Self)
            .ok_or(Misshapen)
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: &u8| char::from(*digit).to_digit(16);
    let pairs = text.as_bytes().chunks_exact(2);
    let bytes = pairs.map(|pair| {
        let value = digit(&pair[0])? << 4 | digit(&pair[1])?;
        u8::try_from(value).ok()
    });
    bytes.collect()
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(..)")
    }
}

impl Serialize for TokenDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(crate::config::values::HIDDEN)
    }
}

/// One thing that a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScopeName(pub(crate) Scope);

impl Shape for ScopeName {
    const SHAPE: &str = "auth, revocations:read, users:admin, events:admin or audit:read";
}

impl std::str::FromStr for ScopeName {
    type Err = Misshapen;

    fn from_str(text: &str) -> Result<Self, Misshapen> {
        Scope::parse(text).map(Self).ok_or(Misshapen)
    }
}

impl Serialize for ScopeName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_in_hex_and_in_base64() {
        // Of "abc" (FIPS 180-4).
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let digest: TokenDigest = hex.parse().unwrap();
        let base64 = STANDARD.encode(digest.bytes());
        let upper = hex.to_uppercase();
        for text in [&*base64, base64.trim_end_matches('='), &upper] {
            assert_eq!(text.parse::<TokenDigest>().unwrap(), digest, "{text}");
        }
        for bad in ["", "abc", &hex[1..], &format!("{}zz", &hex[2..]), "é"] {
            assert!(bad.parse::<TokenDigest>().is_err(), "{bad}");
        }
        assert_eq!(format!("{digest:?}"), "TokenDigest(..)");
    }

    #[test]
    fn a_caller_is_read_by_the_other_names_too() {
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let read = |token: &str, certificate: &str| {
            let text = format!(
                "c = [{{ name = 'a', {token} = '{digest}', {certificate} = 'a.internal', \
                 scopes = ['auth'] }}]"
            );
            let mut table: std::collections::BTreeMap<String, Callers> =
                toml::from_str(&text).unwrap();
            table.remove("c").unwrap()
        };
        let usual = read("token_sha256", "certificate");
        assert_eq!(read("token", "client_certificate"), usual);
    }

    #[test]
    fn the_digest_of_no_token_is_refused() {
        let nothing = STANDARD.encode(OF_NOTHING);
        assert!(nothing.parse::<TokenDigest>().is_err());
    }

    #[test]
    fn every_scope_is_named() {
        for scope in Scope::ALL {
            assert!(ScopeName::SHAPE.contains(scope.as_str()), "{scope}");
        }
    }
}
