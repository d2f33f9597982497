//! Deposits and withdrawals.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::Deserialize;
use sso_service::web::{Members, Object, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Balance, Caller, Shared, caller::parse, document, fresh};
use crate::{
    ledger::{MOST_POINTS, Order, Posted},
    metrics,
};

/// Longest comment in characters.
const MAX_COMMENT: usize = 500;
/// Longest Idempotency-Key in bytes.
const MAX_KEY: usize = 255;

/// The body, for the document.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Order)]
#[expect(dead_code, reason = "a shape for the document")]
pub(crate) struct OrderBody {
    /// `d`: deposit, for administrators; `w`: withdraw.
    #[schema(example = "w")]
    operation: String,
    /// How many points.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_i64, example = 10)]
    balance: i64,
    /// What for; up to 500 characters.
    #[schema(max_length = 500, example = "a coffee")]
    comment: String,
    /// Whose account: an administrator must say it, a user's is his own.
    #[schema(required = false)]
    uuid: Option<Uuid>,
}

/// Deposit or withdraw
///
/// An administrator deposits and withdraws for `uuid`; a user withdraws from his own account. With an
/// `Idempotency-Key` the same request can be sent again: it is done once, and has the same answer for a
/// day.
#[utoipa::path(
    post,
    path = "/loyalty",
    tag = "points",
    params(("Idempotency-Key" = Option<String>, Header,
        description = "1 to 255 visible characters, the caller's own.")),
    request_body(content = OrderBody),
    responses(
        (status = 201, description = "Done; the new balance.", body = Balance),
        document::Refusals,
        document::NotFound,
        document::BadRequest,
        document::OtherMedia,
        document::Conflict,
    ),
    security(("bearerAuth" = [])),
)]
pub(crate) async fn post(
    State(state): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
    body: Object,
) -> Result<Response, Problem> {
    let order = read(&caller, &headers, body.members())?;
    let (user, operation) = (order.user, order.operation());
    let posted = state.ledger.post(order).await?;
    metrics::order(operation, &posted);
    match posted {
        Posted::Done { balance, .. } => Ok(fresh(StatusCode::CREATED, Balance::new(user, balance))),
        Posted::Unknown => Err(Problem::not_found()),
        Posted::Insufficient => Err(conflict(
            "insufficient_balance",
            "there are not so many points",
        )),
        Posted::TooMuch => Err(conflict(
            "balance_limit",
            "the account cannot hold so many points",
        )),
        Posted::KeyReused => Err(conflict(
            "idempotency_key_reused",
            "this Idempotency-Key was used for another request",
        )),
    }
}

fn conflict(code: &'static str, error: &'static str) -> Problem {
    Problem::new(StatusCode::CONFLICT, code, error)
}

/// What is wanted; what is not allowed comes before what is malformed.
fn read(caller: &Caller, headers: &HeaderMap, mut members: Members<'_>) -> Result<Order, Problem> {
    let operation = members.text("operation");
    let uuid = members.text("uuid").filter(|uuid| !uuid.is_empty());
    if !caller.is_admin {
        if operation == Some("d") {
            return Err(Problem::forbidden("only an administrator may deposit"));
        }
        if uuid.is_some_and(|uuid| parse(uuid).is_some_and(|uuid| uuid != caller.id)) {
            return Err(Problem::forbidden(
                "this account is another user's: only an administrator may withdraw from it",
            ));
        }
    }
    let sign = match operation {
        Some("d") => 1,
        Some("w") => -1,
        Some(_) => {
            let error = "operation must be \"d\" or \"w\"";
            members.bad("operation", "invalid_operation", error);
            0
        }
        None => {
            members.bad("operation", "required", "operation is required");
            0
        }
    };
    let points = points(&mut members);
    let comment = comment(&mut members);
    let user = match uuid {
        Some(uuid) => {
            let user = parse(uuid);
            if user.is_none() {
                members.bad("uuid", "invalid_uuid", "uuid is not an id");
            }
            user.unwrap_or_default()
        }
        None if caller.is_admin => {
            let error = "uuid is required: an administrator says whose account";
            members.bad("uuid", "required", error);
            Uuid::nil()
        }
        None => caller.id,
    };
    let bad = members.into_bad();
    if !bad.is_empty() {
        return Err(Problem::of_fields(bad));
    }
    Ok(Order {
        user,
        points: sign * points,
        comment,
        by: caller.id,
        key: key(headers)?,
    })
}

fn points(members: &mut Members<'_>) -> i64 {
    match members.integer("balance") {
        Some(points) if (1..=MOST_POINTS).contains(&points) => points,
        Some(_) => {
            let error = format!("balance must be from 1 to {MOST_POINTS} points");
            members.bad("balance", "invalid_balance", error);
            0
        }
        None => {
            // If it is of another type, that is known already.
            members.bad("balance", "required", "balance is required");
            0
        }
    }
}

fn comment(members: &mut Members<'_>) -> String {
    let Some(comment) = members.text("comment") else {
        members.bad("comment", "required", "comment is required");
        return String::new();
    };
    if comment.chars().count() > MAX_COMMENT {
        let error = format!("comment must not be longer than {MAX_COMMENT} characters");
        members.bad("comment", "too_long", error);
    } else if comment.contains(char::is_control) {
        let error = "comment must not hold control characters";
        members.bad("comment", "invalid_comment", error);
    }
    comment.to_owned()
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(only) = values.next() else {
        return Ok(None);
    };
    let bad = || {
        let error = "the Idempotency-Key must be 1 to 255 visible characters, once";
        Problem::new(StatusCode::BAD_REQUEST, "invalid_idempotency_key", error)
    };
    let key = only.to_str().map_err(|_| bad())?;
    let good = (1..=MAX_KEY).contains(&key.len()) && values.next().is_none();
    good.then(|| Some(key.to_owned())).ok_or_else(bad)
}
