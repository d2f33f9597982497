//! The methods that are served, read once from the descriptors.

use std::{collections::HashMap, sync::LazyLock};

use prost_reflect::{DescriptorPool, MethodDescriptor};
use sso_core::access::{self, Access};

use crate::proto;

/// The packages of ours, whose handlers take over what the transcoder found wrong.
const OURS: [&str; 2] = ["auth", "sso.v1"];
/// The service whose methods also have short JSON paths, and what they begin with.
const SHORT: (&str, &str) = ("auth.Auth", "/sso/");

static POOL: LazyLock<DescriptorPool> = LazyLock::new(pool);
static METHODS: LazyLock<Vec<Method>> = LazyLock::new(|| {
    let services = POOL.services();
    services
        .flat_map(|service| service.methods().map(Method::new).collect::<Vec<_>>())
        .collect()
});
static BY_PATH: LazyLock<HashMap<&'static str, &'static Method>> = LazyLock::new(|| {
    let methods = METHODS.iter();
    methods.map(|method| (&*method.path, method)).collect()
});

/// One rpc.
pub(crate) struct Method {
    /// `/{package.Service}/{Method}`.
    pub path: String,
    /// `package.Service`.
    pub service: String,
    /// The method's name alone.
    pub name: String,
    /// The short JSON path, if it has one.
    pub short_path: Option<String>,
    /// Whether the service is ours.
    pub ours: bool,
    /// Who may call it; nobody where this is missing.
    pub access: Option<Access>,
    /// The proto names of the request's fields by number, for errors, which outlive the request.
    fields: Vec<(u32, String)>,
    /// Everything else.
    pub descriptor: MethodDescriptor,
}

impl Method {
    fn new(descriptor: MethodDescriptor) -> Self {
        let service = descriptor.parent_service().full_name().to_owned();
        let name = descriptor.name().to_owned();
        let input = descriptor.input();
        let path = format!("/{service}/{name}");
        Self {
            access: access::of_rpc(&path),
            path,
            short_path: (service == SHORT.0).then(|| format!("{}{}", SHORT.1, kebab(&name))),
            ours: OURS.contains(&descriptor.parent_service().package_name()),
            fields: input
                .fields()
                .map(|field| (field.number(), field.name().to_owned()))
                .collect(),
            service,
            name,
            descriptor,
        }
    }

    /// Whether one message goes in and one comes out.
    pub(crate) fn is_unary(&self) -> bool {
        !self.descriptor.is_client_streaming() && !self.descriptor.is_server_streaming()
    }

    /// The name of the request's field with this number.
    pub(crate) fn field(&'static self, number: u32) -> &'static str {
        let named = self.fields.iter().find(|(known, _)| *known == number);
        named.map_or("", |(_, name)| name)
    }
}

/// All methods of all services on the port.
pub(crate) fn all() -> &'static [Method] {
    &METHODS
}

/// The method at `/{package.Service}/{Method}`.
pub(crate) fn at(path: &str) -> Option<&'static Method> {
    BY_PATH.get(path).copied()
}

/// The descriptors of these methods and of `google.rpc`'s error details.
pub(crate) fn descriptors() -> &'static DescriptorPool {
    &POOL
}

fn kebab(name: &str) -> String {
    let mut kebab = String::with_capacity(name.len() + 2);
    for (at, letter) in name.chars().enumerate() {
        if letter.is_ascii_uppercase() && at > 0 {
            kebab.push('-');
        }
        kebab.push(letter.to_ascii_lowercase());
    }
    kebab
}

#[expect(
    clippy::expect_used,
    reason = "the descriptors are compiled into the binary, and the tests read them"
)]
fn pool() -> DescriptorPool {
    let mut pool = DescriptorPool::new();
    for set in [
        proto::FILE_DESCRIPTOR_SET,
        tonic_types::pb::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ] {
        pool.decode_file_descriptor_set(set)
            .expect("the descriptors are those of the services compiled in");
    }
    pool
}

#[cfg(test)]
mod tests {
    use prost_reflect::Kind;

    use super::*;

    fn auth() -> impl Iterator<Item = &'static Method> {
        all().iter().filter(|method| method.service == "auth.Auth")
    }

    #[test]
    fn every_rpc_has_a_rule_and_every_rule_an_rpc() {
        let without: Vec<_> = all().iter().filter(|m| m.access.is_none()).collect();
        let without: Vec<_> = without.iter().map(|method| &method.path).collect();
        assert!(
            without.is_empty(),
            "write a rule in sso_core::access for {without:?}"
        );
        for rule in access::RULES {
            let is_rpc = rule.port == access::Port::Grpc && rule.method == "POST";
            assert!(
                !is_rpc || at(rule.path).is_some(),
                "{} is no rpc",
                rule.path
            );
        }
    }

    #[test]
    fn the_rpcs_of_the_contract_have_their_paths() {
        let ours = auth();
        let paths: Vec<_> = ours
            .map(|m| (m.path.as_str(), m.short_path.as_deref().unwrap()))
            .collect();
        assert_eq!(
            paths,
            [
                ("/auth.Auth/Register", "/sso/register"),
                ("/auth.Auth/Login", "/sso/login"),
                ("/auth.Auth/Refresh", "/sso/refresh"),
                ("/auth.Auth/IsAdmin", "/sso/is-admin"),
                ("/auth.Auth/Logout", "/sso/logout"),
                ("/auth.Auth/Validate", "/sso/validate"),
            ]
        );
    }

    #[test]
    fn names_numbers_and_types_of_the_contract_are_fixed() {
        let mut wire = Vec::new();
        for method in auth() {
            for (arrow, message) in [
                ("<", method.descriptor.input()),
                (">", method.descriptor.output()),
            ] {
                let fields = message.fields().map(|field| {
                    let kind = match field.kind() {
                        Kind::Message(message) => message.full_name().to_owned(),
                        scalar => format!("{scalar:?}"),
                    };
                    format!(" {}={}:{kind}", field.name(), field.number())
                });
                let fields: String = fields.collect();
                wire.push(format!("{}{arrow}{fields}", method.name));
            }
        }
        assert_eq!(
            wire,
            [
                "Register< email=1:string password=2:string",
                "Register> user_id=1:string",
                "Login< email=1:string password=2:string",
                "Login> access_token=1:string refresh_token=2:string",
                "Refresh< refresh_token=1:string",
                "Refresh> access_token=1:string refresh_token=2:string",
                "IsAdmin< user_id=1:string",
                "IsAdmin> is_admin=1:bool",
                "Logout< token=1:string",
                "Logout> success=1:bool",
                "Validate< token=1:string",
                "Validate> success=1:bool user_id=2:string session_id=3:string \
                 expires_at=4:google.protobuf.Timestamp is_admin=5:bool version=6:uint64",
            ]
        );
    }
}
