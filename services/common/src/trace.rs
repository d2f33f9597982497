//! Spans of what a service does with an event. The consumer's own span, which continues the trace of
//! the request that caused the event, is their parent.

use sso_telemetry::statements::Family;
use tracing::Instrument;

use crate::database::StoreError;

/// Runs what a store does, as one span and one duration: `operation` (`INSERT`, `SELECT`, ..) on
/// `table`, in the database of this kind (`postgresql`, `sqlite`). Without a caller that has a span
/// it has none.
pub async fn stored<T>(
    system: &'static str,
    operation: &'static str,
    table: &'static str,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let statement = Family { operation, table }.start(system);
    let done = work.instrument(statement.span().clone()).await;
    statement.end(done)
}
