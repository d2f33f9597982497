//! `grpc.health.v1`: overall (`""`) and by service.

use std::pin::Pin;

use futures_util::{Stream, stream};
use sso_web::{Client, RequestId};
use tokio::sync::watch;
use tonic::{Request, Response, Status, async_trait};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{self, HealthServer},
};

use crate::{
    methods, status,
    watchers::{WatchLimits, Watchers},
};

/// Whether the services of this port are served, for load balancers and clients. All of them are
/// or none. Clones are the same switch.
#[derive(Debug, Clone)]
pub struct Health {
    state: watch::Sender<State>,
    watchers: Watchers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    Serving,
    /// Nothing that is asked of it can be done.
    Unable,
    /// Watches end here, so that a drain need not wait for them.
    Draining,
}

impl Health {
    /// Not serving yet; [`WatchLimits::default`].
    pub fn new() -> Self {
        Self::with_limits(WatchLimits::default())
    }

    /// Not serving yet.
    pub fn with_limits(limits: WatchLimits) -> Self {
        Self {
            state: watch::Sender::new(State::Starting),
            watchers: Watchers::new(limits),
        }
    }

    /// Says that the services are served, or that they are no more. `false` also ends the streams of
    /// those who watch, after it has told them.
    pub fn set_serving(&self, serving: bool) {
        self.state.send_replace(if serving {
            State::Serving
        } else {
            State::Draining
        });
    }

    /// Whether what is served can do its work: while it cannot, it is NOT_SERVING, and watches go on.
    pub fn set_able(&self, able: bool) {
        self.state.send_if_modified(|state| {
            let next = match *state {
                State::Serving if !able => State::Unable,
                State::Unable if able => State::Serving,
                other => other,
            };
            std::mem::replace(state, next) != next
        });
    }

    pub(crate) fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService(self.clone()))
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

/// The service behind a [`Health`].
pub(crate) struct HealthService(Health);

type Watch = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[async_trait]
impl health_server::Health for HealthService {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !is_known(&request.get_ref().service) {
            return Err(Status::not_found("unknown service"));
        }
        let state = *self.0.state.borrow();
        Ok(Response::new(answer(status_of(state))))
    }

    type WatchStream = Watch;

    /// Ends with its connection, its client, or this process. An unknown service is SERVICE_UNKNOWN, and stays it: this port gets no new ones.
    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Watch>, Status> {
        let client = request.extensions().get::<Client>();
        let connection = client.map(|client| client.connection);
        let watcher = self.0.watchers.admit(connection).map_err(|refused| {
            let id = request.extensions().get::<RequestId>();
            status::refuse(&refused, id.unwrap_or(&RequestId::default()))
        })?;
        let known = is_known(&request.get_ref().service);
        let first = (self.0.state.subscribe(), None, watcher);
        let states = stream::unfold(first, move |(mut changes, told, watcher)| async move {
            if told.is_some() {
                if told == Some(State::Draining) {
                    return None;
                }
                changes.changed().await.ok()?;
            }
            let state = *changes.borrow_and_update();
            let status = if known {
                status_of(state)
            } else {
                ServingStatus::ServiceUnknown
            };
            Some((Ok(answer(status)), (changes, Some(state), watcher)))
        });
        Ok(Response::new(Box::pin(states)))
    }
}

fn is_known(service: &str) -> bool {
    service.is_empty()
        || methods::all()
            .iter()
            .any(|method| method.service == service)
}

const fn status_of(state: State) -> ServingStatus {
    match state {
        State::Serving => ServingStatus::Serving,
        State::Starting | State::Unable | State::Draining => ServingStatus::NotServing,
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}
