//! The compact form of a JWS (RFC 7515, section 3.1), read strictly.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

/// Longest token in bytes.
pub(super) const MAX_BYTES: usize = 8 * 1024;

/// A token that was taken apart. Nothing of it is to be believed yet.
#[derive(Debug)]
pub(super) struct Compact<'a> {
    /// `None`: the header names no key, as those of the seed.
    pub(super) kid: Option<String>,
    pub(super) algorithm: String,
    pub(super) typ: String,
    /// What is signed: the encoded header and payload with the dot between them.
    pub(super) signed: &'a str,
    payload: &'a str,
    pub(super) signature: Vec<u8>,
}

impl<'a> Compact<'a> {
    /// Takes a token apart. The header must name algorithm and type. Key material in it
    /// (`jwk`, `jku`, `x5c`, `x5u`) is not looked at; `crit` is refused whatever it lists, since no
    /// extension is known here (RFC 7515, 4.1.11).
    pub(super) fn parse(token: &'a str) -> Option<Self> {
        if token.len() > MAX_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        if payload.contains('.') {
            return None;
        }
        let mut header = object(header)?;
        if header.contains_key("crit") {
            return None;
        }
        Some(Self {
            kid: match header.remove("kid") {
                None => None,
                Some(Value::String(kid)) => Some(kid),
                Some(_) => return None,
            },
            algorithm: take_string(&mut header, "alg")?,
            typ: take_string(&mut header, "typ")?,
            signed,
            payload,
            signature: decode(signature)?,
        })
    }

    /// The claims. To be called when the signature holds.
    pub(super) fn claims(&self) -> Option<Map<String, Value>> {
        object(self.payload)
    }
}

/// Joins an encoded header with its dot, a payload and the signature that `sign` makes of both.
pub(super) fn write(
    header: &str,
    payload: &[u8],
    sign: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
) -> Option<String> {
    let mut token = String::with_capacity(header.len() + payload.len() * 4 / 3 + 96);
    token.push_str(header);
    URL_SAFE_NO_PAD.encode_string(payload, &mut token);
    let signature = sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Some(token)
}

/// base64url without padding; the decoder refuses padding and bits that no encoder sets, so that
/// one signature has one spelling.
fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

fn object(part: &str) -> Option<Map<String, Value>> {
    match sso_ijson::parse(&decode(part)?) {
        Ok(Value::Object(members)) => Some(members),
        _ => None,
    }
}

fn take_string(members: &mut Map<String, Value>, name: &str) -> Option<String> {
    match members.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}
