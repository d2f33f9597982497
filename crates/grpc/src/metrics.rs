//! The metrics of this port, by the contract's names.

use std::{collections::HashMap, sync::OnceLock, time::Duration};

use metrics::{Counter, Histogram, Unit, counter, describe_counter, describe_histogram, histogram};
use sso_core::ports::Clock;
use sso_web::{exemplars, trace_context::TraceId};
use tonic::Code;

use crate::{methods, status};

pub(crate) mod watchers;

const REQUESTS: &str = "sso_grpc_requests_total";
const DURATION: &str = "sso_grpc_request_duration_seconds";
/// Both labels of what is no method of ours: callers cannot make series.
const UNMATCHED: &str = "unmatched";
/// How many codes gRPC has; they are numbered from 0.
const CODES: usize = 17;

/// Describes these metrics and makes a series at 0 exist for each rpc. Call it after the recorder
/// is installed.
pub fn register() {
    describe_counter!(
        REQUESTS,
        Unit::Count,
        "Calls of rpcs, gRPC and JSON, by gRPC code."
    );
    describe_histogram!(
        DURATION,
        Unit::Seconds,
        "Time of calls; of streams the time until they opened."
    );
    watchers::register();
    for method in methods::all() {
        let meter = Meter::new(&method.service, &method.name);
        // What we are to blame for too: what begins at 1 has no rate.
        for code in [
            Code::Ok,
            Code::Internal,
            Code::Unavailable,
            Code::DeadlineExceeded,
        ] {
            meter.counter(code).absolute(0);
        }
        let _ = meter.histogram();
    }
}

/// A meter for each method of this port. Handles are looked up in the recorder once.
pub(crate) struct Meters {
    methods: HashMap<&'static str, Meter>,
    unmatched: Meter,
}

impl Meters {
    pub(crate) fn new() -> Self {
        let methods = methods::all().iter().map(|method| {
            let meter = Meter::new(&method.service, &method.name);
            (method.path.as_str(), meter)
        });
        Self {
            methods: methods.collect(),
            unmatched: Meter::new(UNMATCHED, UNMATCHED),
        }
    }

    /// Whether a path is that of a method.
    pub(crate) fn knows(&self, path: &str) -> bool {
        self.methods.contains_key(path)
    }

    /// The method at a path such as `/auth.Auth/Login`, as `auth.Auth/Login`.
    pub(crate) fn name(&self, path: &str) -> &'static str {
        let known = self.methods.get_key_value(path);
        known.map_or(UNMATCHED, |(path, _)| path.trim_start_matches('/'))
    }

    /// The meter of a path such as `/auth.Auth/Login`.
    pub(crate) fn of(&self, path: &str) -> &Meter {
        self.methods.get(path).unwrap_or(&self.unmatched)
    }
}

/// Counts the calls of one method.
pub(crate) struct Meter {
    service: &'static str,
    method: &'static str,
    requests: [OnceLock<Counter>; CODES],
    duration: OnceLock<Histogram>,
}

impl Meter {
    fn new(service: &'static str, method: &'static str) -> Self {
        Self {
            service,
            method,
            requests: [const { OnceLock::new() }; CODES],
            duration: OnceLock::new(),
        }
    }

    /// Begins to measure a call, in this trace if it is sampled.
    pub(crate) fn start<'a>(&'a self, clock: &'a dyn Clock, trace: Option<TraceId>) -> Started<'a> {
        Started {
            meter: self,
            clock,
            trace,
            at: clock.monotonic(),
            code: Code::Cancelled,
        }
    }

    fn record(&self, code: Code, duration: Duration, trace: Option<TraceId>) {
        match self.requests.get(code as usize) {
            Some(handle) => handle.get_or_init(|| self.counter(code)).increment(1),
            None => self.counter(code).increment(1),
        }
        self.duration
            .get_or_init(|| self.histogram())
            .record(duration);
        if let Some(trace) = trace {
            let labels = [("service", self.service), ("method", self.method)];
            exemplars::observed(DURATION, &labels, duration, trace);
        }
    }

    fn counter(&self, code: Code) -> Counter {
        counter!(
            REQUESTS,
            "service" => self.service,
            "method" => self.method,
            "code" => status::name(code)
        )
    }

    fn histogram(&self) -> Histogram {
        histogram!(DURATION, "service" => self.service, "method" => self.method)
    }
}

/// A call under way. It is counted when this is dropped: as CANCELLED, unless it
/// [ended](Self::end) before its caller went away.
pub(crate) struct Started<'a> {
    meter: &'a Meter,
    clock: &'a dyn Clock,
    trace: Option<TraceId>,
    at: Duration,
    code: Code,
}

impl Started<'_> {
    /// The call has ended with this code.
    pub(crate) fn end(mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for Started<'_> {
    fn drop(&mut self) {
        let duration = self.clock.monotonic().saturating_sub(self.at);
        self.meter.record(self.code, duration, self.trace);
    }
}
