//! `sso.v1.Revocations/Watch`: who may go on watching, and until when.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use sso_core::{
    Scope, Scopes, Service,
    ports::Callers,
    usecases::{administer::Change, admit::Doorkeeper},
};
use sso_testkit::{
    app::password_of,
    persona::{
        self,
        v1::{
            WatchRevocationsRequest, WatchRevocationsResponse, revocation::Over,
            revocations_client::RevocationsClient,
        },
    },
};
use tokio::time::timeout;
use tonic::{Code, Request, Status, Streaming};

use crate::harness::{PATIENCE, Port, Refused};

/// What the operator has written down of the one caller; it changes while he watches.
#[derive(Default)]
struct Book(AtomicU8);

const KNOWN: u8 = 0;
const WITHOUT_SCOPE: u8 = 1;
const GONE: u8 = 2;

impl Callers for Book {
    fn by_token(&self, token: &str) -> Option<Service> {
        let scope = match self.0.load(Ordering::Relaxed) {
            KNOWN => Scope::RevocationsRead,
            WITHOUT_SCOPE => Scope::Auth,
            _ => return None,
        };
        (token == "secret").then(|| Service {
            name: "shop".into(),
            scopes: Scopes::from_iter([scope]),
        })
    }

    fn by_certificate(&self, _: &[String]) -> Option<Service> {
        None
    }
}

async fn port(book: &Arc<Book>) -> Result<Port> {
    let callers = Arc::clone(book);
    Port::with(|options| {
        options.doorkeeper = Doorkeeper {
            callers,
            require_caller: true,
        };
    })
    .await
}

type Stream = Streaming<WatchRevocationsResponse>;

async fn watch(port: &Port, header: (&'static str, &str)) -> Result<Result<Stream, Status>> {
    let channel = persona::channel(port.address).await?;
    let mut request = Request::new(WatchRevocationsRequest {});
    request.metadata_mut().insert(header.0, header.1.parse()?);
    let answer = RevocationsClient::new(channel).watch(request).await;
    Ok(answer.map(tonic::Response::into_inner))
}

async fn end(stream: &mut Stream) -> Result<Status> {
    let ended = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => anyhow::bail!("it ended without a word"),
                Err(status) => return Ok(status),
            }
        }
    };
    timeout(PATIENCE, ended).await?
}

fn why(failure: &sso_core::Failure) -> anyhow::Error {
    anyhow::anyhow!("{failure:?}")
}

fn word_of(ended: &Status) -> (Code, String) {
    let Refused { code, reason, .. } = Refused::of(ended);
    (code, reason)
}

const CALLER: (&str, &str) = ("x-caller-token", "secret");

#[tokio::test]
async fn a_stream_ends_with_its_caller_or_his_scope() -> Result<()> {
    for (change, code, word) in [
        (GONE, Code::Unauthenticated, "caller_required"),
        (WITHOUT_SCOPE, Code::PermissionDenied, "forbidden"),
    ] {
        let book = Arc::new(Book::default());
        let port = port(&book).await?;
        let mut stream = watch(&port, CALLER).await??;
        assert!(stream.message().await?.context("nothing")?.beat.is_some());
        book.0.store(change, Ordering::Relaxed);
        let ended = end(&mut stream).await?;
        assert_eq!(word_of(&ended), (code, word.to_owned()));
        let refused = watch(&port, CALLER).await?.err().context("let in")?;
        assert_eq!(word_of(&refused), (code, word.to_owned()));
    }
    Ok(())
}

#[tokio::test]
async fn an_administrators_stream_ends_when_his_token_expires() -> Result<()> {
    let port = port(&Arc::default()).await?;
    let root = port
        .app
        .register("root")
        .await
        .map_err(|failure| why(&failure))?;
    port.app
        .change(root.user, Change::GrantAdmin)
        .await
        .map_err(|failure| why(&failure))?;
    let root = port
        .app
        .login("root", &password_of("root"))
        .await
        .map_err(|failure| why(&failure))?;
    let bearer = format!("Bearer {}", root.access_token);
    let mut stream = watch(&port, ("authorization", &bearer)).await??;
    stream.message().await?.context("nothing")?;
    // By less than a lease at once: the stream is to end for this reason and no other.
    for _ in 0..115 {
        port.app.advance(Duration::from_secs(8)).await?;
    }
    let ended = end(&mut stream).await?;
    let expired = "token_expired".to_owned();
    assert_eq!(word_of(&ended), (Code::Unauthenticated, expired));
    Ok(())
}

#[tokio::test]
async fn a_lease_that_is_over_is_told_to_services() -> Result<()> {
    let port = port(&Arc::default()).await?;
    let mut stream = watch(&port, CALLER).await??;
    let beat = stream.message().await?.context("nothing")?.beat;
    let trusted = beat.and_then(|beat| beat.trusted_for).context("no lease")?;
    assert!(trusted.seconds > 0);
    port.app.clock.advance(Duration::from_secs(11));
    loop {
        let beat = stream.message().await?.context("nothing")?.beat;
        let beat = beat.context("no beat")?;
        if beat.trusted_for == Some(prost_types::Duration::default()) {
            assert!(beat.sent_after.context("no time")?.seconds >= 11);
            return Ok(());
        }
    }
}

#[tokio::test]
async fn a_deadline_of_the_call_ends_the_stream() -> Result<()> {
    let port = port(&Arc::default()).await?;
    let headers = [("x-caller-token", "secret"), ("grpc-timeout", "700m")];
    let raw = timeout(
        PATIENCE,
        port.raw("/sso.v1.Revocations/Watch", &headers, 0, &[]),
    )
    .await??;
    assert_eq!(raw.status()?.code(), Code::DeadlineExceeded);
    Ok(())
}

#[tokio::test]
async fn a_large_set_comes_in_parts_with_the_beat_last() -> Result<()> {
    use sso_core::{ports::store::Revoked, values::SessionId};
    let port = port(&Arc::default()).await?;
    let until = port.app.sso.clock.now() + Duration::from_mins(15);
    for number in 0..1_200_u128 {
        let session = SessionId::from_uuid(uuid::Uuid::from_u128(number));
        port.app
            .sso
            .revocations
            .obey(Revoked::Session(session), until);
    }
    let mut stream = watch(&port, CALLER).await??;
    let (mut parts, mut told) = (Vec::new(), std::collections::HashSet::new());
    loop {
        let message = stream.message().await?.context("nothing")?;
        parts.push(message.revocations.len());
        for entry in message.revocations {
            if let Some(Over::SessionId(session)) = entry.over {
                told.insert(session);
            }
        }
        if message.beat.is_some() {
            break;
        }
    }
    assert_eq!(parts, [500, 500, 200, 0]);
    assert_eq!(told.len(), 1_200);
    Ok(())
}
