//! Real servers, on free loopback ports, in folders of their own; they end with the test.

#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "kafka")]
pub mod registry;
