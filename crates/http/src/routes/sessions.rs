//! A user's own sessions.

use std::net::IpAddr;

use axum::extract::{Path, State, rejection::PathRejection};
use serde::Serialize;
use sso_core::usecases::sessions::{self, Listed};
use sso_web::rfc3339;
use utoipa::ToSchema;
use uuid::Uuid;

use super::me::Done;
use crate::{
    caller::User,
    openapi::errors,
    reply::{Outcome, Reply, Success},
    state::Shared,
};

/// The live sessions of a user.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "status": "Success",
    "sessions": [{
        "id": "0197f2a4-91c7-7d42-8a11-6f0e1b2c3d44",
        "created_at": "2026-03-01T12:00:00.000000Z",
        "last_used_at": "2026-03-01T12:14:30.000000Z",
        "address": "203.0.113.7",
        "agent": "Mozilla/5.0",
        "current": true,
    }],
}))]
pub(crate) struct Sessions {
    /// Always `Success`.
    status: Success,
    /// Newest first.
    sessions: Vec<Session>,
}

/// A live session.
#[derive(Serialize, ToSchema)]
pub(crate) struct Session {
    /// The claim `sid` of its tokens.
    id: Uuid,
    /// When it was opened: RFC 3339, UTC, microseconds.
    #[schema(format = DateTime)]
    created_at: String,
    /// Its last refresh, or its start.
    #[schema(format = DateTime)]
    last_used_at: String,
    /// The address from which it was opened, where known.
    #[schema(required, value_type = Option<String>)]
    address: Option<IpAddr>,
    /// The user agent that opened it, shortened to 200 characters.
    #[schema(required)]
    agent: Option<String>,
    /// Whether it is the session of the token that asks.
    current: bool,
}

impl From<Listed> for Session {
    fn from(Listed { session, current }: Listed) -> Self {
        Self {
            id: session.id.as_uuid(),
            created_at: rfc3339(session.created_at),
            last_used_at: rfc3339(session.rotated_at),
            address: session.address,
            agent: session.agent.map(|agent| agent.to_string()),
            current,
        }
    }
}

/// List my sessions
#[utoipa::path(
    get,
    path = "/auth/sessions",
    tag = "me",
    responses(
        (status = 200, description = "The live sessions, newest first.", body = Sessions),
        errors::Bearer,
    ),
    security(("bearerAuth" = [])),
)]
pub(crate) async fn list(State(state): State<Shared>, User(caller): User) -> Outcome<Sessions> {
    let listed = sessions::list(&state.sso, &caller).await?;
    Ok(Reply::ok(Sessions {
        status: Success::Success,
        sessions: listed.into_iter().map(Session::from).collect(),
    }))
}

/// End one of my sessions
///
/// Foreign, unknown, ended, malformed: 404 alike. Ending the current one is a logout.
#[utoipa::path(
    delete,
    path = "/auth/sessions/{id}",
    tag = "me",
    params(("id" = Uuid, Path, description = "`id` of a session in the list.")),
    responses(
        (
            status = 200, description = "Over.", body = Done,
            headers(("x-revocation" = errors::Revocation)),
        ),
        errors::Session,
    ),
    security(("bearerAuth" = [])),
)]
pub(crate) async fn end(
    State(state): State<Shared>,
    User(caller): User,
    id: Result<Path<String>, PathRejection>,
) -> Outcome<Done> {
    // What is not even text is no session's id either.
    let id = id.map(|Path(id)| id).unwrap_or_default();
    let reach = sessions::end(&state.sso, &caller, &id).await?;
    Ok(Reply::ok(Done::default()).revoked(reach))
}
