//! `auth.Auth/Validate`, for when the revocations are not heard.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{sync::Semaphore, time::timeout};
use tonic::{
    Code, Request, Status,
    metadata::{AsciiMetadataValue, MetadataMap},
    transport::Channel,
};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::{
    Refused,
    builder::TraceContext,
    circuit::Circuit,
    claims::id,
    clock::monotonic,
    net::Address,
    proto::auth::{ValidateRequest, auth_client::AuthClient},
    settings::CallerToken,
};

/// For one answer.
const TIMEOUT: Duration = Duration::from_millis(500);
/// Addresses that one question goes to at most.
const ATTEMPTS: usize = 3;

/// Asks, with bounds.
pub(crate) struct Questions {
    places: Vec<Place>,
    /// The one that answered last.
    best: AtomicUsize,
    room: Semaphore,
    caller_token: Option<CallerToken>,
    trace_context: TraceContext,
}

struct Place {
    address: Address,
    client: AuthClient<Channel>,
    circuit: Circuit,
}

/// Whose token it is, by the service's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Vouched {
    pub(crate) user: Uuid,
    pub(crate) session: Uuid,
}

impl Questions {
    /// Must be called within a runtime. `most` questions are asked at once.
    pub(crate) fn new(
        addresses: &[Address],
        caller_token: Option<CallerToken>,
        most: usize,
    ) -> Self {
        let place = |address: &Address| Place {
            address: address.clone(),
            client: AuthClient::new(address.lazy()),
            circuit: Circuit::new(),
        };
        Self {
            places: addresses.iter().map(place).collect(),
            best: AtomicUsize::new(0),
            room: Semaphore::new(most),
            caller_token,
            trace_context: || None,
        }
    }

    /// Questions are part of the trace that this tells of.
    pub(crate) fn in_traces(mut self, trace_context: TraceContext) -> Self {
        self.trace_context = trace_context;
        self
    }

    /// Asks about a token. Too many questions at once, no address that answers, no answer in time:
    /// [`Refused::Unknowable`].
    pub(crate) async fn ask(&self, token: &str) -> Result<Vouched, Refused> {
        let Ok(_permit) = self.room.try_acquire() else {
            return Err(Refused::Unknowable);
        };
        let first = self.best.load(Ordering::Relaxed);
        let count = self.places.len();
        let admitted = (first..first + count)
            .filter_map(|at| Some((at % count, self.places.get(at % count)?)))
            .filter(|(_, place)| place.circuit.admits(monotonic()))
            .take(ATTEMPTS);
        for (at, place) in admitted {
            if let Some(answer) = self.ask_at(place, token).await {
                place.circuit.answered();
                self.best.store(at, Ordering::Relaxed);
                return answer;
            }
            place.circuit.failed(monotonic());
        }
        Err(Refused::Unknowable)
    }

    /// `None`: this place does not know, or does not answer.
    async fn ask_at(&self, place: &Place, token: &str) -> Option<Result<Vouched, Refused>> {
        let mut request = Request::new(ValidateRequest {
            token: token.to_owned(),
        });
        if let Some(caller) = &self.caller_token {
            caller.put_into(request.metadata_mut());
        }
        if let Some((parent, state)) = (self.trace_context)() {
            put(request.metadata_mut(), "traceparent", &parent);
            put(
                request.metadata_mut(),
                "tracestate",
                &state.unwrap_or_default(),
            );
        }
        request.set_timeout(TIMEOUT);
        let mut client = place.client.clone();
        match timeout(TIMEOUT, client.validate(request)).await {
            Ok(Ok(answer)) => {
                let answer = answer.into_inner();
                if !answer.success {
                    return None;
                }
                let (user, session) = (id(&answer.user_id)?, id(&answer.session_id)?);
                Some(Ok(Vouched { user, session }))
            }
            Ok(Err(status)) => refusal(place, &status).map(Err),
            Err(_elapsed) => None,
        }
    }
}

/// Nothing that is empty, and nothing that no header can hold: a question without its trace is one still.
fn put(metadata: &mut MetadataMap, name: &'static str, value: &str) {
    if let Ok(value) = value.parse::<AsciiMetadataValue>()
        && !value.is_empty()
    {
        metadata.insert(name, value);
    }
}

/// What the service's word about the token is, if it is one.
fn refusal(place: &Place, status: &Status) -> Option<Refused> {
    let details = status.get_details_error_info();
    let reason = details.map(|info| info.reason).unwrap_or_default();
    if status.code() == Code::Unauthenticated
        && let Some(refused) = Refused::of_code(&reason)
    {
        return Some(refused);
    }
    let (address, code) = (&place.address, status.code());
    tracing::debug!(%address, ?code, reason, "Validate did not say whether a token is good");
    None
}
