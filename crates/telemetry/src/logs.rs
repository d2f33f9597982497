//! Logs, written to standard error.
//!
//! JSON: one object a line with `timestamp` (RFC 3339, UTC, microseconds), `level`, `target`,
//! `message`, the event's fields beside them, and `spans`: the surrounding spans from the outermost
//! to the innermost, each with its `name` and fields. A field must not be named like one of these.
//!
//! For people: one line an event, in colours on a terminal unless `NO_COLOR` is set.
//!
//! In both, control characters and their like in values are escaped, so that what a client sends
//! cannot end a record, start another or drive the terminal of the reader.
//!
//! A reader of standard error that hangs does not hold up the service: lines that it has no room for
//! are dropped, counted in `sso_log_lines_dropped_total`, and that is said once it reads again.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    fmt::{self, Write},
    io::{self, IsTerminal},
    panic::PanicHookInfo,
};

use tracing::{Event, Subscriber, field::Field, subscriber::set_global_default};
use tracing_subscriber::{
    Layer, Registry,
    field::MakeExt,
    filter::Targets,
    fmt::{
        FmtContext, FormatEvent, FormatFields, MakeWriter,
        format::{Writer, debug_fn},
        layer,
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    reload,
};

use crate::{
    escape::{Escaping, write_json},
    fields::{JsonFields, is_hidden},
    filter::Filter,
    lossy,
    traces::{self, Traces, Tracing},
};

/// How and what to log.
#[derive(Debug, Clone, Default)]
pub struct Logs {
    /// How.
    pub format: Format,
    /// What.
    pub level: Filter,
}

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people if standard error is a terminal, else JSON.
    #[default]
    Auto,
    /// A line for people.
    Pretty,
    /// A JSON object a line.
    Json,
}

/// Changes what is logged while the service runs.
#[derive(Debug, Clone)]
pub struct LogControl(reload::Handle<Targets, Registry>);

impl LogControl {
    /// Replaces the filter at once, for all threads.
    pub fn set_level(&self, level: &Filter) -> Result<(), LogError> {
        self.0
            .reload(level.targets())
            .map_err(|_| LogError::NotRunning)
    }

    /// The filter in force.
    pub fn level(&self) -> Result<Filter, LogError> {
        let targets = self.0.clone_current().ok_or(LogError::NotRunning)?;
        Ok(Filter::from_targets(targets))
    }
}

/// Why nothing is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// [`init`] was called before in this process.
    #[error("logging has been started before")]
    Started,
    /// What the control belonged to is gone.
    #[error("logging is not running")]
    NotRunning,
}

/// Starts logging for the whole process, panics included; spans are made and sent where `traces`
/// says. Once only.
pub fn init(logs: &Logs, traces: Option<&Traces>) -> Result<(LogControl, Tracing), LogError> {
    let terminal = io::stderr().is_terminal();
    let pretty = match logs.format {
        Format::Auto => terminal,
        Format::Pretty => true,
        Format::Json => false,
    };
    let (filter, handle) = reload::Layer::new(logs.level.targets());
    let output = if pretty {
        people(terminal, lossy::stderr)
    } else {
        json(lossy::stderr)
    };
    // Spans are made whatever is logged, and the log is what it is whatever is traced.
    let mut layers = vec![output.with_filter(filter).boxed()];
    let tracing = match traces.map(traces::layer) {
        Some((spans, tracing)) => {
            layers.push(spans);
            tracing
        }
        None => Tracing::off(),
    };
    set_global_default(Registry::default().with(layers)).map_err(|_| LogError::Started)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok((LogControl(handle), tracing))
}

type Output<S> = Box<dyn Layer<S> + Send + Sync>;

fn people<S, W>(terminal: bool, writer: W) -> Output<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // `layer` has looked at NO_COLOR: colours may be taken away here, never forced.
    let output = layer();
    let output = if terminal {
        output
    } else {
        output.with_ansi(false)
    };
    output
        .fmt_fields(debug_fn(write_field).delimited(" "))
        // It would report a broken standard error on standard error, and panic.
        .log_internal_errors(false)
        .with_writer(writer)
        .boxed()
}

fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    match field.name() {
        name if is_hidden(name) => return Ok(()),
        "message" => {}
        name if writer.has_ansi_escapes() => write!(writer, "\u{1b}[2m{name}=\u{1b}[0m")?,
        name => write!(writer, "{name}=")?,
    }
    write!(Escaping(writer), "{value:?}")
}

fn json<S, W>(writer: W) -> Output<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(true)
        .map_event_format(SafeJson)
        .fmt_fields(JsonFields)
        .log_internal_errors(false)
        .with_writer(writer)
        .boxed()
}

/// JSON leaves all but the C0 controls as they are, but readers split lines at U+0085 and U+2028
/// too, and terminals obey C1.
struct SafeJson<F>(F);

impl<S, N, F> FormatEvent<S, N> for SafeJson<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::with_capacity(256);
        self.0
            .format_event(context, Writer::new(&mut line), event)?;
        write_json(&mut writer, line.trim_end_matches('\n'))?;
        writer.write_char('\n')
    }
}

/// A panic is an event like any other: one record, not lines beside them.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("(no message)");
    let location = panic.location().map(ToString::to_string);
    let thread = std::thread::current();
    let backtrace = Backtrace::capture();
    let backtrace =
        (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(
        target: "panic",
        thread = thread.name(),
        location,
        backtrace,
        "panicked: {message}"
    );
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
