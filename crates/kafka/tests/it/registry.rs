//! The client of the registry, and the stand-in that it is tested on: statuses and codes as Confluent
//! documents them.

use std::sync::Arc;

use anyhow::Result;
use serde_json::json;
use sso_config::remote::Credential;
use sso_kafka::{
    COMPATIBILITY, REGISTRATION_SCHEMA,
    registry::{Credentials, Registered, Registry as Client, RegistryError},
};
use sso_testkit::{http::Http, servers::registry::Registry};

use crate::support::{client, registry_settings};

const SUBJECT: &str = "registration-value";
const BREAKING: &str = "syntax = \"proto3\"; package Registration.v1;
    message RegistrationMessage { int64 Email = 1; }";

#[tokio::test]
async fn a_schema_is_registered_looked_up_and_judged() -> Result<()> {
    let registry = Registry::in_memory()?;
    let client = client(&registry)?;
    assert_eq!(client.look_up(SUBJECT, REGISTRATION_SCHEMA).await?, None);
    assert_eq!(client.level(SUBJECT).await?, "BACKWARD");
    client.set_level(SUBJECT, COMPATIBILITY).await?;
    assert_eq!(client.level(SUBJECT).await?, COMPATIBILITY);
    let id = client.register(SUBJECT, REGISTRATION_SCHEMA).await?;
    // Comments and spaces make no other schema.
    let commented = format!("// a comment\n{REGISTRATION_SCHEMA}");
    assert_eq!(client.register(SUBJECT, &commented).await?, id);
    let found = client.look_up(SUBJECT, REGISTRATION_SCHEMA).await?;
    assert_eq!(found, Some(Registered { id, version: 1 }));
    assert_eq!(
        client.schema(id).await?.as_deref(),
        Some(REGISTRATION_SCHEMA)
    );
    assert_eq!(client.schema(77).await?, None);

    let judged = client.compatible(SUBJECT, BREAKING).await?;
    assert!(!judged.compatible);
    assert!(
        judged.messages[0].contains("FIELD_SCALAR_KIND_CHANGED"),
        "{judged:?}"
    );
    let refused = client.register(SUBJECT, BREAKING).await;
    assert!(
        matches!(refused, Err(RegistryError::Incompatible(_))),
        "{refused:?}"
    );
    let broken = client.register(SUBJECT, "no schema").await;
    assert!(
        matches!(broken, Err(RegistryError::Invalid(_))),
        "{broken:?}"
    );
    // What is known by its id is not asked for again.
    let before = registry.requests();
    client.schema(id).await?;
    assert_eq!(registry.requests(), before);
    Ok(())
}

#[tokio::test]
async fn the_next_address_is_asked_when_one_is_away() -> Result<()> {
    let mut first = Registry::in_memory()?;
    let mut second = Registry::in_memory()?;
    let mut settings = registry_settings(&first.url());
    settings.urls.push(second.url());
    let client = Client::new(&settings)?;
    client.level(SUBJECT).await?;
    assert_eq!((first.requests(), second.requests()), (1, 0));
    first.go_away();
    client.level(SUBJECT).await?;
    // The one that answered is asked first from then on.
    first.come_back()?;
    client.level(SUBJECT).await?;
    assert_eq!((first.requests(), second.requests()), (1, 2));
    second.fail(Some(503));
    client.level(SUBJECT).await?;
    assert_eq!(first.requests(), 2);
    // One that refuses us, or that is none, is left for the next as well.
    first.fail(Some(401));
    second.fail(None);
    client.level(SUBJECT).await?;
    client.level(SUBJECT).await?;
    assert_eq!((first.requests(), second.requests()), (3, 5));
    second.fail(Some(404));
    let answer = client.level(SUBJECT).await;
    assert!(
        matches!(answer, Err(RegistryError::Foreign(_))),
        "{answer:?}"
    );
    first.go_away();
    second.go_away();
    let answer = client.level(SUBJECT).await;
    assert!(
        matches!(answer, Err(RegistryError::Unreachable(_))),
        "{answer:?}"
    );
    Ok(())
}

#[tokio::test]
async fn credentials_are_shown_over_tls_of_an_authority_of_its_own() -> Result<()> {
    let registry = Registry::in_memory_tls()?;
    registry.require_basic("me", "my password");
    let mut settings = registry_settings(&registry.url());
    let untrusted = Client::new(&settings)?.level(SUBJECT).await.unwrap_err();
    assert!(untrusted.to_string().contains("certificate"), "{untrusted}");
    settings.ca = Some(registry.authority()?);
    let refused = Client::new(&settings)?.level(SUBJECT).await;
    assert_eq!(refused, Err(RegistryError::Unauthorised(registry.url())));
    settings.credentials = Some(Credentials::Basic {
        user: "me".into(),
        password: Credential::new("my password"),
    });
    Client::new(&settings)?.level(SUBJECT).await?;
    registry.require_bearer("my token");
    settings.credentials = Some(Credentials::Bearer(Credential::new("my token")));
    Client::new(&settings)?.level(SUBJECT).await?;
    assert!(!format!("{settings:?}").contains("my token"));
    Ok(())
}

#[tokio::test]
async fn what_is_no_registry_is_told() -> Result<()> {
    // It speaks HTTP and knows nothing of subjects.
    let other = crate::oauth::Server::start("a", "b", "c").await?;
    let url = other.url().replace("/token", "");
    let client = Arc::new(Client::new(&registry_settings(&url))?);
    let answer = client.level(SUBJECT).await.unwrap_err();
    assert!(matches!(answer, RegistryError::Unauthorised(_)), "{answer}");
    Ok(())
}

/// Method, path, the schema or the level to send, status, and `error_code` or body. `V` stands for the
/// subject's versions.
const ANSWERS: [(&str, &str, &str, u16, &str); 32] = [
    ("GET", "/subjects", "", 200, "[]"),
    ("POST", "/subjects/S", REGISTRATION_SCHEMA, 404, "40401"),
    ("GET", "V", "", 404, "40401"),
    (
        "POST",
        "/compatibility/V/latest",
        REGISTRATION_SCHEMA,
        200,
        r#"{"is_compatible":true}"#,
    ),
    ("POST", "V", "", 422, "422"),
    ("POST", "V", "nonsense", 422, "42201"),
    ("POST", "V", "{\"schema\":\"\\\"string\\\"\"}", 422, "42201"),
    ("POST", "V", REGISTRATION_SCHEMA, 200, r#"{"id":1}"#),
    ("POST", "V", REGISTRATION_SCHEMA, 200, r#"{"id":1}"#),
    ("GET", "V", "", 200, "[1]"),
    ("POST", "V", BREAKING, 409, "409"),
    (
        "POST",
        "/compatibility/V",
        BREAKING,
        200,
        r#"{"is_compatible":false}"#,
    ),
    ("POST", "/subjects/S", BREAKING, 404, "40403"),
    ("GET", "V/2", "", 404, "40402"),
    ("GET", "V/none", "", 422, "42202"),
    ("GET", "/schemas/ids/9", "", 404, "40403"),
    ("GET", "/schemas/ids/x", "", 404, "404"),
    (
        "GET",
        "/config",
        "",
        200,
        r#"{"compatibilityLevel":"BACKWARD"}"#,
    ),
    ("GET", "/config/S", "", 404, "40408"),
    (
        "PUT",
        "/config/S",
        r#"{"compatibility":"ALL"}"#,
        422,
        "42203",
    ),
    (
        "PUT",
        "/config/S",
        r#"{"compatibility":"none"}"#,
        200,
        r#"{"compatibility":"NONE"}"#,
    ),
    ("POST", "V", BREAKING, 200, r#"{"id":2}"#),
    (
        "DELETE",
        "/config/S",
        "",
        200,
        r#"{"compatibilityLevel":"NONE"}"#,
    ),
    ("DELETE", "/config/S", "", 404, "40401"),
    ("DELETE", "V/2?permanent=true", "", 404, "40407"),
    ("DELETE", "V/2", "", 200, "2"),
    ("DELETE", "V/2", "", 404, "40406"),
    ("DELETE", "/subjects/S", "", 200, "[1]"),
    ("DELETE", "/subjects/S", "", 404, "40404"),
    ("DELETE", "/subjects/S?permanent=true", "", 200, "[1,2]"),
    ("PUT", "V", "", 405, "405"),
    ("GET", "/nothing", "", 404, "404"),
];

#[tokio::test]
async fn the_stand_in_answers_as_the_interface_is_documented() -> Result<()> {
    let registry = Registry::in_memory()?;
    let http = Http::new(registry.url().trim_start_matches("http://").parse()?);
    for (method, path, body, status, answer) in ANSWERS {
        let path = path.replace('V', "/subjects/S/versions").replace("//", "/");
        let body = match body {
            "" => String::new(),
            body if body.starts_with('{') => body.to_owned(),
            text => json!({ "schemaType": "PROTOBUF", "schema": text }).to_string(),
        };
        let reply = http.send(method.parse()?, &path, &[], body).await?;
        let json = reply.json();
        let found = json.get("error_code").unwrap_or(&json);
        assert_eq!(
            (reply.status.as_u16(), &*found.to_string()),
            (status, answer),
            "{method} {path}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_schema_may_refer_to_another_as_producers_of_others_do() -> Result<()> {
    let registry = Registry::in_memory()?;
    let http = Http::new(registry.url().trim_start_matches("http://").parse()?);
    let place = "syntax = \"proto3\"; package common; message Place { string city = 1; }";
    registry.register("place", place)?;
    let text = "syntax = \"proto3\"; package Registration.v1; import \"common/place.proto\";
        message RegistrationMessage { string Email = 1; common.Place home = 9; }";
    let post = async |references: serde_json::Value| {
        let body = json!({ "schemaType": "PROTOBUF", "schema": text, "references": references });
        let path = "/subjects/registration-value/versions";
        http.send("POST".parse()?, path, &[], body.to_string())
            .await
    };
    let refused = post(json!([])).await?;
    assert_eq!(refused.json()["error_code"], 42_201, "{refused:?}");
    let wrong = json!([{ "name": "common/place.proto", "subject": "place", "version": 7 }]);
    let refused = post(wrong).await?;
    let why = refused.json()["message"].to_string();
    assert!(why.contains("No schema reference found"), "{why}");
    let right = json!([{ "name": "common/place.proto", "subject": "place", "version": 1 }]);
    let id = post(right.clone()).await?.json()["id"].clone();
    assert_eq!(post(right.clone()).await?.json()["id"], id);
    let shown = http.get(&format!("/schemas/ids/{id}"), None).await?;
    assert_eq!(shown.json()["references"], right);
    let by = http.get("/subjects/place/versions/1/referencedby", None);
    assert_eq!(by.await?.json(), json!([id]));
    let path = "/subjects/place/versions/1";
    let kept = http.send("DELETE".parse()?, path, &[], "").await?;
    assert_eq!(kept.json()["error_code"], 42_206, "{kept:?}");
    // Our client reads its text, as consumers do.
    let id = u32::try_from(id.as_u64().unwrap_or_default())?;
    assert_eq!(client(&registry)?.schema(id).await?.as_deref(), Some(text));
    Ok(())
}
