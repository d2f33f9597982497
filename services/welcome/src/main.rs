//! Consumes registrations and sends the welcome mail.

mod config;
mod dialogue;
mod handler;
mod mail;
mod metrics;
mod smtp;
mod smtp_url;
mod store;
mod templates;
mod tries;
mod welcome;

use std::process::ExitCode;

fn main() -> ExitCode {
    sso_service::run::<welcome::Welcome>(std::env::args_os()).into()
}
