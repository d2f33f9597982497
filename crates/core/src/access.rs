//! Who may call what: one table of every route and every rpc.
//!
//! The services' port lets nobody in whom its rule does not name, and nobody at all to an rpc that
//! has no rule. The frontends' port takes access tokens itself; there the rules are held against
//! what the routes really do, by a test that calls each of them in each role.

use crate::scope::Scope;

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody. If there is a credential it is in the message: whoever holds it.
    Anyone,
    /// The user of an access token, about himself. What is another's is not there: 404.
    Own,
    /// A service that is known, whatever its scopes; anybody without `grpc.require_caller`.
    KnownCaller,
    /// A service with this scope; without `grpc.require_caller` also anybody who is no known service.
    Caller(Scope),
    /// A service with this scope, or an administrator by his access token; always.
    Administrator(Scope),
    /// An administrator by his access token, and no service: there is no scope for it.
    AdministratorOnly,
}

/// Where something is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// The frontends' (`http.listen`).
    Http,
    /// The services' (`grpc.listen`): an rpc's path is served as gRPC and as JSON.
    Grpc,
    /// The operator's (`admin.listen`): no authentication, kept to an inner network.
    Admin,
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Where.
    pub port: Port,
    /// The HTTP method.
    pub method: &'static str,
    /// The route's template, or `/{package.Service}/{Method}`.
    pub path: &'static str,
    /// Who.
    pub access: Access,
}

const fn http(method: &'static str, path: &'static str, access: Access) -> Rule {
    Rule {
        port: Port::Http,
        method,
        path,
        access,
    }
}

const fn page(path: &'static str) -> Rule {
    Rule {
        port: Port::Grpc,
        method: "GET",
        path,
        access: Access::Anyone,
    }
}

const fn rpc(path: &'static str, access: Access) -> Rule {
    Rule {
        port: Port::Grpc,
        method: "POST",
        path,
        access,
    }
}

const fn admin(method: &'static str, path: &'static str) -> Rule {
    Rule {
        port: Port::Admin,
        method,
        path,
        access: Access::Anyone,
    }
}

/// Every route and every rpc.
pub const RULES: &[Rule] = &[
    http("POST", "/auth/registration", Access::Anyone),
    http("POST", "/auth/login", Access::Anyone),
    http("POST", "/auth/refresh", Access::Anyone),
    http("POST", "/auth/logout", Access::Anyone),
    http("GET", "/auth/info", Access::Own),
    http("POST", "/auth/password", Access::Own),
    http("GET", "/auth/sessions", Access::Own),
    http("DELETE", "/auth/sessions/{id}", Access::Own),
    http("GET", "/auth/ready", Access::Anyone),
    http("GET", "/auth/healthz", Access::Anyone),
    http("GET", "/.well-known/jwks.json", Access::Anyone),
    http("GET", "/swagger", Access::Anyone),
    http("GET", "/swagger/", Access::Anyone),
    http("GET", "/swagger/doc.json", Access::Anyone),
    http("GET", "/swagger/{file}", Access::Anyone),
    // Only with `http.expose_metrics`, which says so.
    http("GET", "/metrics", Access::Anyone),
    // What people prove with their own credentials, services ask on their behalf.
    rpc("/auth.Auth/Register", Access::Caller(Scope::Auth)),
    rpc("/auth.Auth/Login", Access::Caller(Scope::Auth)),
    rpc("/auth.Auth/Refresh", Access::Caller(Scope::Auth)),
    rpc("/auth.Auth/IsAdmin", Access::Caller(Scope::Auth)),
    rpc("/auth.Auth/Logout", Access::Caller(Scope::Auth)),
    rpc("/auth.Auth/Validate", Access::Caller(Scope::Auth)),
    rpc("/sso.v1.Users/Get", USERS),
    rpc("/sso.v1.Users/List", USERS),
    rpc("/sso.v1.Users/Create", USERS),
    rpc("/sso.v1.Users/SetAdmin", USERS),
    rpc("/sso.v1.Users/Disable", USERS),
    rpc("/sso.v1.Users/Enable", USERS),
    rpc("/sso.v1.Users/SetPassword", USERS),
    rpc("/sso.v1.Users/EndSessions", USERS),
    rpc("/sso.v1.Users/ListSessions", USERS),
    rpc("/sso.v1.Users/Delete", USERS),
    rpc("/sso.v1.Events/List", EVENTS),
    rpc("/sso.v1.Events/Resend", EVENTS),
    rpc("/sso.v1.Events/Skip", EVENTS),
    rpc(
        "/sso.v1.Audit/List",
        Access::Administrator(Scope::AuditRead),
    ),
    rpc("/sso.v1.Keys/List", Access::AdministratorOnly),
    rpc("/sso.v1.Keys/Rotate", Access::AdministratorOnly),
    rpc("/sso.v1.Keys/Retire", Access::AdministratorOnly),
    rpc(
        "/sso.v1.Revocations/Watch",
        Access::Administrator(Scope::RevocationsRead),
    ),
    // Balancers and container runtimes have no token.
    rpc("/grpc.health.v1.Health/Check", Access::Anyone),
    rpc("/grpc.health.v1.Health/Watch", Access::Anyone),
    rpc(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        Access::KnownCaller,
    ),
    rpc(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        Access::KnownCaller,
    ),
    // The documents of a program that anybody can read.
    page("/sw"),
    page("/sw/"),
    page("/sw/{*path}"),
    page("/sw/doc.json"),
    admin("GET", "/metrics"),
    admin("GET", "/auth/ready"),
    admin("GET", "/auth/healthz"),
    admin("GET", "/log-level"),
    admin("PUT", "/log-level"),
    admin("GET", "/profile"),
];

const USERS: Access = Access::Administrator(Scope::UsersAdmin);
const EVENTS: Access = Access::Administrator(Scope::EventsAdmin);

/// Who may call the rpc at `/{package.Service}/{Method}`.
pub fn of_rpc(path: &str) -> Option<Access> {
    of_route(Port::Grpc, "POST", path)
}

/// The rule of a route.
pub fn of_route(port: Port, method: &str, path: &str) -> Option<Access> {
    let rule = RULES
        .iter()
        .find(|rule| rule.port == port && rule.method == method && rule.path == path)?;
    Some(rule.access)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_two_rules() {
        for (at, rule) in RULES.iter().enumerate() {
            let same = |other: &&Rule| {
                (other.port, other.method, other.path) == (rule.port, rule.method, rule.path)
            };
            assert_eq!(RULES.iter().filter(same).count(), 1, "{at}: {rule:?}");
        }
    }

    #[test]
    fn everything_of_sso_v1_is_for_administrators_only() {
        for rule in RULES
            .iter()
            .filter(|rule| rule.path.starts_with("/sso.v1."))
        {
            let administrators = matches!(
                rule.access,
                Access::Administrator(_) | Access::AdministratorOnly
            );
            assert!(administrators, "{rule:?}");
        }
    }
}
