//! What is filled in from other values, and what development mode sets.

use sso_config::{Derived, Rules, Sections, is_loopback};

use super::{
    section::Config,
    validate::validate,
    values::{PublicUrl, TokenName},
};

impl Sections for Config {
    const PROGRAM: &'static str = "sso";
    const PREFIX: &'static str = "SSO__";
    const FILE_VARIABLE: &'static str = "SSO_CONFIG";
    const DEVELOPMENT: &'static [(&'static str, &'static str)] = &[
        ("http.expose_metrics", "true"),
        ("admin.listen", "off"),
        ("passwords.min_length", "4"),
        ("passwords.refuse_common", "false"),
    ];

    fn derive(&mut self, derived: &mut Derived<'_>) {
        if derived.from("http.public_url", "http.listen") {
            let tls = self.http.tls_cert.is_some();
            self.http.public_url = PublicUrl::of_listener(self.http.listen, tls);
        }
        if derived.from("tokens.issuer", "http.public_url") {
            self.tokens.issuer = TokenName::from(&self.http.public_url);
        }
        if derived.from("tokens.audience", "tokens.issuer") {
            self.tokens.audience = vec![self.tokens.issuer.clone()];
        }
        if derived.from("database.migrate", "database.url") {
            self.database.migrate = self.database.url.is_embedded();
        }
        if derived.from("grpc.require_caller", "grpc.listen") {
            self.grpc.require_caller = !is_loopback(self.grpc.listen.ip());
        }
    }

    fn validate(&self, rules: &mut Rules<'_>) {
        validate(self, rules);
    }
}
