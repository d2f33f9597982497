use std::{
    collections::HashMap,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};
use tower::{Layer, Service};

use crate::{Refused, Verifier};

/// When to try again where a token cannot be validated.
const RETRY: Duration = Duration::from_secs(1);

impl Verifier {
    /// A layer for tonic. Calls without a good access token in the metadata `authorization: Bearer`
    /// are answered by UNAUTHENTICATED, and by UNAVAILABLE where a token cannot be validated at the
    /// moment; the others go on with [`Claims`](crate::Claims) among the extensions of their
    /// request.
    pub fn grpc_layer(&self) -> GrpcLayer {
        GrpcLayer(self.clone())
    }
}

/// See [`Verifier::grpc_layer`].
#[derive(Debug, Clone)]
pub struct GrpcLayer(Verifier);

impl<S> Layer<S> for GrpcLayer {
    type Service = GrpcGuard<S>;

    fn layer(&self, inner: S) -> GrpcGuard<S> {
        GrpcGuard {
            inner,
            verifier: self.0.clone(),
        }
    }
}

/// A service behind a [`GrpcLayer`].
#[derive(Debug, Clone)]
pub struct GrpcGuard<S> {
    inner: S,
    verifier: Verifier,
}

/// A service of tonic goes by its name; behind a guard too.
impl<S: tonic::server::NamedService> tonic::server::NamedService for GrpcGuard<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B, R> Service<Request<B>> for GrpcGuard<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: Default,
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
        let verifier = self.verifier.clone();
        Box::pin(async move {
            match verifier.verify_headers(request.headers()).await {
                Ok(claims) => {
                    request.extensions_mut().insert(claims);
                    inner.call(request).await
                }
                Err(refused) => Ok(Status::from(refused).into_http()),
            }
        })
    }
}

/// With `google.rpc` details as those of `sso`: ErrorInfo, and RetryInfo where it helps.
impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        let mut details = ErrorDetails::new();
        details.set_error_info(refused.code(), "sso", HashMap::new());
        if refused == Refused::Unknowable {
            details.set_retry_info(Some(RETRY));
        }
        Self::with_error_details(refused.grpc_code(), refused.to_string(), details)
    }
}
