//! What the user of an access token sees and changes of himself.

use axum::extract::State;
use serde::Serialize;
use sso_core::{
    ports::store,
    usecases::{SignedIn, change_password, info},
};
use sso_web::rfc3339;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    caller::User,
    members::Object,
    openapi::{errors, requests},
    reply::{Outcome, Reply, Success},
    state::Shared,
};

/// Both tokens of a session.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "status": "Success",
    "user_id": "0197f2a4-8a3b-7c1e-9f60-2d7f3f1c5b11",
    "access_token": "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.eyJleHAiOjB9.c2ln",
    "refresh_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6InJ0K2p3dCJ9.eyJleHAiOjB9.c2ln",
}))]
pub(crate) struct Tokens {
    /// Always `Success`.
    status: Success,
    /// The user's id; never changes.
    user_id: Uuid,
    /// Goes into `Authorization: Bearer`. Lives 15 minutes by default: see its claim `exp`.
    access_token: String,
    /// Gets the next pair, once. Opaque: nobody but this service can verify it.
    refresh_token: String,
}

impl From<SignedIn> for Tokens {
    fn from(signed_in: SignedIn) -> Self {
        Self {
            status: Success::Success,
            user_id: signed_in.user.as_uuid(),
            access_token: signed_in.access_token,
            refresh_token: signed_in.refresh_token,
        }
    }
}

/// Done, and nothing to tell.
#[derive(Default, Serialize, ToSchema)]
#[schema(example = json!({"status": "Success"}))]
pub(crate) struct Done {
    /// Always `Success`.
    status: Success,
}

/// A user as he sees himself. Absent values are `null`.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "status": "Success",
    "user_id": "0197f2a4-8a3b-7c1e-9f60-2d7f3f1c5b11",
    "email": "Ada@example.com",
    "email_verified": false,
    "name": "Ada Lovelace",
    "birthday": "1990-12-10",
    "is_admin": false,
    "created_at": "2026-03-01T12:00:00.000000Z",
}))]
pub(crate) struct Profile {
    /// Always `Success`.
    status: Success,
    /// Never changes.
    user_id: Uuid,
    /// As typed.
    email: String,
    /// Whether somebody proved to read this mailbox.
    email_verified: bool,
    /// As typed.
    #[schema(required)]
    name: Option<String>,
    /// `YYYY-MM-DD`.
    #[schema(required, format = Date)]
    birthday: Option<String>,
    /// May administer users.
    is_admin: bool,
    /// RFC 3339, UTC, microseconds.
    #[schema(format = DateTime)]
    created_at: String,
}

impl From<store::User> for Profile {
    fn from(user: store::User) -> Self {
        Self {
            status: Success::Success,
            user_id: user.id.as_uuid(),
            email: user.email.as_typed().to_owned(),
            email_verified: user.email_verified,
            name: user.name.map(|name| name.as_str().to_owned()),
            birthday: user.birthday.map(|birthday| birthday.to_string()),
            is_admin: user.is_admin,
            created_at: rfc3339(user.created_at),
        }
    }
}

/// Who am I?
#[utoipa::path(
    get,
    path = "/auth/info",
    tag = "me",
    responses(
        (status = 200, description = "The user of the token.", body = Profile),
        errors::Bearer,
    ),
    security(("bearerAuth" = [])),
)]
pub(crate) async fn info(State(state): State<Shared>, User(caller): User) -> Outcome<Profile> {
    let user = info::info(&state.sso, &caller).await?;
    Ok(Reply::ok(user.into()))
}

/// Change the password
///
/// Ends every session of the user; the tokens of the answer are of a new one.
#[utoipa::path(
    post,
    path = "/auth/password",
    tag = "me",
    request_body(
        content = requests::Password,
        example = json!({
            "current_password": "correct horse battery",
            "new_password": "another staple entirely",
        }),
    ),
    responses(
        (
            status = 200, description = "Changed, and signed in anew.", body = Tokens,
            headers(("x-revocation" = errors::Revocation)),
        ),
        errors::Password,
    ),
    security(("bearerAuth" = [])),
)]
pub(crate) async fn password(
    State(state): State<Shared>,
    User(caller): User,
    body: Object,
) -> Outcome<Tokens> {
    let mut members = body.members();
    let input = change_password::Input {
        current_password: members.text("current_password"),
        new_password: members.text("new_password"),
    };
    let fields = members.into_fields();
    let request = change_password::ChangePassword::parse(&state.sso, &caller, &input, fields)?;
    let (signed_in, reach) = change_password::change_password(&state.sso, &caller, request).await?;
    Ok(Reply::ok(signed_in.into()).revoked(reach))
}
