//! `sso metrics`: the beginning of docs/metrics.md, from what the code says of its own metrics.

use super::output;
use crate::{
    exit::{Exit, Failed},
    serve,
};

const HEAD: &str = "\
# Metrics

Generated from the code by `cargo xtask gen`; do not edit. `/metrics` (`sso`: of the admin listener)
renders these in Prometheus' text format, or in OpenMetrics for who asks for that. Every label has a
bounded set of values: users, addresses and paths are never part of one. In OpenMetrics the buckets of
`sso_http_request_duration_seconds` and `sso_grpc_request_duration_seconds` have exemplars with the
`trace_id` of a sampled request.

## sso

PostgreSQL's are there with PostgreSQL only.

";

/// Prints it.
pub(super) fn run() -> Result<Exit, Failed> {
    let table = sso_telemetry::metrics_table(|| {
        serve::register_metrics();
        wiring_example();
        serve::certificates::register_example();
    });
    let table = table.map_err(|error| Failed::from_error(Exit::Failure, &error))?;
    output::print_document(&format!("{HEAD}{table}"));
    Ok(Exit::Success)
}

/// What is registered when servers are known.
fn wiring_example() {
    sso_store_postgres::servers::register_metrics([("db.example.com:5432", true)].into_iter());
}
