//! The lines of an account.

use axum::{
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::StatusCode,
    response::Response,
};
use serde::{Deserialize, Serialize};
use sso_service::web::{FieldBody, Problem, rfc3339};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Caller, Shared, document, fresh};
use crate::ledger::Line;

/// Most lines of one answer.
const MOST: u32 = 100;
const USUAL: u32 = 50;

/// Which lines.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// `next_cursor` of the answer before; none: the newest.
    cursor: Option<String>,
    /// How many lines, 1 to 100; 50 if nothing is said.
    #[param(value_type = Option<u32>)]
    limit: Option<String>,
}

/// Lines of an account, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "what clients read")]
pub(crate) struct Entries {
    /// Always `Success`.
    status: &'static str,
    /// Whose.
    uuid: Uuid,
    /// Newest first.
    entries: Vec<Entry>,
    /// For the lines after these; `null`: there are none.
    next_cursor: Option<String>,
}

/// A line.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Entry {
    /// Rises within an account.
    id: String,
    /// RFC 3339, UTC.
    created_at: String,
    /// `d`: points came; `w`: they went.
    operation: &'static str,
    /// `welcome`, `deposit`, `withdrawal`.
    kind: String,
    /// How many.
    points: i64,
    /// The balance after it.
    balance: i64,
    /// What was said.
    comment: String,
}

impl From<Line> for Entry {
    fn from(line: Line) -> Self {
        Self {
            id: line.id.to_string(),
            created_at: rfc3339(line.at),
            operation: if line.points < 0 { "w" } else { "d" },
            kind: line.kind,
            points: line.points.abs(),
            balance: line.balance,
            comment: line.comment,
        }
    }
}

/// Entries
///
/// What came and went, newest first. A user reads his own, an administrator anyone's.
#[utoipa::path(
    get,
    path = "/loyalty/{uuid}/entries",
    tag = "points",
    params(("uuid" = Uuid, Path, description = "The user's id."), Page),
    responses(
        (status = 200, description = "Lines of the ledger.", body = Entries),
        document::Refusals,
        document::NotFound,
        document::BadRequest,
    ),
    security(("bearerAuth" = [])),
)]
pub(crate) async fn entries(
    State(state): State<Shared>,
    caller: Caller,
    uuid: Result<Path<String>, PathRejection>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Response, Problem> {
    let user = caller.may_read(uuid)?;
    let Query(page) = page.map_err(|_| Problem::malformed("the query cannot be read"))?;
    let (before, limit) = page.read()?;
    let lines = state.ledger.lines(user, before, limit + 1).await?;
    let mut lines = lines.ok_or_else(Problem::not_found)?;
    let more = lines.len() > limit as usize;
    lines.truncate(limit as usize);
    let last = lines.last().filter(|_| more);
    let body = Entries {
        status: "Success",
        uuid: user,
        next_cursor: last.map(|line| line.id.to_string()),
        entries: lines.into_iter().map(Entry::from).collect(),
    };
    Ok(fresh(StatusCode::OK, body))
}

/// `?cursor=` gives none.
fn given(value: Option<&String>) -> Option<&str> {
    value.map(String::as_str).filter(|text| !text.is_empty())
}

impl Page {
    fn read(&self) -> Result<(Option<i64>, u32), Problem> {
        let mut bad = Vec::new();
        let mut refuse = |field, code, error: String| {
            bad.push(FieldBody { field, code, error });
        };
        let before = given(self.cursor.as_ref()).map(str::parse::<i64>);
        let before = match before {
            Some(Ok(before)) if before > 0 => Some(before),
            None => None,
            Some(_) => {
                let error = "cursor must be the next_cursor of an answer".to_owned();
                refuse("cursor", "invalid_cursor", error);
                None
            }
        };
        let limit = given(self.limit.as_ref()).map_or(Ok(USUAL), str::parse::<u32>);
        let limit = limit.unwrap_or_default();
        if !(1..=MOST).contains(&limit) {
            let error = format!("limit must be a whole number from 1 to {MOST}");
            refuse("limit", "invalid_limit", error);
        }
        if bad.is_empty() {
            Ok((before, limit))
        } else {
            Err(Problem::of_fields(bad))
        }
    }
}
