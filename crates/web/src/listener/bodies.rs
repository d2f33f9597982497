//! The two bodies of an exchange, watched for who waits for whom: while the client has not sent all
//! of his request, it is we who wait for him.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::room::{Busy, Guest};

/// How much of a body that nobody wants is read before the answer, and for how long.
const REST: (u64, Duration) = (64 * 1024, Duration::from_millis(100));

/// One request and its answer: busy from the last byte of the one to the last of the other.
#[derive(Clone)]
pub(super) struct Exchange {
    guest: Arc<Guest>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    busy: OnceLock<Busy>,
    /// What no handler has read.
    rest: Mutex<Option<Incoming>>,
}

impl Exchange {
    /// One that begins.
    pub(super) fn new(guest: &Arc<Guest>) -> Self {
        Self {
            guest: Arc::clone(guest),
            shared: Arc::default(),
        }
    }

    fn is_asked(&self) {
        self.shared.busy.get_or_init(|| self.guest.answer());
    }

    fn rest(&self) -> MutexGuard<'_, Option<Incoming>> {
        let rest = self.shared.rest.lock();
        rest.unwrap_or_else(PoisonError::into_inner)
    }

    /// The request's body.
    pub(super) fn question(self, body: Incoming) -> Body {
        if body.is_end_stream() {
            self.is_asked();
            return Body::empty();
        }
        Body::new(Question {
            body: Some(body),
            exchange: self,
        })
    }

    /// Reads what the handler has left of a body, if that is little; whether nothing is left. HTTP/2
    /// would reset the stream after the answer, which not all clients take for an answer, and a
    /// body that is not what its head says would pass unnoticed; HTTP/1.1 has to close. A client who
    /// `asks_first` whether to send his body would be invited to.
    pub(super) async fn hear_out(&self, asks_first: bool) -> bool {
        let (mut room, patience) = REST;
        let Some(mut rest) = self.rest().take() else {
            return true;
        };
        if asks_first || rest.size_hint().lower() > room {
            return false;
        }
        let reading = async {
            while let Some(frame) = rest.frame().await {
                let length = frame.ok()?.data_ref().map_or(0, Bytes::len) as u64;
                room = room.checked_sub(length)?;
            }
            Some(())
        };
        matches!(tokio::time::timeout(patience, reading).await, Ok(Some(())))
    }

    /// The answer's body.
    pub(super) fn answer(self, body: Body) -> Answer {
        Answer {
            body,
            _exchange: self,
        }
    }
}

struct Question {
    /// Until it is dropped.
    body: Option<Incoming>,
    exchange: Exchange,
}

impl HttpBody for Question {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(&mut *body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) || body.is_end_stream() {
            self.exchange.is_asked();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.body.as_ref();
        body.map_or_else(SizeHint::default, Incoming::size_hint)
    }
}

/// Whoever lets go of the body will not wait for the rest of it.
impl Drop for Question {
    fn drop(&mut self) {
        self.exchange.is_asked();
        let rest = self.body.take();
        *self.exchange.rest() = rest.filter(|body| !body.is_end_stream());
    }
}

/// The answer's body; the connection is busy until it is sent.
pub(super) struct Answer {
    body: Body,
    _exchange: Exchange,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
