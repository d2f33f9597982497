//! The compact form of a JWS (RFC 7515, section 3.1), read strictly.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

/// Longest token in bytes.
pub(crate) const MAX_BYTES: usize = 8 * 1024;

/// A token that was taken apart. Nothing of it is to be believed yet.
#[derive(Debug)]
pub(crate) struct Compact<'a> {
    pub(crate) kid: String,
    pub(crate) algorithm: String,
    pub(crate) typ: String,
    /// What is signed: the encoded header and payload with the dot between them.
    pub(crate) signed: &'a str,
    payload: &'a str,
    pub(crate) signature: Vec<u8>,
}

impl<'a> Compact<'a> {
    /// Takes a token apart. The header must name key, algorithm and type, each by a string. Key
    /// material in it (`jwk`, `jku`, `x5c`, `x5u`) is not looked at; `crit` is refused whatever it
    /// lists, since no extension is known here (RFC 7515, 4.1.11).
    pub(crate) fn parse(token: &'a str) -> Option<Self> {
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
            kid: take_string(&mut header, "kid")?,
            algorithm: take_string(&mut header, "alg")?,
            typ: take_string(&mut header, "typ")?,
            signed,
            payload,
            signature: decode(signature)?,
        })
    }

    /// The claims. To be called when the signature holds.
    pub(crate) fn claims(&self) -> Option<Map<String, Value>> {
        object(self.payload)
    }
}

/// base64url without padding; the decoder refuses padding and bits that no encoder sets, so that one
/// signature has one spelling.
pub(crate) fn decode(part: &str) -> Option<Vec<u8>> {
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
