//! Every rpc, in every role, in both forms.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use sso_core::{
    Scope,
    access::{Access, Rule},
};
use sso_testkit::{http::Http, persona::Persona, process::Server};

use super::{
    Line, caller_header,
    wire::{Field, Wire},
};
use crate::support::{admin_call, unique};

/// Reasons that are about who asks, not about what.
const REFUSED: [&str; 4] = [
    "caller_required",
    "forbidden",
    "invalid_token",
    "token_revoked",
];

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Stranger,
    Unknown,
    Service(Scope),
    User,
    Admin,
    FormerAdmin,
}

impl Role {
    fn all() -> Vec<Self> {
        let services = Scope::ALL.map(Self::Service);
        let people = [Self::User, Self::Admin, Self::FormerAdmin];
        [&[Self::Stranger, Self::Unknown][..], &services, &people].concat()
    }

    fn name(self) -> String {
        match self {
            Self::Stranger => "stranger".to_owned(),
            Self::Unknown => "unknown caller".to_owned(),
            Self::Service(scope) => format!("caller {scope}"),
            Self::User => "user".to_owned(),
            Self::Admin => "admin".to_owned(),
            Self::FormerAdmin => "former admin".to_owned(),
        }
    }

    const fn is_person(self) -> bool {
        matches!(self, Self::User | Self::Admin | Self::FormerAdmin)
    }

    fn is_let_in(self, access: Access, require_caller: bool) -> bool {
        let service = |scope| self == Self::Service(scope);
        match access {
            Access::Anyone => true,
            Access::Own => self.is_person() && self != Self::FormerAdmin,
            Access::KnownCaller => !require_caller || matches!(self, Self::Service(_)),
            Access::Caller(scope) => {
                service(scope) || (!require_caller && !matches!(self, Self::Service(_)))
            }
            Access::Administrator(scope) => service(scope) || self == Self::Admin,
            Access::AdministratorOnly => self == Self::Admin,
        }
    }
}

/// The port of a running server.
pub(super) struct ServicesPort<'a> {
    server: &'a Server,
    pages: Http,
    wire: Wire,
    require_caller: bool,
    event: String,
}

impl<'a> ServicesPort<'a> {
    pub(super) async fn open(server: &'a Server, require_caller: bool) -> Result<Self> {
        Persona::register(&server.http, &unique()).await?;
        let list = "/sso.v1.Events/List";
        let events = admin_call(server, Scope::EventsAdmin, list, &json!({})).await?;
        let event = events["events"][0]["eventId"].as_str();
        Ok(Self {
            server,
            pages: server.grpc_json(),
            wire: Wire::connect(server.grpc_address).await?,
            require_caller,
            event: event.context("no event")?.to_owned(),
        })
    }

    pub(super) async fn call_as_everybody(&self, rule: &Rule) -> Result<Line> {
        let mut line = Line::default();
        if rule.method == "GET" {
            let path = rule.path.replace("{*path}", "index.html");
            let reply = self.pages.get(&path, None).await?;
            ensure!(!reply.status.is_client_error(), "{rule:?}: {reply:?}");
            line.add("stranger", reply.status.as_u16().to_string());
            return Ok(line);
        }
        let is_stream = rule.path.ends_with("/Watch") || rule.path.contains("Reflection");
        for role in Role::all() {
            for own in [false, true] {
                if own && !(role.is_person() && is_about_a_user(rule.path)) {
                    continue;
                }
                let grpc = self.call(rule.path, role, own, true).await?;
                if !is_stream {
                    let json = self.call(rule.path, role, own, false).await?;
                    assert_eq!(grpc, json, "{role:?} {rule:?}");
                }
                let let_in = !REFUSED.contains(&grpc.as_str());
                let expected = role.is_let_in(rule.access, self.require_caller);
                assert_eq!(let_in, expected, "{role:?} {rule:?}: {grpc}");
                let whose = if own { " of himself" } else { "" };
                line.add(&format!("{}{whose}", role.name()), grpc);
            }
        }
        Ok(line)
    }

    /// A call that succeeds for whom it lets in. Whom and what it is about is new each time.
    async fn call(&self, path: &str, role: Role, own: bool, grpc: bool) -> Result<String> {
        let mut caller = Persona::register(&self.server.http, &unique()).await?;
        let headers = self.credentials(role, &mut caller).await?;
        let other = Persona::register(&self.server.http, &unique()).await?;
        let target = if own { &caller } else { &other };
        let message = self.message(path, target)?;
        if grpc {
            self.wire.grpc(path, &headers, &message).await
        } else {
            self.wire.json(path, &headers, &message).await
        }
    }

    async fn credentials(
        &self,
        role: Role,
        who: &mut Persona,
    ) -> Result<Vec<(&'static str, String)>> {
        Ok(match role {
            Role::Stranger => Vec::new(),
            Role::Unknown => vec![("x-caller-token", "nobody's".to_owned())],
            Role::Service(scope) => vec![caller_header(scope)],
            Role::User => vec![bearer(who)],
            Role::Admin => {
                self.set_admin(who, true).await?;
                who.login().await?;
                vec![bearer(who)]
            }
            Role::FormerAdmin => {
                self.set_admin(who, true).await?;
                who.login().await?;
                self.set_admin(who, false).await?;
                vec![bearer(who)]
            }
        })
    }

    async fn set_admin(&self, who: &Persona, to: bool) -> Result<()> {
        let body = json!({ "userId": who.id, "isAdmin": to });
        let path = "/sso.v1.Users/SetAdmin";
        admin_call(self.server, Scope::UsersAdmin, path, &body).await?;
        Ok(())
    }

    fn message(&self, path: &str, target: &Persona) -> Result<Vec<Field>> {
        let text = |number, name, text: &str| (number, name, Value::String(text.to_owned()));
        let user = || text(1, "user_id", &target.id);
        let password = text(2, "password", "another staple entirely");
        let credentials =
            |email: &str, secret: &str| vec![text(1, "email", email), text(2, "password", secret)];
        let new = format!("{}@example.com", unique());
        Ok(match path {
            "/auth.Auth/Register" | "/sso.v1.Users/Create" => {
                credentials(&new, "correct horse battery")
            }
            "/auth.Auth/Login" => credentials(&target.email, &target.password),
            "/auth.Auth/Refresh" => vec![text(1, "refresh_token", &target.refresh)],
            "/auth.Auth/Logout" => vec![text(1, "token", &target.refresh)],
            "/auth.Auth/Validate" => vec![text(1, "token", &target.access)],
            "/sso.v1.Users/SetAdmin" => vec![user(), (2, "is_admin", json!(true))],
            "/sso.v1.Users/SetPassword" => vec![user(), password],
            "/auth.Auth/IsAdmin"
            | "/sso.v1.Users/Get"
            | "/sso.v1.Users/Disable"
            | "/sso.v1.Users/Enable"
            | "/sso.v1.Users/EndSessions"
            | "/sso.v1.Users/Delete"
            | "/sso.v1.Users/ListSessions" => vec![user()],
            "/sso.v1.Events/Resend" | "/sso.v1.Events/Skip" => {
                vec![text(1, "event_id", &self.event)]
            }
            "/sso.v1.Users/List"
            | "/sso.v1.Events/List"
            | "/sso.v1.Keys/List"
            | "/sso.v1.Audit/List"
            | "/sso.v1.Revocations/Watch" => Vec::new(),
            "/sso.v1.Keys/Rotate" => vec![text(1, "use", "access")],
            // Whoever is let in is told that there is no such key: the sessions go on.
            "/sso.v1.Keys/Retire" => vec![text(1, "key_id", "of another server")],
            health if health.starts_with("/grpc.health.v1.") => Vec::new(),
            // `list_services`.
            reflection if reflection.starts_with("/grpc.reflection.") => {
                vec![text(7, "list_services", "*")]
            }
            other => bail!("write a request for {other}"),
        })
    }
}

fn is_about_a_user(path: &str) -> bool {
    let not = ["List", "Create"];
    path.starts_with("/sso.v1.Users/")
        && !not.iter().any(|name| path.ends_with(&format!("/{name}")))
}

fn bearer(who: &Persona) -> (&'static str, String) {
    ("authorization", format!("Bearer {}", who.access))
}
