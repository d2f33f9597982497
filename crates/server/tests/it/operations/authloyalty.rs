//! The move from authloyalty, step by step as `docs/operations/authloyalty.md` has it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sso_testkit::{
    persona::auth,
    process::{Server, Site},
};

use crate::{
    keys::header,
    support::{eventually_within, site, validate},
};

/// What the system of before signs with; its clients know it too.
const SECRET: &str = "the secret of authloyalty, long enough";
/// Of the password `test`, as its table has it.
const TEST: &str = "$2a$10$thBhIpjEmH22GNr9dxhbbeMwnG16sIATjtNR6vahFUhy7wf0r58NC";
const ADA: &str = "11111111-2222-4333-8444-555555555555";
const BOB: &str = "11111111-2222-4333-8444-555555555556";

/// A token as authloyalty made it.
fn token_of_before(id: &str, email: &str, exp: i64) -> String {
    let claims = json!({ "token_type": "access", "uid": id, "email": email, "exp": exp });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!(
        "{}.{}",
        part(&json!({ "alg": "HS256", "typ": "JWT" })),
        part(&claims)
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()));
    format!("{message}.{signature}")
}

/// What the server says of a token, by HTTP and by gRPC alike.
async fn said(server: &Server, token: &str) -> Result<String> {
    let reply = server.http.get("/auth/info", Some(token)).await?;
    let valid = server.grpc().await?.validate(validate(token)).await;
    ensure!(
        valid.is_ok() == (reply.status == 200),
        "{reply:?} {valid:?}"
    );
    Ok(reply.code())
}

async fn login(server: &Server, email: &str) -> Result<Value> {
    let body = json!({ "email": email, "password": "test" });
    let reply = server.http.post("/auth/login", &body).await?;
    ensure!(reply.status == 200, "{email}: {reply:?}");
    Ok(reply.json())
}

fn seconds() -> Result<i64> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the binary goes by the machine's clock"
    )]
    let now = std::time::SystemTime::now();
    Ok(now
        .duration_since(std::time::UNIX_EPOCH)?
        .as_secs()
        .try_into()?)
}

/// Step 1: the table as `\copy` has dumped it.
fn import(site: &Site) -> Result<()> {
    let table = format!(
        "uuid,email,pass_hash,is_admin,created,modified,message_status\n\
         {ADA},Ada@example.com,{TEST},t,2024-08-01 10:20:30,2024-08-01 10:20:30,successful\n\
         {BOB},bob@example.com,{TEST},f,2024-08-01 10:20:30,2024-08-01 10:20:30,inProgress\n"
    );
    std::fs::write(site.folder().join("users.csv"), table)?;
    let import = ["user", "import", "--from", "authloyalty-csv", "users.csv"];
    let said = site.run_ok(&[&import[..], &["--report", "refused.csv"]].concat())?;
    ensure!(said.contains("2 imported"), "{said}");
    Ok(())
}

#[tokio::test]
async fn users_keep_their_passwords_and_tokens_are_good_until_they_expire() -> Result<()> {
    let mut site = site()?;
    site.set("SSO__TOKENS__MODE", "hs256")
        .set("SSO__TOKENS__HS256_SECRET", SECRET);
    import(&site)?;
    let mut server = site.serve().await?;

    // Step 2: what clients hold goes on, to its end and no longer.
    let now = seconds()?;
    let long = token_of_before(ADA, "Ada@example.com", now + 3600);
    let short = token_of_before(BOB, "bob@example.com", now + 1);
    ensure!(said(&server, &long).await?.is_empty());
    ensure!(said(&server, &short).await?.is_empty());
    let mut service = server.grpc().await?;
    let admin = |id: &str| auth::IsAdminRequest {
        user_id: id.to_owned(),
    };
    ensure!(service.is_admin(admin(ADA)).await?.into_inner().is_admin);
    ensure!(!service.is_admin(admin(BOB)).await?.into_inner().is_admin);

    // Passwords are those of before; the first login replaces their hashes.
    let ada = login(&server, "ada@example.com").await?;
    let access = ada["access_token"].as_str().context("no token")?.to_owned();
    ensure!(
        header(&access, "alg")? == "HS256",
        "clients verify by the secret"
    );
    let database = site.data_dir().join("sso.db");
    eventually_within(Duration::from_mins(1), "another hash", async || {
        let database = rusqlite::Connection::open(&database)?;
        let mut hashes = database.prepare("select password_hash from users order by email")?;
        let hashes = hashes.query_map([], |row| row.get::<_, String>(0))?;
        let hashes: Vec<String> = hashes.collect::<Result<_, _>>()?;
        Ok(hashes[0].starts_with("$argon2id$") && hashes[1] == TEST)
    })
    .await?;
    login(&server, "ada@example.com").await?;
    login(&server, "bob@example.com").await?;
    // Ten seconds of leeway.
    eventually_within(Duration::from_mins(1), "its end", async || {
        let reply = server.http.get("/auth/info", Some(&short)).await?;
        Ok(reply.code() == "token_expired")
    })
    .await?;
    ensure!(said(&server, &short).await? == "token_expired");

    // Without the mode: the ring signs, and the secret is worth nothing.
    server.terminate()?;
    ensure!(server.wait(Duration::from_mins(1)).await?.success());
    site.unset("SSO__TOKENS__MODE")
        .unset("SSO__TOKENS__HS256_SECRET");
    let server = site.serve().await?;
    ensure!(said(&server, &long).await? == "invalid_token");
    ensure!(said(&server, &access).await? == "invalid_token");
    let ada = login(&server, "ada@example.com").await?;
    let access = ada["access_token"].as_str().context("no token")?;
    ensure!(header(access, "alg")? == "EdDSA");
    ensure!(said(&server, access).await?.is_empty());
    Ok(())
}
