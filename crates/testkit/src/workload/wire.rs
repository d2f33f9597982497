//! Calls over the wire, and what their answers mean.

use std::{
    collections::HashMap,
    error::Error as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Method;
use serde_json::{Value, json};
use tonic::Code;

use crate::{
    history::{Action, Grant, History, Outcome, Reach, Why},
    http::{Http, Reply},
    persona::{Grpc, auth::ValidateRequest},
    process::Server,
};

/// After this a client gives up: longer than any deadline of the server.
const PATIENCE: Duration = Duration::from_secs(15);

/// The instances, and the history that every call is written into.
#[derive(Debug)]
pub(super) struct Wire {
    history: History,
    instances: Vec<(Http, Grpc)>,
    serial: AtomicU64,
    /// The access tokens by their serial numbers.
    access: Mutex<HashMap<u64, String>>,
}

impl Wire {
    pub(super) async fn new(history: History, servers: &[&Server]) -> Result<Self> {
        let mut instances = Vec::new();
        for server in servers {
            instances.push((server.http.clone(), server.grpc().await?));
        }
        Ok(Self {
            history,
            instances,
            serial: AtomicU64::new(0),
            access: Mutex::default(),
        })
    }

    pub(super) fn instances(&self) -> usize {
        self.instances.len()
    }

    pub(super) async fn register(
        &self,
        client: usize,
        at: usize,
        user: &str,
        password: &str,
    ) -> Outcome {
        let action = Action::Register {
            user: user.to_owned(),
            password: password.to_owned(),
        };
        let body = json!({ "email": email(user), "password": password });
        self.post(client, at, action, "/auth/registration", &body, None)
            .await
    }

    pub(super) async fn login(
        &self,
        client: usize,
        at: usize,
        user: &str,
        password: &str,
    ) -> Outcome {
        let action = Action::Login {
            user: user.to_owned(),
            password: password.to_owned(),
        };
        let body = json!({ "email": email(user), "password": password });
        self.post(client, at, action, "/auth/login", &body, None)
            .await
    }

    pub(super) async fn refresh(&self, client: usize, at: usize, grant: &Grant) -> Outcome {
        let action = Action::Refresh {
            session: grant.session.clone(),
            generation: grant.generation,
        };
        let body = json!({ "token": grant.refresh });
        self.post(client, at, action, "/auth/refresh", &body, None)
            .await
    }

    pub(super) async fn change_password(
        &self,
        client: usize,
        at: usize,
        grant: &Grant,
        (user, from, to): (&str, &str, &str),
    ) -> Outcome {
        let action = Action::ChangePassword {
            user: user.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
        };
        let body = json!({ "current_password": from, "new_password": to });
        let token = self.access(grant.access);
        self.post(client, at, action, "/auth/password", &body, Some(&token))
            .await
    }

    pub(super) async fn logout(&self, client: usize, at: usize, grant: &Grant) -> Outcome {
        let action = Action::Logout {
            session: grant.session.clone(),
        };
        let body = json!({ "token": grant.refresh });
        self.post(client, at, action, "/auth/logout", &body, None)
            .await
    }

    pub(super) async fn logout_everywhere(
        &self,
        client: usize,
        at: usize,
        user: &str,
        grant: &Grant,
    ) -> Outcome {
        let action = Action::LogoutEverywhere {
            user: user.to_owned(),
        };
        let body = json!({ "token": grant.refresh, "everywhere": true });
        self.post(client, at, action, "/auth/logout", &body, None)
            .await
    }

    pub(super) async fn validate(&self, client: usize, at: usize, grant: &Grant) -> Outcome {
        let action = Action::Validate {
            session: grant.session.clone(),
            access: grant.access,
        };
        let mut grpc = self.instances[at].1.clone();
        let token = self.access(grant.access);
        let call = async {
            let asked = grpc.validate(ValidateRequest { token });
            match tokio::time::timeout(PATIENCE, asked).await {
                Err(_) => Outcome::Unknown,
                Ok(Ok(_)) => Outcome::Done {
                    grant: None,
                    reach: None,
                },
                // Made by the client, whose connection was lost.
                Ok(Err(status)) if status.source().is_some() => Outcome::Unknown,
                Ok(Err(status)) => match status.code() {
                    Code::Unauthenticated => Outcome::Refused(Why::Token),
                    Code::Unavailable | Code::DeadlineExceeded => Outcome::Unavailable,
                    _ => Outcome::Refused(Why::Unexpected(status.to_string())),
                },
            }
        };
        self.history.record(client, at, action, call).await
    }

    async fn post(
        &self,
        client: usize,
        at: usize,
        action: Action,
        path: &str,
        body: &Value,
        token: Option<&str>,
    ) -> Outcome {
        let http = &self.instances[at].0;
        let call = async {
            let text = body.to_string();
            let sent = http.bearer(Method::POST, path, token, &text);
            match tokio::time::timeout(PATIENCE, sent).await {
                Err(_) | Ok(Err(_)) => Outcome::Unknown,
                Ok(Ok(reply)) => self.meaning(&reply),
            }
        };
        self.history.record(client, at, action, call).await
    }

    fn meaning(&self, reply: &Reply) -> Outcome {
        let code = reply.code();
        match (reply.status.as_u16(), code.as_str()) {
            (200 | 201, _) => match self.grant(reply) {
                Ok(grant) => Outcome::Done {
                    grant,
                    reach: reach(reply),
                },
                Err(error) => Outcome::Refused(Why::Unexpected(format!("{error:#}"))),
            },
            (401, "invalid_credentials") => Outcome::Refused(Why::Credentials),
            (401, _) => Outcome::Refused(Why::Token),
            (403, "user_disabled") => Outcome::Refused(Why::Disabled),
            (409, "user_exists") => Outcome::Refused(Why::Exists),
            (503, _) if reply.header("retry-after").is_empty() => {
                Outcome::Refused(Why::Unexpected("503 without Retry-After".to_owned()))
            }
            (503 | 504, _) => Outcome::Unavailable,
            (status, code) => Outcome::Refused(Why::Unexpected(format!("{status} {code}"))),
        }
    }

    /// The tokens of an answer; `None`: it has none.
    fn grant(&self, reply: &Reply) -> Result<Option<Grant>> {
        let (access, refresh) = (reply.text("access_token"), reply.text("refresh_token"));
        if access.is_empty() && refresh.is_empty() {
            return Ok(None);
        }
        let claims = claims(&refresh)?;
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        self.tokens().insert(serial, access);
        Ok(Some(Grant {
            session: claims["sid"].as_str().context("no sid")?.to_owned(),
            generation: claims["gen"].as_u64().context("no gen")?,
            refresh,
            access: serial,
        }))
    }

    fn access(&self, serial: u64) -> String {
        self.tokens().get(&serial).cloned().unwrap_or_default()
    }

    fn tokens(&self) -> std::sync::MutexGuard<'_, HashMap<u64, String>> {
        self.access.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn email(user: &str) -> String {
    format!("{user}@example.com")
}

fn reach(reply: &Reply) -> Option<Reach> {
    match reply.header("x-revocation") {
        "everywhere" => Some(Reach::Everywhere),
        "pending" => Some(Reach::Pending),
        _ => None,
    }
}

/// What a token says; nobody asks here whether it is genuine.
fn claims(token: &str) -> Result<Value> {
    let payload = token.split('.').nth(1).context("no token")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?)
}
