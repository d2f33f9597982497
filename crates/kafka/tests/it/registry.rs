//! The client of the registry, and the stand-in that it is tested on: statuses and codes as Confluent
//! documents them.

use std::sync::Arc;

use anyhow::Result;
use http::Method;
use serde_json::{Value, json};
use sso_kafka::{
    COMPATIBILITY, REGISTRATION_SCHEMA, Secret,
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
        password: Secret::new("my password"),
    });
    Client::new(&settings)?.level(SUBJECT).await?;
    registry.require_bearer("my token");
    settings.credentials = Some(Credentials::Bearer(Secret::new("my token")));
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

/// Status and `error_code`; the body where it is right.
async fn ask(http: &Http, method: Method, path: &str, body: Value) -> Result<(u16, Value)> {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let reply = http.send(method, path, &[], body).await?;
    let json = reply.json();
    let code = json.get("error_code").cloned();
    Ok((reply.status.as_u16(), code.unwrap_or(json)))
}

#[tokio::test]
async fn the_stand_in_answers_as_the_interface_is_documented() -> Result<()> {
    let registry = Registry::in_memory()?;
    let http = Http::new(registry.url().trim_start_matches("http://").parse()?);
    let schema = |text: &str| json!({ "schemaType": "PROTOBUF", "schema": text });
    let (get, post, put, delete) = (Method::GET, Method::POST, Method::PUT, Method::DELETE);
    let good = schema(REGISTRATION_SCHEMA);
    let versions = "/subjects/registration-value/versions";
    let check = "/compatibility/subjects/registration-value/versions";
    for (method, path, body, status, answer) in [
        (&get, "/subjects", json!(null), 200, json!([])),
        (
            &post,
            "/subjects/registration-value",
            good.clone(),
            404,
            json!(40401),
        ),
        (&get, versions, json!(null), 404, json!(40401)),
        (
            &post,
            &*format!("{check}/latest"),
            good.clone(),
            200,
            json!({ "is_compatible": true }),
        ),
        (&post, versions, json!(null), 422, json!(422)),
        (&post, versions, schema("nonsense"), 422, json!(42201)),
        (
            &post,
            versions,
            json!({ "schema": "\"string\"" }),
            422,
            json!(42201),
        ),
        (&post, versions, good.clone(), 200, json!({ "id": 1 })),
        (&post, versions, good.clone(), 200, json!({ "id": 1 })),
        (&get, versions, json!(null), 200, json!([1])),
        (&post, versions, schema(BREAKING), 409, json!(409)),
        (
            &post,
            check,
            schema(BREAKING),
            200,
            json!({ "is_compatible": false }),
        ),
        (
            &post,
            "/subjects/registration-value",
            schema(BREAKING),
            404,
            json!(40403),
        ),
        (
            &get,
            &*format!("{versions}/2"),
            json!(null),
            404,
            json!(40402),
        ),
        (
            &get,
            &*format!("{versions}/none"),
            json!(null),
            422,
            json!(42202),
        ),
        (&get, "/schemas/ids/9", json!(null), 404, json!(40403)),
        (&get, "/schemas/ids/x", json!(null), 404, json!(404)),
        (
            &get,
            "/config",
            json!(null),
            200,
            json!({ "compatibilityLevel": "BACKWARD" }),
        ),
        (
            &get,
            "/config/registration-value",
            json!(null),
            404,
            json!(40408),
        ),
        (
            &put,
            "/config/registration-value",
            json!({ "compatibility": "ALL" }),
            422,
            json!(42203),
        ),
        (
            &put,
            "/config/registration-value",
            json!({ "compatibility": "none" }),
            200,
            json!({ "compatibility": "NONE" }),
        ),
        (&post, versions, schema(BREAKING), 200, json!({ "id": 2 })),
        (
            &delete,
            "/config/registration-value",
            json!(null),
            200,
            json!({ "compatibilityLevel": "NONE" }),
        ),
        (
            &delete,
            "/config/registration-value",
            json!(null),
            404,
            json!(40401),
        ),
        (
            &delete,
            &*format!("{versions}/2?permanent=true"),
            json!(null),
            404,
            json!(40407),
        ),
        (
            &delete,
            &*format!("{versions}/2"),
            json!(null),
            200,
            json!(2),
        ),
        (
            &delete,
            &*format!("{versions}/2"),
            json!(null),
            404,
            json!(40406),
        ),
        (
            &delete,
            "/subjects/registration-value",
            json!(null),
            200,
            json!([1]),
        ),
        (
            &delete,
            "/subjects/registration-value",
            json!(null),
            404,
            json!(40404),
        ),
        (
            &delete,
            "/subjects/registration-value?permanent=true",
            json!(null),
            200,
            json!([1, 2]),
        ),
        (&put, versions, json!(null), 405, json!(405)),
        (&get, "/nothing", json!(null), 404, json!(404)),
    ] {
        let answered = ask(&http, method.clone(), path, body).await?;
        assert_eq!(answered, (status, answer), "{method} {path}");
    }
    Ok(())
}
