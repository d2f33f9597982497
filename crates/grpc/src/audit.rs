//! `sso.v1.Audit`: parses, calls the use case, converts.

use prost_types::Timestamp;
use sso_core::{
    Failure, FieldError, Fields, Sso,
    usecases::{
        Ask,
        audit::{self, Filter},
    },
};
use time::OffsetDateTime;
use tonic::{Request, Response, Status, async_trait};

use crate::{
    call::Call,
    convert::{record, time_of},
    proto::v1::{ListAuditRequest, ListAuditResponse, audit_server::Audit},
};

/// The service.
pub(crate) struct AuditService(pub Sso);

#[async_trait]
impl Audit for AuditService {
    async fn list(
        &self,
        request: Request<ListAuditRequest>,
    ) -> Result<Response<ListAuditResponse>, Status> {
        let (call, message) = Call::open(request);
        call.end(list(&self.0, &call, &message).await)
    }
}

async fn list(
    sso: &Sso,
    call: &Call,
    message: &ListAuditRequest,
) -> Result<ListAuditResponse, Failure> {
    let mut fields = call.fields();
    let since = moment("since", message.since.as_ref(), &mut fields);
    let until = moment("until", message.until.as_ref(), &mut fields);
    let filter = Filter {
        user_id: &message.user_id,
        email: &message.email,
        actor: &message.actor,
        action: &message.action,
        result: &message.result,
        since,
        until,
    };
    let ask = Ask {
        limit: message.limit,
        cursor: &message.cursor,
    };
    let page = audit::page(sso, &call.caller(), &filter, ask, fields).await?;
    Ok(ListAuditResponse {
        records: page.items.iter().map(record).collect(),
        next_cursor: page.next.unwrap_or_default(),
    })
}

/// What is beyond the years 1 to 9999 is no time of `google.protobuf.Timestamp`.
fn moment(
    field: &'static str,
    time: Option<&Timestamp>,
    fields: &mut Fields,
) -> Option<OffsetDateTime> {
    let why = || format!("{field} must be a time of the years 1 to 9999");
    fields.take(time_of(time?).ok_or_else(|| FieldError::new(field, "invalid_time", why())))
}
