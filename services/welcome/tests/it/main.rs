//! The real binary, real Kafka, a mail server that fails where it should.

mod commands;
// A release build has no failpoints.
#[cfg(debug_assertions)]
mod crashes;
mod instances;
mod mails;
mod parking;
mod ready;
mod silence;
mod support;
