//! Consumes registrations, credits the welcome points, keeps the ledger.

mod config;
mod credit;
mod http;
mod ledger;
mod loyalty;
mod metrics;

use std::process::ExitCode;

fn main() -> ExitCode {
    sso_service::run::<loyalty::Loyalty>(std::env::args_os()).into()
}
