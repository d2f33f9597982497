//! Secrets that went through every route, rpc and command are in no log, metric, error, output, nor
//! in the database.

mod administration;

use std::{fmt::Write as _, path::Path};

use anyhow::{Context, Result, ensure};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::Method;
use serde_json::json;
use sso_testkit::{
    http::Reply,
    persona::{Persona, auth},
    process::{Server, Site},
};

use crate::support::{callers, eventually, site};

const MASTER: [u8; 32] = *b"canary master key of 32 bytes 01";

/// What must be nowhere, by what it is.
#[derive(Default)]
struct Secrets(Vec<(String, Vec<u8>)>);

impl Secrets {
    /// In every form that a careless program writes.
    fn add(&mut self, what: &str, secret: &[u8]) {
        let mut hex = String::new();
        for byte in secret {
            let _ = write!(hex, "{byte:02x}");
        }
        let forms = [
            ("", secret.to_vec()),
            (" in hex", hex.clone().into_bytes()),
            (" in HEX", hex.to_uppercase().into_bytes()),
            (" in base64", unaligned(&STANDARD.encode(secret))),
            (" in base64url", unaligned(&URL_SAFE_NO_PAD.encode(secret))),
            (" as numbers", numbers(secret)),
        ];
        for (form, bytes) in forms {
            self.0.push((format!("{what}{form}"), bytes));
        }
    }

    /// A token: its signature alone would do.
    fn add_token(&mut self, what: &str, token: &str) {
        let signature = token.rsplit('.').next().unwrap_or_default();
        self.add(what, signature.as_bytes());
    }

    fn are_not_in(&self, place: &str, bytes: &[u8]) -> Result<()> {
        // The library's search in texts is built to be fast, also here; each byte is a character.
        let text = latin(bytes);
        for (what, secret) in &self.0 {
            if let Some(at) = text.find(&latin(secret)) {
                let before = text[..at].chars().rev().take(200).collect::<Vec<_>>();
                let before: String = before.into_iter().rev().collect();
                let after: String = text[at..].chars().take(100).collect();
                anyhow::bail!("{what} is in {place}: {:?}", before + &after);
            }
        }
        Ok(())
    }
}

fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Without the end, which depends on what follows.
fn unaligned(encoded: &str) -> Vec<u8> {
    encoded.as_bytes()[..encoded.len() - 4].to_vec()
}

/// As `Debug` writes bytes.
fn numbers(secret: &[u8]) -> Vec<u8> {
    let text = format!("{secret:?}");
    text.trim_matches(['[', ']']).as_bytes().to_vec()
}

/// Passwords, and everything that a server gives out.
struct Given {
    secrets: Secrets,
    /// What was answered or printed that must hold no secret.
    said: Vec<(String, Vec<u8>)>,
}

impl Given {
    fn error(&mut self, of: &str, reply: &Reply) -> Result<()> {
        ensure!(!reply.status.is_success(), "{of} succeeded: {reply:?}");
        self.said.push((of.to_owned(), reply.bytes.to_vec()));
        let headers = format!("{:?}", reply.headers).into_bytes();
        self.said.push((format!("headers of {of}"), headers));
        Ok(())
    }

    fn tokens_of(&mut self, who: &Persona) {
        self.secrets.add_token("an access token", &who.access);
        self.secrets.add_token("a refresh token", &who.refresh);
    }
}

/// Every route, with and without success.
async fn routes(server: &Server, given: &mut Given) -> Result<Persona> {
    let http = &server.http;
    let mut alice = Persona::register(http, "alice").await?;
    given.secrets.add("a password", alice.password.as_bytes());
    given.tokens_of(&alice);
    alice.login().await?;
    given.tokens_of(&alice);
    alice.refresh().await?;
    given.tokens_of(&alice);
    given
        .secrets
        .add("a new password", b"canary: the next secret");
    alice.change_password("canary: the next secret").await?;
    given.tokens_of(&alice);
    for path in ["/auth/info", "/auth/sessions"] {
        let reply = http.get(path, Some(&alice.access)).await?;
        given.said.push((path.to_owned(), reply.bytes.to_vec()));
    }
    let wrong = "canary: a wrong secret";
    given.secrets.add("a wrong password", wrong.as_bytes());
    let bodies = [
        json!({ "email": alice.email, "password": wrong }),
        json!({ "email": wrong, "password": wrong, "name": 7, "birthday": wrong }),
        json!({ "token": wrong, "everywhere": wrong }),
        json!({ "token": format!("{}x", alice.access) }),
        json!({ "current_password": wrong, "new_password": wrong }),
        json!({ wrong: wrong }),
        json!(wrong),
    ];
    let paths = [
        "registration",
        "login",
        "refresh",
        "logout",
        "password",
        wrong,
    ];
    for path in paths.map(|name| format!("/auth/{}", name.replace(' ', "%20"))) {
        for body in &bodies {
            let token = Some(alice.access.as_str());
            let reply = http
                .bearer(Method::POST, &path, token, &body.to_string())
                .await?;
            given.error(&format!("{path} {body}"), &reply)?;
        }
        let query = format!(
            "{path}?password={}&token={}",
            wrong.replace(' ', "+"),
            alice.access
        );
        given.error(&query, &http.get(&query, None).await?)?;
    }
    for token in [wrong, &format!("{}x", alice.access), &alice.refresh] {
        for path in ["/auth/info", "/auth/sessions"] {
            given.error(path, &http.get(path, Some(token)).await?)?;
        }
        let path = "/auth/sessions/x";
        let reply = http.bearer(Method::DELETE, path, Some(token), "").await?;
        given.error(path, &reply)?;
    }
    Ok(alice)
}

/// Every rpc, as gRPC and as JSON, with and without success.
async fn rpcs(server: &Server, given: &mut Given) -> Result<()> {
    let mut grpc = server.grpc().await?;
    let (email, password) = ("bob@example.com", "canary: the secret of bob");
    given.secrets.add("bob's password", password.as_bytes());
    let register = |email: &str, password: &str| auth::RegisterRequest {
        email: email.to_owned(),
        password: password.to_owned(),
    };
    let login = |email: &str, password: &str| auth::LoginRequest {
        email: email.to_owned(),
        password: password.to_owned(),
    };
    grpc.register(register(email, password)).await?;
    let tokens = grpc.login(login(email, password)).await?.into_inner();
    let refresh = auth::RefreshRequest {
        refresh_token: tokens.refresh_token.clone(),
    };
    let next = grpc.refresh(refresh).await?.into_inner();
    for token in [
        &tokens.access_token,
        &next.access_token,
        &next.refresh_token,
    ] {
        given.secrets.add_token("a token of an rpc", token);
    }
    grpc.validate(auth::ValidateRequest {
        token: next.access_token.clone(),
    })
    .await?;
    let wrong = "canary: a wrong secret";
    let mut refusals = Vec::new();
    refusals.extend(grpc.register(register(email, password)).await.err());
    refusals.extend(grpc.register(register(wrong, wrong)).await.err());
    refusals.extend(grpc.login(login(email, wrong)).await.err());
    let token = || wrong.to_owned();
    let refresh_token = token();
    refusals.extend(
        grpc.refresh(auth::RefreshRequest { refresh_token })
            .await
            .err(),
    );
    refusals.extend(
        grpc.validate(auth::ValidateRequest { token: token() })
            .await
            .err(),
    );
    refusals.extend(
        grpc.logout(auth::LogoutRequest { token: token() })
            .await
            .err(),
    );
    let user_id = token();
    refusals.extend(grpc.is_admin(auth::IsAdminRequest { user_id }).await.err());
    ensure!(refusals.len() == 7, "{refusals:?}");
    for refusal in refusals {
        let said = format!("{refusal:?}").into_bytes();
        given.said.push(("the status of an rpc".to_owned(), said));
        given
            .said
            .push(("its details".to_owned(), refusal.details().to_vec()));
    }
    let json = server.grpc_json();
    for rpc in [
        "register", "login", "refresh", "validate", "logout", "is-admin",
    ] {
        for body in [
            json!({ "email": email, "password": wrong, "token": wrong }),
            json!({ "email": 7, wrong: wrong, "refresh_token": wrong, "user_id": wrong }),
        ] {
            let path = format!("/sso/{rpc}");
            given.error(&path, &json.post(&path, &body).await?)?;
        }
    }
    Ok(())
}

/// Every command that there is.
fn commands(site: &Site, given: &mut Given) -> Result<()> {
    let secret = "canary: a secret of the operator";
    given
        .secrets
        .add("an operator's password", secret.as_bytes());
    std::fs::write(site.folder().join("password"), format!("{secret}\n"))?;
    let password = ["--password-file", "password"];
    let commands: [&[&str]; 16] = [
        &[&["user", "add", "carol@example.com"], &password[..]].concat(),
        &[
            &["user", "set-password", "carol@example.com"],
            &password[..],
        ]
        .concat(),
        &["user", "list"],
        &["user", "list", "--output", "json"],
        &["user", "show", "carol@example.com"],
        &["user", "show", "carol@example.com", "--output", "json"],
        &["user", "set-admin", "carol@example.com"],
        &["user", "disable", "carol@example.com"],
        &["user", "enable", "carol@example.com"],
        &["migrate", "status"],
        &["migrate", "up"],
        &["config", "check"],
        &["config", "show"],
        &["config", "example"],
        &["healthcheck"],
        &["openapi"],
    ];
    // What fails tells no more.
    let failing: [&[&str]; 4] = [
        &[&["user", "add", "carol@example.com"], &password[..]].concat(),
        &[
            "config",
            "check",
            "--set",
            "keys.master_key=canary: a wrong secret",
        ],
        &[
            "config",
            "show",
            "--set",
            "keys.master_kye=canary: a wrong secret",
        ],
        &["user", "show", "nobody@example.com"],
    ];
    for (command, succeeds) in commands
        .iter()
        .map(|command| (command, true))
        .chain(failing.iter().map(|command| (command, false)))
    {
        let output = site.run(command)?;
        let said = [output.stdout, output.stderr].concat();
        ensure!(
            output.status.success() == succeeds,
            "{command:?}: {}",
            String::from_utf8_lossy(&said)
        );
        given
            .said
            .push((format!("sso {}", command.join(" ")), said));
    }
    Ok(())
}

/// Every file of the database.
fn files(folder: &Path, given: &mut Given) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        given
            .said
            .push((path.display().to_string(), std::fs::read(&path)?));
    }
    Ok(())
}

#[tokio::test]
async fn secrets_are_in_no_log_metric_error_output_or_database() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__KEYS__MASTER_KEY", STANDARD.encode(MASTER))
        .set("SSO__GRPC__CALLERS", callers())
        .set("SSO__GRPC__REQUIRE_CALLER", false)
        .set("SSO__THROTTLE__ENABLED", false)
        .set("SSO__LOG__LEVEL", "trace");
    let server = site.serve().await?;
    let mut given = Given {
        secrets: Secrets::default(),
        said: Vec::new(),
    };
    given.secrets.add("the master key", &MASTER);
    let alice = routes(&server, &mut given).await?;
    rpcs(&server, &mut given).await?;
    administration::rpcs(&site, &server, &mut given).await?;
    commands(&site, &mut given)?;
    eventually("the events are delivered", async || {
        Ok(site.log()?.matches("event delivered").count() >= 3)
    })
    .await?;
    let metrics = server.admin.get("/metrics", None).await?;
    given
        .said
        .push(("the metrics".to_owned(), metrics.bytes.to_vec()));
    files(&site.data_dir(), &mut given)?;
    alice.logout(&alice.access, true).await?;
    administration::commands(&site, &mut given)?;
    drop(server);
    files(&site.data_dir(), &mut given)?;
    given
        .said
        .push(("the log".to_owned(), site.log()?.into_bytes()));

    // The search finds what is there.
    let hidden = format!("x{}y", STANDARD.encode([&MASTER[..], b"more"].concat()));
    let found = given.secrets.are_not_in("a test", hidden.as_bytes());
    found.err().context("a secret is not found where it is")?;
    for (place, bytes) in &given.said {
        given.secrets.are_not_in(place, bytes)?;
    }
    Ok(())
}
