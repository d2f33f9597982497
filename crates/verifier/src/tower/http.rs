use std::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use tower::{Layer, Service};

use super::bearer;
use crate::{Refused, Verifier};

impl Verifier {
    /// A layer for axum and every other service of `http` types. Requests without a good access
    /// token in `Authorization: Bearer` are answered by 401, and by 503 where a token cannot be
    /// validated at the moment; the others go on with [`Claims`](crate::Claims) among their
    /// extensions (`Extension<Claims>` of axum).
    pub fn http_layer(&self) -> HttpLayer {
        HttpLayer {
            verifier: self.clone(),
        }
    }
}

/// See [`Verifier::http_layer`].
#[derive(Debug, Clone)]
pub struct HttpLayer {
    verifier: Verifier,
}

impl<S> Layer<S> for HttpLayer {
    type Service = HttpGuard<S>;

    fn layer(&self, inner: S) -> HttpGuard<S> {
        HttpGuard {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service behind a [`HttpLayer`].
#[derive(Debug, Clone)]
pub struct HttpGuard<S> {
    inner: S,
    layer: HttpLayer,
}

impl<S, B, R> Service<Request<B>> for HttpGuard<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: From<Bytes>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The one that is ready is called, its clone is made ready for the next.
        let next = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, next);
        let HttpLayer { verifier } = self.layer.clone();
        Box::pin(async move {
            let verified = match bearer(request.headers()) {
                Some(token) => verifier.verify(token).await,
                None => Err(Refused::Invalid),
            };
            match verified {
                Ok(claims) => {
                    request.extensions_mut().insert(claims);
                    inner.call(request).await
                }
                Err(refused) => Ok(answer(refused, request.headers())),
            }
        })
    }
}

/// As `sso` itself answers.
fn answer<R: From<Bytes>>(refused: Refused, asked: &HeaderMap) -> Response<R> {
    let id = asked.get("x-request-id").and_then(|id| id.to_str().ok());
    let body = serde_json::json!({
        "status": "Error",
        "error": refused.to_string(),
        "code": refused.code(),
        "request_id": id.filter(|id| is_request_id(id)).unwrap_or_default(),
    });
    let mut response = Response::new(R::from(Bytes::from(body.to_string())));
    *response.status_mut() = refused.http_status();
    let (name, value) = match refused {
        Refused::Unknowable => (header::RETRY_AFTER, "1"),
        Refused::Invalid | Refused::WrongType | Refused::Expired | Refused::Revoked => {
            (header::WWW_AUTHENTICATE, "Bearer")
        }
    };
    for (name, value) in [(name, value), (header::CONTENT_TYPE, "application/json")] {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

fn is_request_id(id: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (8..=64).contains(&id.len()) && id.bytes().all(is_good)
}
