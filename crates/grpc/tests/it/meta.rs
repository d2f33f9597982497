//! Reflection, health, and the documents.

use anyhow::{Context, Result};
use sso_grpc::{Health, WatchLimits};
use sso_testkit::persona;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tonic::{Code, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::harness::{PATIENCE, Port, Refused};

macro_rules! reflected {
    ($name:ident, $version:ident) => {
        #[tokio::test]
        async fn $name() -> Result<()> {
            use tonic_reflection::pb::$version::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest,
                server_reflection_response::MessageResponse,
            };

            let port = Port::start().await?;
            let mut client = ServerReflectionClient::new(persona::channel(port.address).await?);
            let ask = |message| ServerReflectionRequest {
                host: String::new(),
                message_request: Some(message),
            };
            let asked = [
                ask(MessageRequest::ListServices(String::new())),
                ask(MessageRequest::FileContainingSymbol(
                    "auth.Auth.Login".to_owned(),
                )),
                ask(MessageRequest::FileByFilename(
                    "google/protobuf/timestamp.proto".to_owned(),
                )),
            ];
            let stream = client
                .server_reflection_info(tokio_stream::iter(asked))
                .await?;
            let answers: Vec<_> = stream.into_inner().collect::<Result<_, _>>().await?;
            let mut answers = answers
                .into_iter()
                .filter_map(|answer| answer.message_response);
            let Some(MessageResponse::ListServicesResponse(list)) = answers.next() else {
                anyhow::bail!("no list");
            };
            let names: Vec<_> = list.service.iter().map(|s| s.name.as_str()).collect();
            for served in [
                "auth.Auth",
                "sso.v1.Users",
                "sso.v1.Events",
                "sso.v1.Audit",
                "sso.v1.Keys",
                "grpc.health.v1.Health",
                "grpc.reflection.v1.ServerReflection",
                "grpc.reflection.v1alpha.ServerReflection",
            ] {
                assert!(names.contains(&served), "{served} {names:?}");
            }
            for _ in 0..2 {
                let file = answers.next().context("no file")?;
                assert!(matches!(file, MessageResponse::FileDescriptorResponse(_)));
            }
            Ok(())
        }
    };
}

reflected!(reflection_v1_lists_the_services_and_their_files, v1);
reflected!(
    reflection_v1alpha_lists_the_services_and_their_files,
    v1alpha
);

#[tokio::test]
async fn health_is_what_the_switch_says_overall_and_by_service() -> Result<()> {
    let port = Port::start().await?;
    let client = HealthClient::new(persona::channel(port.address).await?);
    let check = async |service: &str| {
        let service = service.to_owned();
        let answer = client.clone().check(HealthCheckRequest { service }).await;
        answer.map(|answer| answer.into_inner().status())
    };
    assert_eq!(check("").await?, ServingStatus::NotServing);
    port.health.set_serving(true);
    for service in ["", "auth.Auth", "sso.v1.Users", "sso.v1.Keys"] {
        assert_eq!(check(service).await?, ServingStatus::Serving);
    }
    assert_eq!(
        check("nothing.Nothing").await.unwrap_err().code(),
        Code::NotFound
    );
    port.health.set_serving(false);
    assert_eq!(check("auth.Auth").await?, ServingStatus::NotServing);
    let body = serde_json::json!({ "service": "auth.Auth" });
    let reply = port
        .http
        .post("/grpc.health.v1.Health/Check", &body)
        .await?;
    assert_eq!(reply.json(), serde_json::json!({ "status": "NOT_SERVING" }));
    Ok(())
}

#[tokio::test]
async fn who_watches_is_told_of_changes_and_let_go_at_the_end() -> Result<()> {
    let port = Port::start().await?;
    let mut client = HealthClient::new(persona::channel(port.address).await?);
    let mut watch = async |service: &str| {
        let service = service.to_owned();
        Ok::<_, tonic::Status>(
            client
                .watch(HealthCheckRequest { service })
                .await?
                .into_inner(),
        )
    };
    let mut overall = watch("").await?;
    let mut unknown = watch("nothing.Nothing").await?;
    let mut next = async || {
        let message = timeout(PATIENCE, overall.message()).await??;
        anyhow::Ok(message.map(|message| message.status()))
    };
    assert_eq!(next().await?, Some(ServingStatus::NotServing));
    port.health.set_serving(true);
    assert_eq!(next().await?, Some(ServingStatus::Serving));
    let first = unknown.message().await?.map(|message| message.status());
    assert_eq!(first, Some(ServingStatus::ServiceUnknown));
    // Told again only when it changes.
    for (able, status) in [
        (true, None),
        (false, Some(ServingStatus::NotServing)),
        (false, None),
        (true, Some(ServingStatus::Serving)),
    ] {
        port.health.set_able(able);
        if status.is_some() {
            assert_eq!(next().await?, status);
        }
    }
    port.health.set_serving(false);
    port.health.set_able(true);
    assert_eq!(next().await?, Some(ServingStatus::NotServing));
    assert_eq!(next().await?, None);
    Ok(())
}

#[tokio::test]
async fn a_connection_watches_only_so_much_and_others_are_not_kept_out_by_it() -> Result<()> {
    let limits = WatchLimits {
        per_connection: 2,
        overall: 3,
    };
    let port = Port::with(|options| options.health = Health::with_limits(limits)).await?;
    let connect = async || {
        let channel = persona::channel(port.address).await?;
        anyhow::Ok(HealthClient::new(channel))
    };
    let watch = async |client: &HealthClient<Channel>| {
        let answer = client.clone().watch(HealthCheckRequest::default()).await;
        let mut stream = answer?.into_inner();
        let first = stream.message().await?;
        Ok::<_, tonic::Status>((stream, first))
    };
    let (greedy, modest) = (connect().await?, connect().await?);
    let held = [watch(&greedy).await?, watch(&greedy).await?];
    let refused = watch(&greedy).await.err().context("let in")?;
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let reasons = Refused::of(&refused);
    assert_eq!(reasons.reason, "rate_limited");
    let _other = watch(&modest).await?;
    let refused = watch(&modest).await.err().context("let in beyond all")?;
    assert_eq!(refused.code(), Code::ResourceExhausted);
    // Checking is no watching.
    greedy.clone().check(HealthCheckRequest::default()).await?;
    drop(held);
    timeout(PATIENCE, async {
        while watch(&modest).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn who_watches_does_not_hold_up_a_drain() -> Result<()> {
    let port = Port::start().await?;
    port.health.set_serving(true);
    let mut client = HealthClient::new(persona::channel(port.address).await?);
    let mut watch = client
        .watch(HealthCheckRequest::default())
        .await?
        .into_inner();
    assert!(watch.message().await?.is_some());
    port.health.set_serving(false);
    port.stop.cancel();
    timeout(PATIENCE, port.server).await???;
    Ok(())
}

#[tokio::test]
async fn swagger_ui_is_served_whole_and_asks_nobody_else() -> Result<()> {
    let port = Port::start().await?;
    let redirect = port.http.get("/sw", None).await?;
    assert_eq!(
        (redirect.status.as_u16(), redirect.header("location")),
        (303, "/sw/")
    );
    let page = port.http.get("/sw/", None).await?;
    assert_eq!(page.header("content-type"), "text/html");
    let text = String::from_utf8_lossy(&page.bytes).into_owned();
    assert!(
        !text.contains("//unpkg") && !text.contains("https://"),
        "{text}"
    );
    for asset in [
        "swagger-ui.css",
        "swagger-ui-bundle.js",
        "swagger-initializer.js",
    ] {
        let reply = port.http.get(&format!("/sw/{asset}"), None).await?;
        assert_eq!(reply.status, 200, "{asset}");
        assert!(text.contains(asset), "{asset}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert!(
            reply
                .header("content-security-policy")
                .starts_with("default-src 'self'")
        );
    }
    let initializer = port.http.get("/sw/swagger-initializer.js", None).await?;
    assert!(String::from_utf8_lossy(&initializer.bytes).contains("/sw/doc.json"));
    let document = port.http.get("/sw/doc.json", None).await?;
    assert_eq!(document.header("content-type"), "application/json");
    assert_eq!(document.json(), sso_grpc::openapi());
    Ok(())
}

#[tokio::test]
async fn the_document_describes_every_json_route_with_the_comments_of_the_proto() -> Result<()> {
    let document = sso_grpc::openapi();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().context("no paths")?;
    let mut ids = std::collections::HashSet::new();
    for (path, item) in paths {
        let operation = &item["post"];
        assert!(ids.insert(operation["operationId"].to_string()), "{path}");
        for code in ["200", "400", "413", "415", "500", "503", "504"] {
            assert!(operation["responses"][code].is_object(), "{path} {code}");
        }
    }
    for (short, long) in [
        ("/sso/register", "/auth.Auth/Register"),
        ("/sso/login", "/auth.Auth/Login"),
        ("/sso/refresh", "/auth.Auth/Refresh"),
        ("/sso/is-admin", "/auth.Auth/IsAdmin"),
        ("/sso/logout", "/auth.Auth/Logout"),
        ("/sso/validate", "/auth.Auth/Validate"),
    ] {
        assert!(paths.contains_key(short) && paths.contains_key(long));
        let summary = paths[short]["post"]["summary"].as_str().unwrap_or_default();
        assert!(!summary.is_empty(), "{short}");
    }
    let exists = &paths["/sso/register"]["post"]["responses"]["409"]["content"];
    let example = &exists["application/json"]["examples"]["user_exists"]["value"];
    assert_eq!(example["code"], 6);
    let schemas = &document["components"]["schemas"];
    let login = &schemas["auth.LoginRequest"];
    assert_eq!(login["required"], serde_json::json!(["email", "password"]));
    assert_eq!(
        login["properties"]["email"]["examples"][0],
        "ada@example.org"
    );
    assert_eq!(
        schemas["auth.ValidateResponse"]["examples"][0]["isAdmin"],
        false
    );
    Ok(())
}
