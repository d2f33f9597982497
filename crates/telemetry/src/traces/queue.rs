//! Finished spans on their way to the exporter.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use opentelemetry::Context;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor},
};
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::exporter;

/// Most spans that wait.
const CAPACITY: usize = 2048;

/// The end of the queue where spans come in.
#[derive(Debug)]
pub(super) struct Queue(Mutex<Option<Sender<SpanData>>>);

/// A queue.
pub(super) fn bounded() -> (Queue, Receiver<SpanData>) {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    (Queue(Mutex::new(Some(sender))), receiver)
}

impl Queue {
    fn sender(&self) -> Option<Sender<SpanData>> {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sender.clone()
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        let sent = self
            .sender()
            .is_some_and(|sender| sender.try_send(span).is_ok());
        if !sent {
            exporter::dropped(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    /// No more spans; what waits is still sent.
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        let mut sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *sender = None;
        Ok(())
    }
}
