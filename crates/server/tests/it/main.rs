//! The real binary, black-box: what the contract promises is asked over the wire.

mod callers;
mod canary;
mod commands;
mod crash;
mod development;
mod enumeration;
mod events;
mod hs256;
mod injection;
mod input;
mod keys;
mod keys_under_load;
mod metrics;
mod network;
mod overload;
mod policy;
mod reseal;
mod revocation;
mod sessions;
mod shutdown;
mod start;
mod support;
mod swagger;
mod throttle;
mod tokens;
