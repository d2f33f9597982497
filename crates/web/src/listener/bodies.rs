//! The two bodies of an exchange, watched for who waits for whom: while the client has not sent all
//! of his request, it is we who wait for him.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use super::room::{Busy, Guest};

/// One request and its answer: busy from the last byte of the one to the last of the other.
#[derive(Clone)]
pub(super) struct Exchange {
    guest: Arc<Guest>,
    busy: Arc<OnceLock<Busy>>,
}

impl Exchange {
    /// One that begins.
    pub(super) fn new(guest: &Arc<Guest>) -> Self {
        Self {
            guest: Arc::clone(guest),
            busy: Arc::default(),
        }
    }

    fn is_asked(&self) {
        self.busy.get_or_init(|| self.guest.answer());
    }

    /// The request's body.
    pub(super) fn question(self, body: Incoming) -> Body {
        if body.is_end_stream() {
            self.is_asked();
        }
        Body::new(Question {
            body,
            exchange: self,
        })
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
    body: Incoming,
    exchange: Exchange,
}

impl HttpBody for Question {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.exchange.is_asked();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Whoever lets go of the body will not wait for the rest of it.
impl Drop for Question {
    fn drop(&mut self) {
        self.exchange.is_asked();
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
