use std::{
    sync::{Arc, Mutex},
    thread,
};

use serde_json::Value;
use tracing::{Dispatch, debug, dispatcher, info, info_span, warn};

use super::*;

/// What a hostile client may put into a value.
const HOSTILE: &str =
    "x\r\n{\"level\":\"ERROR\"}\n\u{1b}[2J\u{9b}31m\u{85}\u{2028}\u{202e}\"\\\0 level=ERROR";

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn writer(&self) -> impl Fn() -> Buffer + Send + Sync + 'static {
        let buffer = self.clone();
        move || buffer.clone()
    }
}

fn logged<F: FnOnce()>(output: impl FnOnce(&Buffer) -> Dispatch, act: F) -> String {
    let buffer = Buffer::default();
    dispatcher::with_default(&output(&buffer), act);
    buffer.text()
}

fn as_json(buffer: &Buffer) -> Dispatch {
    Dispatch::new(Registry::default().with(json(buffer.writer())))
}

fn for_people(buffer: &Buffer) -> Dispatch {
    Dispatch::new(Registry::default().with(people(false, buffer.writer())))
}

fn hostile_events() {
    let span = info_span!("request", path = HOSTILE, late = tracing::field::Empty);
    let _guard = span.enter();
    span.record("late", HOSTILE);
    info!(agent = HOSTILE, shown = %HOSTILE, debugged = ?HOSTILE, "hello {HOSTILE}");
}

#[test]
fn what_a_span_learns_later_is_beside_what_it_had_and_once() {
    let text = logged(as_json, || {
        let span = info_span!(
            "request",
            path = "a \"late\":1 } {",
            late = tracing::field::Empty,
            r#type = 7,
            otel.name = "hidden",
            share = 0.5,
            nothing = f64::NAN,
        );
        let _guard = span.enter();
        span.record("late", 1);
        span.record("late", HOSTILE);
        span.record("otel.name", "hidden too");
        let bare = info_span!("bare", first = tracing::field::Empty);
        let _guard = bare.enter();
        bare.record("first", true);
        info!("hello");
    });
    let line: Value = serde_json::from_str(&text).unwrap();
    let expected = serde_json::json!([
        {
            "name": "request", "path": "a \"late\":1 } {", "late": HOSTILE, "type": 7,
            "share": 0.5, "nothing": null,
        },
        { "name": "bare", "first": true },
    ]);
    assert_eq!(line["spans"], expected);
    assert_eq!(text.matches("\"late\":").count(), 1, "{text}");
}

#[test]
fn a_json_event_is_one_line_with_stable_names() {
    let text = logged(as_json, || {
        let outer = info_span!("request", request_id = "r1");
        let _outer = outer.enter();
        let inner = info_span!("login", queue = "login");
        let _inner = inner.enter();
        warn!(target: "sso_http", attempts = 3, ok = false, "slow");
    });
    assert_eq!(text.matches('\n').count(), 1);
    let mut event: Value = serde_json::from_str(&text).unwrap();
    let time = event["timestamp"].take();
    let time = time.as_str().unwrap();
    assert!(
        time.len() == 27 && time.ends_with('Z') && &time[10..11] == "T",
        "{time}"
    );
    assert_eq!(
        event,
        serde_json::json!({
            "timestamp": null, "level": "WARN", "target": "sso_http", "message": "slow",
            "attempts": 3, "ok": false,
            "spans": [
                {"name": "request", "request_id": "r1"},
                {"name": "login", "queue": "login"},
            ],
        })
    );
}

#[test]
fn hostile_values_cannot_break_a_json_record() {
    let text = logged(as_json, hostile_events);
    assert_eq!(text.matches('\n').count(), 1, "{text:?}");
    assert!(
        !text
            .trim_end_matches('\n')
            .contains(crate::escape::is_unsafe),
        "{text:?}"
    );
    let event: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(event["level"], "INFO");
    assert_eq!(event["agent"], HOSTILE);
    assert_eq!(event["shown"], HOSTILE);
    assert_eq!(event["message"], format!("hello {HOSTILE}"));
    assert_eq!(event["spans"][0]["path"], HOSTILE);
    assert_eq!(event["spans"][0]["late"], HOSTILE);
}

#[test]
fn hostile_values_cannot_break_a_line_for_people() {
    let text = logged(for_people, hostile_events);
    assert_eq!(text.matches('\n').count(), 1, "{text:?}");
    assert!(
        !text
            .trim_end_matches('\n')
            .contains(crate::escape::is_unsafe),
        "{text:?}"
    );
    assert!(text.contains("hello x\\r\\n{"), "{text:?}");
    assert!(text.contains("late=\"x\\r\\n"), "{text:?}");
}

#[test]
fn a_line_for_people_reads_as_a_sentence_with_fields() {
    let text = logged(for_people, || {
        let span = info_span!("request", request_id = "r1");
        span.in_scope(|| info!(target: "sso", port = 8000, "listening"));
    });
    let (_, rest) = text.split_once("Z  ").unwrap();
    assert_eq!(
        rest,
        "INFO request{request_id=\"r1\"}: sso: listening port=8000\n"
    );
}

#[test]
fn the_level_changes_while_running() {
    let buffer = Buffer::default();
    let (filter, handle) = reload::Layer::new(Filter::default().targets());
    let output = people(false, buffer.writer());
    let dispatch = Dispatch::new(Registry::default().with(filter).with(output));
    let control = LogControl(handle);
    dispatcher::with_default(&dispatch, || {
        debug!("first");
        control.set_level(&"debug".parse().unwrap()).unwrap();
        debug!("second");
        control.set_level(&"off".parse().unwrap()).unwrap();
        warn!("third");
    });
    assert!(!buffer.text().contains("first"));
    assert!(buffer.text().contains("second"));
    assert!(!buffer.text().contains("third"));
    assert_eq!(control.level().unwrap().to_string(), "off");
    drop(dispatch);
    // Whoever makes a dispatcher, as other tests do beside this one, holds all that there are for a moment.
    let is_gone = || {
        thread::yield_now();
        control.level() == Err(LogError::NotRunning)
    };
    assert!((0..100_000).any(|_| is_gone()));
}

/// The only test that starts logging for the process.
#[test]
fn logging_starts_once() {
    let logs = Logs {
        format: Format::Json,
        level: "off".parse().unwrap(),
    };
    assert!(init(&logs, None).is_ok());
    assert_eq!(init(&logs, None).unwrap_err(), LogError::Started);
}
