//! The layers for axum and for tonic, each in front of a service that listens.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{Extension, Router, routing::get};
use tokio::task::JoinHandle;
use tonic::{
    Code, Request, Status,
    service::interceptor::InterceptedService,
    transport::{Server as Grpc, server::TcpIncoming},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt;

use super::*;

/// Who called, as the service was told.
type Told = Arc<Mutex<Vec<String>>>;

fn last(told: &Told) -> Option<String> {
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    told.pop()
}

/// Ends what it runs when it is dropped.
struct Service(JoinHandle<()>);

impl Drop for Service {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The health service of tonic, which is told who is calling.
async fn grpc_service(
    verifier: &Verifier,
    told: &Told,
) -> Result<(HealthClient<tonic::transport::Channel>, Service)> {
    let (_, health) = tonic_health::server::health_reporter();
    let told = Arc::clone(told);
    let behind = InterceptedService::new(health, move |request: Request<()>| {
        let claims = request.extensions().get::<Claims>();
        let claims = claims.ok_or_else(|| Status::internal("nobody is calling"))?;
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        told.push(claims.user_id.to_string());
        Ok(request)
    });
    let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into())?;
    let address = incoming.local_addr()?;
    let serving = Grpc::builder()
        .layer(verifier.grpc_layer())
        .add_service(behind)
        .serve_with_incoming(incoming);
    let service = Service(tokio::spawn(async move {
        let _ = serving.await;
    }));
    let channel = sso_testkit::persona::channel(address).await?;
    Ok((HealthClient::new(channel), service))
}

async fn check(
    client: &mut HealthClient<tonic::transport::Channel>,
    token: Option<&str>,
) -> Result<Option<Status>> {
    let mut request = Request::new(HealthCheckRequest::default());
    if let Some(token) = token {
        let bearer = format!("Bearer {token}").parse()?;
        request.metadata_mut().insert("authorization", bearer);
    }
    Ok(client.check(request).await.err())
}

#[tokio::test]
async fn a_tonic_service_is_told_who_is_calling_and_nobody_else_gets_in() -> Result<()> {
    let server = known_site()?.serve().await?;
    let verifier = verifier(&server, WhenSilent::Refuse).await?;
    let told = Told::default();
    let (mut client, _service) = grpc_service(&verifier, &told).await?;
    let alice = Persona::register(&server.http, "alice").await?;
    assert!(check(&mut client, Some(&alice.access)).await?.is_none());
    assert_eq!(last(&told), Some(alice.id.clone()));
    let (signed, _) = alice.access.rsplit_once('.').unwrap_or_default();
    for (bad, reason) in [
        (None, "invalid_token"),
        (Some("a.b.c".to_owned()), "invalid_token"),
        (Some(format!("{signed}.")), "invalid_token"),
        (Some(alice.refresh.clone()), "wrong_token_type"),
    ] {
        let refused = check(&mut client, bad.as_deref()).await?;
        let refused = refused.unwrap_or_else(|| Status::ok("accepted"));
        assert_eq!(refused.code(), Code::Unauthenticated, "{bad:?}");
        let info = refused.get_details_error_info();
        let info = info.map(|info| (info.reason, info.domain));
        assert_eq!(info, Some((reason.to_owned(), "sso".to_owned())), "{bad:?}");
    }
    let reply = alice.logout(&alice.access, false).await?;
    assert_eq!(reply.header("x-revocation"), "everywhere");
    let since = Instant::now();
    loop {
        let refused = check(&mut client, Some(&alice.access)).await?;
        if let Some(refused) = refused {
            let reason = refused.get_details_error_info().map(|info| info.reason);
            assert_eq!(reason.as_deref(), Some("token_revoked"));
            break;
        }
        ensure!(since.elapsed() < BOUND, "accepted after the bound");
    }

    // Silence is no refusal: the caller is told to come again.
    let bob = Persona::register(&server.http, "bob").await?;
    drop(server);
    eventually("nothing is heard", async || Ok(!verifier.ready())).await?;
    let unavailable = check(&mut client, Some(&bob.access)).await?;
    let unavailable = unavailable.unwrap_or_else(|| Status::ok("accepted"));
    assert_eq!(unavailable.code(), Code::Unavailable);
    assert!(unavailable.get_details_retry_info().is_some());
    Ok(())
}

#[tokio::test]
async fn an_axum_service_says_when_to_come_again_while_nothing_is_heard() -> Result<()> {
    let server = known_site()?.serve().await?;
    let verifier = verifier(&server, WhenSilent::Refuse).await?;
    let who = |Extension(claims): Extension<Claims>| async move { claims.user_id.to_string() };
    let router = Router::new()
        .route("/", get(who))
        .layer(verifier.http_layer());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let service = sso_testkit::http::Http::new(listener.local_addr()?);
    let _serving = Service(tokio::spawn(async move {
        let _ = axum::serve(listener, router).await;
    }));
    let alice = Persona::register(&server.http, "alice").await?;
    let reply = service.get("/", Some(&alice.access)).await?;
    assert_eq!(
        (reply.status.as_u16(), &*reply.bytes),
        (200, alice.id.as_bytes())
    );
    drop(server);
    eventually("nothing is heard", async || Ok(!verifier.ready())).await?;
    let reply = service.get("/", Some(&alice.access)).await?;
    assert_eq!(
        (reply.status.as_u16(), reply.code()),
        (503, "unavailable".to_owned())
    );
    assert_eq!(reply.header("retry-after"), "1");
    // What is none is none whether or not anything is heard.
    assert_eq!(service.get("/", Some("a.b.c")).await?.status, 401);
    Ok(())
}
