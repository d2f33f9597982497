//! `sso openapi`: the documents that the Swagger pages show.

use clap::{Args, ValueEnum};

use super::output;
use crate::exit::{Exit, Failed};

#[derive(Debug, Args)]
pub(super) struct OpenapiArgs {
    /// Of which port.
    #[arg(long, value_enum, default_value_t)]
    port: Port,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Port {
    /// The HTTP API for frontends.
    #[default]
    Http,
    /// JSON on the gRPC port.
    Grpc,
}

/// Prints the document.
pub(super) fn run(args: &OpenapiArgs) -> Result<Exit, Failed> {
    let document = match args.port {
        Port::Http => serde_json::to_string_pretty(&sso_http::openapi()),
        Port::Grpc => serde_json::to_string_pretty(&sso_grpc::openapi()),
    };
    let document = document.map_err(|error| Failed::from_error(Exit::Failure, &error))?;
    output::print_document(&document);
    Ok(Exit::Success)
}
