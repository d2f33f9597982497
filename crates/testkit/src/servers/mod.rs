//! Real servers on free loopback ports, each in a temporary folder, with the faults that happen to
//! them as methods.

mod daemon;
mod node;
mod pair;
mod ports;
mod postgres;
mod proxy;
mod sandbox;
mod template;
mod wait;

pub use daemon::Daemon;
pub use node::Node;
pub use pair::{Pair, Replica};
pub use ports::Port;
pub use postgres::{Options, Postgres};
pub use proxy::Proxy;
pub use sandbox::{Room, Sandbox};
pub use template::SUPERUSER_PASSWORD;
