//! Secrets of those who administer: through every rpc of `sso.v1`, as a service and as an
//! administrator, in both forms, and through the commands for keys, events and the audit log.

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::Method;
use serde_json::{Value, json};
use sso_core::{
    Scope,
    access::{Access, Port, RULES},
};
use sso_testkit::{
    http::Reply,
    persona::{
        self, Persona,
        v1::{self, keys_client::KeysClient, users_client::UsersClient},
    },
    process::{Server, Site},
};
use tonic::{Request, metadata::AsciiMetadataValue};

use super::Given;
use crate::support::{digest_of, token_of};

/// The next master key.
const NEXT_MASTER: [u8; 32] = *b"canary master key of 32 bytes 02";
const WRONG: &str = "canary: a wrong secret";

async fn post(server: &Server, who: (&str, &str), path: &str, body: &Value) -> Result<Reply> {
    let headers = [("content-type", "application/json"), who];
    let json = server.grpc_json();
    json.send(Method::POST, path, &headers, body.to_string())
        .await
}

/// Everything of an answer, be it good or bad: none of these shows a secret.
fn said(given: &mut Given, what: &str, reply: &Reply) {
    let bytes = [format!("{:?}", reply.headers).as_bytes(), &reply.bytes].concat();
    given.said.push((what.to_owned(), bytes));
}

/// Every rpc of `sso.v1`, also of those that come, by whoever may call it, and by whoever may not.
pub(super) async fn rpcs(site: &Site, server: &Server, given: &mut Given) -> Result<()> {
    for scope in Scope::ALL {
        let token = token_of(scope);
        given.secrets.add("a caller's token", token.as_bytes());
        let digest = digest_of(&token);
        given.secrets.add("its digest", digest.as_bytes());
    }
    let mut root = Persona::register(&server.http, "root").await?;
    given
        .secrets
        .add("root's password", root.password.as_bytes());
    site.run_ok(&["user", "set-admin", &root.email])?;
    root.login().await?;
    given.tokens_of(&root);
    let bearer = format!("Bearer {}", root.access);
    let forged = format!("{bearer}x");
    for rule in RULES.iter().filter(|rule| {
        rule.port == Port::Grpc
            && rule.path.starts_with("/sso.v1.")
            && !rule.path.ends_with("/Watch")
    }) {
        let victim = Persona::register(&server.http, &crate::support::unique()).await?;
        given.secrets.add("a password", victim.password.as_bytes());
        given.tokens_of(&victim);
        let body = json!({
            "userId": victim.id,
            "isAdmin": false,
            "password": "canary: a set secret",
            "email": "",
            "use": "access",
        });
        let mut callers = vec![("authorization", bearer.clone())];
        if let Access::Administrator(scope) = rule.access {
            callers.push(("x-caller-token", token_of(scope)));
        }
        callers.push(("authorization", forged.clone()));
        callers.push(("x-caller-token", WRONG.to_owned()));
        for (header, credential) in &callers {
            let reply = post(server, (header, credential), rule.path, &body).await?;
            ensure!(reply.status != 500, "{}: {reply:?}", rule.path);
            said(given, rule.path, &reply);
            // Secrets where they do not belong.
            let wrong = json!({
                "userId": WRONG, "password": 7, "email": WRONG, "eventId": WRONG, "keyId": WRONG,
                "use": WRONG, "actor": WRONG, "action": WRONG, "result": WRONG, "cursor": WRONG,
                "status": WRONG, "since": WRONG, "name": WRONG, "birthday": WRONG, WRONG: WRONG,
            });
            let reply = post(server, (header, credential), rule.path, &wrong).await?;
            said(given, rule.path, &reply);
        }
    }
    given
        .secrets
        .add("a password that was set", b"canary: a set secret");
    grpc(server, given, &bearer).await
}

/// The same in gRPC's own form, of those that take a secret or a key.
async fn grpc(server: &Server, given: &mut Given, bearer: &str) -> Result<()> {
    let channel = persona::channel(server.grpc_address).await?;
    let create = v1::CreateUserRequest {
        email: "dora@example.com".to_owned(),
        password: "canary: the secret of dora".to_owned(),
        ..v1::CreateUserRequest::default()
    };
    given
        .secrets
        .add("dora's password", create.password.as_bytes());
    let token: AsciiMetadataValue = token_of(Scope::UsersAdmin).parse()?;
    let mut users =
        UsersClient::with_interceptor(channel.clone(), move |mut request: Request<()>| {
            let token = token.clone();
            request.metadata_mut().insert("x-caller-token", token);
            Ok(request)
        });
    users.create(create.clone()).await?;
    let again = users.create(create).await.err().context("created twice")?;
    let weak = v1::SetPasswordRequest {
        user_id: WRONG.to_owned(),
        password: WRONG.to_owned(),
    };
    let bad = users.set_password(weak).await.err().context("no UUID")?;
    let mut keys = KeysClient::new(channel);
    let mut retire = Request::new(v1::RetireKeyRequest {
        key_id: WRONG.to_owned(),
    });
    retire
        .metadata_mut()
        .insert("authorization", bearer.parse()?);
    let none = keys.retire(retire).await.err().context("no such key")?;
    for refusal in [again, bad, none] {
        let status = format!("{refusal:?}").into_bytes();
        let status = [&status, refusal.details()].concat();
        given.said.push(("the status of an rpc".to_owned(), status));
    }
    Ok(())
}

/// The commands, those that fail too. The last takes the server's keys away.
pub(super) fn commands(site: &Site, given: &mut Given) -> Result<()> {
    given.secrets.add("the next master key", &NEXT_MASTER);
    std::fs::write(site.folder().join("next.key"), STANDARD.encode(NEXT_MASTER))?;
    // One byte short.
    std::fs::write(
        site.folder().join("short.key"),
        STANDARD.encode(&NEXT_MASTER[..31]),
    )?;
    let reseal = ["keys", "reseal", "--new-master-key-file"];
    let commands: [(&[&str], bool); 18] = [
        (&["keys", "list"], true),
        (&["keys", "list", "--output", "json"], true),
        (&["keys", "rotate"], true),
        (
            &["keys", "rotate", "--use", "refresh", "--output", "json"],
            true,
        ),
        (&["keys", "retire", WRONG], false),
        (&["events", "list"], true),
        (&["events", "list", "--output", "json"], true),
        (&["events", "resend", WRONG], false),
        (&["user", "export", "dora@example.com"], true),
        (&["user", "end-sessions", "dora@example.com"], true),
        (&["audit"], true),
        (&["audit", "--output", "json", "--limit", "10000"], true),
        (&["audit", "--actor", "service:users-admin"], true),
        (&["audit", "--user", WRONG], false),
        (&["audit", "--actor", "service:nobody"], true),
        (&[&reseal[..], &["short.key"]].concat(), false),
        (&[&reseal[..], &["next.key"]].concat(), true),
        (&["keys", "list"], false),
    ];
    for (command, succeeds) in commands {
        let output = site.run(command)?;
        let said = [output.stdout, output.stderr].concat();
        ensure!(
            output.status.success() == succeeds,
            "{command:?}: {}",
            String::from_utf8_lossy(&said)
        );
        // What the caller typed himself comes back to him.
        if !command.contains(&WRONG) {
            given
                .said
                .push((format!("sso {}", command.join(" ")), said));
        }
    }
    Ok(())
}
