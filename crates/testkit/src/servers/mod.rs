//! Real servers on free loopback ports, each in a temporary folder, with the faults that happen to
//! them as methods.

mod daemon;
mod node;
mod pair;
pub mod patroni;
mod ports;
mod postgres;
mod prometheus;
mod proxy;
pub mod redis;
mod sandbox;
pub mod smtp;
mod template;
mod wait;

pub use daemon::Daemon;
pub use node::Node;
pub use pair::{Pair, Replica};
pub use patroni::Patroni;
pub use ports::Port;
pub use postgres::{Options, Postgres};
pub use prometheus::Prometheus;
pub use proxy::Proxy;
pub use redis::{Redis, RedisSentinel};
pub use sandbox::{Room, Sandbox};
pub use smtp::SmtpSink;
pub use template::SUPERUSER_PASSWORD;
