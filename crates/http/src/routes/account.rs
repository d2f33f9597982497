//! Registration, login, refresh, logout: who calls shows no access token.

use axum::extract::State;
use sso_core::usecases::{login, logout, refresh, register};

use super::me::{Done, Tokens};
use crate::{
    caller::Anonymous,
    members::Object,
    openapi::{errors, requests},
    reply::{Outcome, Reply},
    state::Shared,
};

/// Register
///
/// Creates an account and signs it in: both tokens come at once, no login is needed.
#[utoipa::path(
    post,
    path = "/auth/registration",
    tag = "account",
    request_body(
        content = requests::Registration,
        examples(
            ("all members" = (value = json!({
                "email": "ada@example.com", "password": "correct horse battery",
                "name": "Ada Lovelace", "birthday": "1990-12-10",
            }))),
            ("only what is required" = (value = json!({
                "email": "ada@example.com", "password": "correct horse battery",
            }))),
        ),
    ),
    responses(
        (status = 201, description = "Registered and signed in.", body = Tokens),
        errors::Registration,
    ),
    security(()),
)]
pub(crate) async fn registration(
    State(state): State<Shared>,
    Anonymous(caller): Anonymous,
    body: Object,
) -> Outcome<Tokens> {
    let mut members = body.members();
    let input = register::Input {
        email: members.text("email"),
        password: members.text("password"),
        name: members.text("name"),
        birthday: members.text("birthday"),
    };
    let request = register::Register::parse(&state.sso, &input, members.into_fields())?;
    let signed_in = register::register(&state.sso, &caller, request).await?;
    Ok(Reply::created(signed_in.into()))
}

/// Log in
///
/// Opens a session. A wrong e-mail and a wrong password have one and the same answer.
#[utoipa::path(
    post,
    path = "/auth/login",
    tag = "account",
    request_body(
        content = requests::Login,
        example = json!({"email": "ada@example.com", "password": "correct horse battery"}),
    ),
    responses(
        (status = 200, description = "Signed in.", body = Tokens),
        errors::Login,
    ),
    security(()),
)]
pub(crate) async fn login(
    State(state): State<Shared>,
    Anonymous(caller): Anonymous,
    body: Object,
) -> Outcome<Tokens> {
    let mut members = body.members();
    let input = login::Input {
        email: members.text("email"),
        password: members.text("password"),
    };
    let request = login::Login::parse(&input, members.into_fields())?;
    let signed_in = login::login(&state.sso, &caller, request).await?;
    Ok(Reply::ok(signed_in.into()))
}

/// Refresh
///
/// Exchanges a refresh token for the next pair of tokens. A refresh token is good for one exchange:
/// keep the new one. Who loses the answer, or sends the token twice at once, gets the same refresh
/// token again, for 30 seconds by default; later a second use counts as theft and ends the session. The earlier
/// access token lives to its `exp`; the session's end never moves.
#[utoipa::path(
    post,
    path = "/auth/refresh",
    tag = "account",
    request_body(
        content = requests::Refresh,
        example = json!({"token": "eyJhbGciOiJIUzI1NiIsInR5cCI6InJ0K2p3dCJ9.eyJleHAiOjB9.c2ln"}),
    ),
    responses(
        (status = 200, description = "The next pair of tokens.", body = Tokens),
        errors::Refresh,
    ),
    security(()),
)]
pub(crate) async fn refresh(
    State(state): State<Shared>,
    Anonymous(caller): Anonymous,
    body: Object,
) -> Outcome<Tokens> {
    let mut members = body.members();
    let token = members.text("token");
    let request = refresh::Refresh::parse("token", token, members.into_fields())?;
    let signed_in = refresh::refresh(&state.sso, &caller, &request).await?;
    Ok(Reply::ok(signed_in.into()))
}

/// Log out
///
/// Ends the session of a token, access or refresh, so that its other token dies too; with
/// `everywhere` all sessions of its user. Can be repeated: any token of this service will do,
/// expired or ended; a forged one is 401. What was opened after all sessions of the user had been ended is not
/// ended by a token from before. `x-revocation` says who obeys already.
#[utoipa::path(
    post,
    path = "/auth/logout",
    tag = "account",
    request_body(
        content = requests::Logout,
        examples(
            ("this session" = (value = json!({
                "token": "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.eyJleHAiOjB9.c2ln",
            }))),
            ("all sessions" = (value = json!({
                "token": "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.eyJleHAiOjB9.c2ln",
                "everywhere": true,
            }))),
        ),
    ),
    responses(
        (
            status = 200, description = "Over.", body = Done,
            headers(("x-revocation" = errors::Revocation)),
        ),
        errors::Logout,
    ),
    security(()),
)]
pub(crate) async fn logout(
    State(state): State<Shared>,
    Anonymous(caller): Anonymous,
    body: Object,
) -> Outcome<Done> {
    let mut members = body.members();
    let token = members.text("token");
    let everywhere = members.flag("everywhere");
    let request = logout::Logout::parse(token, everywhere, members.into_fields())?;
    let reach = logout::logout(&state.sso, &caller, &request).await?;
    Ok(Reply::ok(Done::default()).revoked(reach))
}
