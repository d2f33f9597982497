//! Real servers on free loopback ports, each in a temporary folder, with the faults that happen to
//! them as methods.
//!
//! | wanted | take |
//! |---|---|
//! | a database | [`Postgres::shared`], one per test process, and [`Postgres::database`] per test; [`Postgres::database_from`] clones a migrated one |
//! | other settings, TLS, a foreign cluster | [`Options`] (`.setting`, `.tls`, `.only_tls`, `.only_certified`, `.foreign`), then `.start()` |
//! | a stale, slow or cut off replica | [`Pair`], about a second |
//! | what a backup has | [`Postgres::base_backup`], then [`Backup::restore`] |
//! | a balancer before instances | [`Balancer`] |
//! | a failover | [`Patroni`], about 5 seconds; another leader after another 5 |
//! | Redis | [`Redis`]; [`RedisSentinel`], about 3 seconds; another master after 2 to 3 |
//! | a network that fails, or a balancer | [`Proxy`], before anything |
//! | scraped metrics, alerts | [`Prometheus`] |
//! | mail | [`SmtpSink`] |
//! | traces | `collector::Collector` |
//!
//! What can happen to them:
//!
//! | fault | [`Node`] (so [`Postgres`], [`Pair`]) | [`Patroni`] | [`RedisSentinel`] |
//! |---|---|---|---|
//! | a machine dies | `kill9`, `start` | `kill9_node`, `start_node` | `servers[n].kill9`, `.start` |
//! | a part of it dies | | `kill9_patroni_only`, `kill9_postgres_only` | `sentinels[n].kill9` |
//! | an operator acts | `stop`, `restart`, `promote`, `add_replica` | `switchover` | `failover`, `flushall` |
//! | a machine hangs | `freeze`, `thaw` | `freeze_node`, `thaw_node`, `freeze_etcd`, `freeze_haproxy` | `servers[n].freeze`, `.thaw` |
//! | stale reads | `pause_replay`, `resume_replay`, `delay` | the same, by node | |
//! | acknowledged and lost | `freeze_senders` + `kill9` + `promote` | `freeze_senders` + `kill9_node` | `cut_replication` + `kill9` |
//! | the network | `replicas[n].link`: `cut`, `freeze`, `delay`, `mend` | a [`Proxy`] before its URL | a [`Proxy`] before its address |
//! | data gone | | | `restart_master_empty` |
//! | the disk is full | `bound_files` | | |
//! | a failover and its repair | | `fail_over` | |
//! | all well again? | `ready`, `caught_up_with` | `ready`, `leader_after` | `ready`, `master_after` |
//!
//! Everything is asynchronous, works in any runtime of tokio, waits for the thing itself, and gives
//! up after a minute with the end of the server's log. Dropping a server ends it with all of its
//! processes, on a panic too; if the test process is killed, a keeper does so (`keeper.sh`), for
//! whatever has its working directory in the folder. As root the servers run as `postgres`.
//!
//! A server keeps its port while it is down. Other test processes do not take it ([`Port`]).

mod backup;
mod balancer;
#[cfg(feature = "traces")]
pub mod collector;
mod daemon;
#[cfg(feature = "kafka")]
pub mod kafka;
mod node;
mod pair;
pub mod patroni;
mod ports;
mod postgres;
mod prometheus;
mod proxy;
pub mod redis;
#[cfg(feature = "kafka")]
pub mod registry;
mod sandbox;
pub mod smtp;
mod template;
mod wait;

pub use backup::Backup;
pub use balancer::{Backend, Balancer};
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
