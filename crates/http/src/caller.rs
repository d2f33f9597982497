//! Who calls, taken from a request.

use axum::{
    extract::FromRequestParts,
    http::{header::USER_AGENT, request::Parts},
};
use sso_core::{Agent, Caller, Failure, Origin, ports::TokenRefused, usecases::validate};
use sso_web::{Client, trace_context::TraceContext};

use crate::{error::HttpError, members::refuse_declared_length, state::Shared};

/// A caller who shows no credentials.
pub(crate) struct Anonymous(pub(crate) Caller);

impl<S: Sync> FromRequestParts<S> for Anonymous {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, HttpError> {
        Ok(Self(Caller::anonymous(origin(parts))))
    }
}

/// The user whose access token is in `Authorization: Bearer`.
pub(crate) struct User(pub(crate) Caller);

impl FromRequestParts<Shared> for User {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, HttpError> {
        refuse_declared_length(&parts.headers)?;
        let token = sso_web::bearer(&parts.headers).map_err(|error| {
            let refused: Failure = TokenRefused::Invalid.into();
            Failure {
                message: error.to_string().into(),
                ..refused
            }
        })?;
        let caller = validate::authenticate(&state.sso, origin(parts), token).await?;
        Ok(Self(caller))
    }
}

fn origin(parts: &Parts) -> Origin {
    let stands = parts.extensions.get::<TraceContext>();
    let (traceparent, tracestate) = stands.map(TraceContext::texts).unzip();
    let agent = parts.headers.get(USER_AGENT);
    Origin {
        address: parts.extensions.get().map(|client: &Client| client.address),
        agent: agent.map(|agent| Agent::new(&String::from_utf8_lossy(agent.as_bytes()))),
        traceparent,
        tracestate: tracestate.flatten(),
    }
}
