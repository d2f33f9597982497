//! The binary `sso`: configuration, wiring, command line, background loops.

mod cli;
mod config;
mod serve;
mod system;
mod wiring;

use std::process::ExitCode;

use sso_config::exit;

/// Smaller and quicker than the system's under many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(std::env::args_os()).into()
}
