//! The span of a script that a request waits for, by OpenTelemetry's conventions for Redis (`db.*`). Keys and
//! arguments are never part of it.

use redis::{FromRedisValue, RedisResult, ScriptInvocation, aio::MultiplexedConnection};
use tracing::{Instrument as _, Span, field::Empty};

/// Runs the script of this name in a span of its own. What nobody waits for has none.
pub(crate) async fn invoke<T: FromRedisValue>(
    name: &'static str,
    call: &ScriptInvocation<'_>,
    connection: &mut MultiplexedConnection,
) -> RedisResult<T> {
    let span = span(name);
    let answer = call.invoke_async(connection).instrument(span.clone()).await;
    if let Err(error) = &answer {
        span.record("otel.status_code", "ERROR");
        // What Redis calls it, such as READONLY; of what never reached it, nothing more is known.
        span.record("error.type", error.code().unwrap_or("_OTHER"));
    }
    answer
}

fn span(name: &'static str) -> Span {
    if Span::current().is_none() {
        // It would be a trace by itself.
        return Span::none();
    }
    tracing::debug_span!(
        "script",
        otel.kind = "client",
        otel.name = %format_args!("EVALSHA {name}"),
        otel.status_code = Empty,
        db.system.name = "redis",
        db.operation.name = "EVALSHA",
        db.stored_procedure.name = name,
        "error.type" = Empty,
    )
}
