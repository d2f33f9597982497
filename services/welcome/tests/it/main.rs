//! The real binary, real Kafka, a mail server that fails where it should.

mod commands;
mod crashes;
mod mails;
mod parking;
mod support;
