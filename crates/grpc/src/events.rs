//! `sso.v1.Events`: each method parses, calls one use case, converts.

use sso_core::{
    Failure, Sso,
    usecases::{
        Ask,
        events::{self, parse_id},
    },
};
use tonic::{Request, Response, Status, async_trait};

use crate::{
    call::Call,
    convert::event,
    proto::v1::{
        ListEventsRequest, ListEventsResponse, ResendEventRequest, ResendEventResponse,
        SkipEventRequest, SkipEventResponse, events_server::Events,
    },
};

/// The service.
pub(crate) struct EventsService(pub Sso);

type Answer<T> = Result<Response<T>, Status>;

#[async_trait]
impl Events for EventsService {
    async fn list(&self, request: Request<ListEventsRequest>) -> Answer<ListEventsResponse> {
        let (call, message) = Call::open(request);
        call.end(list(&self.0, &call, &message).await)
    }

    async fn resend(&self, request: Request<ResendEventRequest>) -> Answer<ResendEventResponse> {
        let (call, message) = Call::open(request);
        call.end(resend(&self.0, &call, &message).await)
    }

    async fn skip(&self, request: Request<SkipEventRequest>) -> Answer<SkipEventResponse> {
        let (call, message) = Call::open(request);
        call.end(skip(&self.0, &call, &message).await)
    }
}

async fn list(
    sso: &Sso,
    call: &Call,
    message: &ListEventsRequest,
) -> Result<ListEventsResponse, Failure> {
    let ask = Ask {
        limit: message.limit,
        cursor: &message.cursor,
    };
    let page = events::page(sso, &call.caller(), &message.status, ask, call.fields()).await?;
    Ok(ListEventsResponse {
        events: page.items.iter().map(event).collect(),
        next_cursor: page.next.unwrap_or_default(),
    })
}

async fn resend(
    sso: &Sso,
    call: &Call,
    message: &ResendEventRequest,
) -> Result<ResendEventResponse, Failure> {
    let id = parse_id(&message.event_id, call.fields())?;
    let moved = events::resend(sso, &call.caller(), id).await?;
    Ok(ResendEventResponse {
        event: Some(event(&moved)),
    })
}

async fn skip(
    sso: &Sso,
    call: &Call,
    message: &SkipEventRequest,
) -> Result<SkipEventResponse, Failure> {
    let id = parse_id(&message.event_id, call.fields())?;
    let moved = events::skip(sso, &call.caller(), id).await?;
    Ok(SkipEventResponse {
        event: Some(event(&moved)),
    })
}
