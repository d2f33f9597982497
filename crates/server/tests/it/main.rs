//! The real binary, black-box: what the contract promises is asked over the wire.

mod audit;
mod commands;
mod crash;
mod development;
mod doctor;
mod events;
mod import;
mod input;
mod lifecycle;
mod metrics;
mod revocation;
mod sessions;
mod shutdown;
mod start;
mod support;
mod swagger;
mod tokens;
