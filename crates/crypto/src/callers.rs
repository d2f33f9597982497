//! Services, known by the digest of their token or by their certificate.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use sso_core::{Service, ports::Callers};

use crate::random::sha256;

/// A longer token is nobody's; a digest of it is not worth its time.
const MAX_TOKEN: usize = 1024;

/// A service that the operator has written down.
#[derive(Debug, Clone)]
pub struct KnownCaller {
    /// The SHA-256 of its token.
    pub token_sha256: Option<[u8; 32]>,
    /// A name in its client certificate.
    pub certificate: Option<String>,
    /// Who it is then, and what it may do.
    pub service: Service,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub struct KnownCallers(Vec<KnownCaller>);

impl KnownCallers {
    /// These.
    pub fn new(callers: Vec<KnownCaller>) -> Self {
        Self(callers)
    }
}

impl Callers for KnownCallers {
    /// Compares with every digest, each in constant time: neither which one it is nor how much of
    /// it is right can be measured.
    fn by_token(&self, token: &str) -> Option<Service> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let shown = sha256(token.as_bytes());
        let mut found = None;
        for known in &self.0 {
            if let Some(digest) = &known.token_sha256
                && verify_slices_are_equal(digest, &shown).is_ok()
            {
                found = Some(&known.service);
            }
        }
        found.cloned()
    }

    fn by_certificate(&self, names: &[String]) -> Option<Service> {
        let known = self.0.iter().find(|known| {
            let name = known.certificate.as_ref();
            name.is_some_and(|name| names.contains(name))
        });
        known.map(|known| known.service.clone())
    }
}

#[cfg(test)]
mod tests {
    use sso_core::Scopes;

    use super::*;

    fn known(name: &str, token: Option<&str>, certificate: Option<&str>) -> KnownCaller {
        KnownCaller {
            token_sha256: token.map(|token| sha256(token.as_bytes())),
            certificate: certificate.map(str::to_owned),
            service: Service {
                name: name.into(),
                scopes: Scopes::default(),
            },
        }
    }

    #[test]
    fn a_service_is_known_by_its_token_or_by_its_certificate() {
        let callers = KnownCallers::new(vec![
            known("a", Some("token of a"), None),
            known("b", None, Some("b.internal")),
            known("c", Some("token of c"), Some("c.internal")),
        ]);
        let by_token = |token: &str| callers.by_token(token).map(|service| service.name);
        assert_eq!(by_token("token of a").as_deref(), Some("a"));
        assert_eq!(by_token("token of c").as_deref(), Some("c"));
        for nobody in ["", "token of b", "token of a ", "Token of a"] {
            assert_eq!(by_token(nobody), None, "{nobody:?}");
        }
        assert_eq!(by_token(&"x".repeat(MAX_TOKEN + 1)), None);
        let by_name = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            callers.by_certificate(&names).map(|service| service.name)
        };
        assert_eq!(by_name(&["x", "c.internal"]).as_deref(), Some("c"));
        assert_eq!(by_name(&["a"]), None);
        assert_eq!(by_name(&[]), None);
    }
}
