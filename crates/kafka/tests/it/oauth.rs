//! An authorisation server: the client credentials grant, tokens without a signature.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Result;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use time::OffsetDateTime;
use tokio::{net::TcpListener, task::JoinHandle};

pub(crate) struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

struct Known {
    credentials: String,
    subject: String,
}

impl Server {
    /// Gives tokens of this subject to this client.
    pub(crate) async fn start(client: &str, secret: &str, subject: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        // RFC 6749, section 2.3.1.
        let secret = secret.replace(' ', "%20").replace('\'', "%27");
        let known = Arc::new(Known {
            credentials: format!("Basic {}", STANDARD.encode(format!("{client}:{secret}"))),
            subject: subject.to_owned(),
        });
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let known = Arc::clone(&known);
                let service = service_fn(move |request| answer(Arc::clone(&known), request));
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Ok(Self { address, task })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/token", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    known: Arc<Known>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, http::Error> {
    let shown = request.headers().get("authorization");
    let right = shown.is_some_and(|shown| shown.as_bytes() == known.credentials.as_bytes());
    let body = request.into_body().collect().await;
    let body = body
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    if !right || body != "grant_type=client_credentials&scope=kafka" {
        return Response::builder()
            .status(StatusCode::UNAUTHORIZED)
            .body(Full::default());
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "the broker goes by the machine's clock"
    )]
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let claims = json!({ "sub": known.subject, "iat": now, "exp": now + 300 });
    let token = format!("{}.{}.", part(json!({ "alg": "none" })), part(claims));
    let answer = json!({ "access_token": token, "token_type": "Bearer", "expires_in": 300 });
    Response::builder().body(Full::from(answer.to_string()))
}
