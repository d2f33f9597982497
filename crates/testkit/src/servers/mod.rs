//! Real servers on free loopback ports, each in a temporary folder, with the faults that happen to
//! them as methods.

mod daemon;
#[cfg(feature = "kafka")]
pub mod kafka;
mod node;
mod pair;
pub mod patroni;
mod ports;
mod postgres;
mod proxy;
pub mod redis;
#[cfg(feature = "kafka")]
pub mod registry;
mod sandbox;
mod template;
mod wait;

pub use daemon::Daemon;
pub use node::Node;
pub use pair::{Pair, Replica};
pub use patroni::Patroni;
pub use ports::Port;
pub use postgres::{Options, Postgres};
pub use proxy::Proxy;
pub use redis::{Redis, RedisSentinel};
pub use sandbox::{Room, Sandbox};
pub use template::SUPERUSER_PASSWORD;
