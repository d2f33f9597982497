//! The routes, in process: a real router over the real use cases, a store in memory, a clock moved
//! by hand. Every answer that a test sees is held against the OpenAPI document.

#[cfg(test)]
mod account;
#[cfg(test)]
mod admin;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod document;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod health;
#[cfg(test)]
mod me;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod protocol;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod swagger;
