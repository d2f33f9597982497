//! The real binary, black-box: what the contract promises is asked over the wire.

mod canary;
mod commands;
mod crash;
mod development;
mod enumeration;
mod events;
mod injection;
mod input;
mod metrics;
mod overload;
mod revocation;
mod sessions;
mod shutdown;
mod start;
mod support;
mod swagger;
mod throttle;
mod tokens;
