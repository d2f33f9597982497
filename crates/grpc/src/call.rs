//! One call of a method of ours: who asks, and how it ends.

use std::time::Duration;

use axum::http::{Extensions, header::USER_AGENT};
use sso_core::{
    Agent, Caller, Failure, FieldError, Fields, Identity, Origin, ports::store::Reach,
    usecases::admit::Credentials,
};
use sso_web::{Client, RequestId, trace_context::TraceContext};
use tonic::{
    Request, Response, Status,
    metadata::{MetadataMap, MetadataValue},
};

use crate::{
    deadline,
    door::{self, Admitted},
    status,
};

/// How far a revocation has reached when it is acknowledged: the word of `Reach`.
pub(crate) const REVOCATION: &str = "sso-revocation";

/// An extension of requests that were JSON: members of the wrong type. They are missing in the
/// message, so a handler that did not look here would say that they are required; it must look.
#[derive(Debug, Clone)]
pub(crate) struct Misread(pub Vec<FieldError>);

/// What a call brought besides its message.
pub(crate) struct Call {
    metadata: MetadataMap,
    extensions: Extensions,
}

impl Call {
    /// Takes a request apart.
    pub(crate) fn open<T>(request: Request<T>) -> (Self, T) {
        let (metadata, extensions, message) = request.into_parts();
        let call = Self {
            metadata,
            extensions,
        };
        (call, message)
    }

    /// Begins the parsing of the message with what is known to be wrong with it.
    pub(crate) fn fields(&self) -> Fields {
        let mut fields = Fields::default();
        if let Some(Misread(bad)) = self.extensions.get() {
            for bad in bad {
                fields.bad(bad.clone());
            }
        }
        fields
    }

    /// Whoever calls, as whom the door let him in.
    pub(crate) fn caller(&self) -> Caller {
        let headers = self.metadata.as_ref();
        let agent = headers
            .get(USER_AGENT)
            .map(|agent| Agent::new(&String::from_utf8_lossy(agent.as_bytes())));
        let stands = self.extensions.get::<TraceContext>();
        let (traceparent, tracestate) = stands.map(TraceContext::texts).unzip();
        let origin = Origin {
            address: self.extensions.get().map(|client: &Client| client.address),
            agent,
            traceparent,
            tracestate: tracestate.flatten(),
        };
        let admitted = self.extensions.get::<Admitted>();
        Caller {
            origin,
            identity: admitted.map_or(Identity::Anonymous, |Admitted(identity)| identity.clone()),
        }
    }

    /// The credentials that the call showed, for what lasts longer than a request.
    pub(crate) fn credentials(&self) -> Credentials<'_> {
        door::credentials(self.metadata.as_ref(), &self.extensions)
    }

    /// How long the caller waits at most, if it says so.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        // What is malformed was refused before.
        deadline::asked(self.metadata.as_ref()).ok().flatten()
    }

    /// A failure of this call as a status, logged.
    pub(crate) fn refuse(&self, failure: &Failure) -> Status {
        let id = self.extensions.get::<RequestId>();
        status::refuse(failure, id.unwrap_or(&RequestId::default()))
    }

    /// The answer of what revoked something, which has reached so far.
    pub(crate) fn revoked<T>(message: T, reach: Reach) -> Response<T> {
        let mut answer = Response::new(message);
        let reach = MetadataValue::from_static(reach.as_str());
        answer.metadata_mut().insert(REVOCATION, reach);
        answer
    }

    /// The end of a call. A failure is logged here and nowhere else.
    pub(crate) fn end<T>(&self, result: Result<T, Failure>) -> Result<Response<T>, Status> {
        result
            .map(Response::new)
            .map_err(|failure| self.refuse(&failure))
    }
}
