//! The files of a Patroni cluster.

use std::fmt::Write as _;

use super::{Addresses, Options};
use crate::servers::template::{REPLICATOR_PASSWORD, REWINDER_PASSWORD, SUPERUSER_PASSWORD};

/// How quickly the cluster notices and acts. Production has 30, 10, 10; with less than 2 s of
/// `retry_timeout` Patroni never talks to etcd.
pub(super) const TTL_SECONDS: u32 = 5;
const LOOP_WAIT_SECONDS: u32 = 1;
const RETRY_TIMEOUT_SECONDS: u32 = 2;

/// A file in the data directory for what a test sets: Patroni takes away what ALTER SYSTEM sets,
/// and leaves alone what an included file says.
pub(super) const INCLUDED: &str = "set-by-test.conf";

/// The name of a node.
pub(super) fn name(node: usize) -> String {
    format!("pg{}", node + 1)
}

/// The configuration of a node whose folder is `folder`/its name.
pub(super) fn node(
    node: usize,
    addresses: &Addresses,
    options: &Options,
    folder: &str,
    programs: &str,
) -> String {
    let name = name(node);
    let postgres = addresses.postgres[node];
    let rest = addresses.rest[node];
    let etcd = addresses.etcd;
    let synchronous = options.synchronous;
    let mut text = format!(
        r#"scope: sso
namespace: /tests/
name: {name}
restapi:
  listen: 127.0.0.1:{rest}
  connect_address: 127.0.0.1:{rest}
# Debian's etcd 3.4 has its second API off.
etcd3:
  hosts: 127.0.0.1:{etcd}
bootstrap:
  dcs:
    ttl: {TTL_SECONDS}
    loop_wait: {LOOP_WAIT_SECONDS}
    retry_timeout: {RETRY_TIMEOUT_SECONDS}
    maximum_lag_on_failover: 1048576
    synchronous_mode: {synchronous}
    postgresql:
      use_pg_rewind: true
      use_slots: true
      parameters:
        wal_level: replica
        hot_standby: "on"
        max_connections: 100
        max_wal_senders: 10
        max_replication_slots: 10
        # Who could not follow for minutes of load comes back without a base backup.
        wal_keep_size: 512MB
        # pg_rewind needs it.
        wal_log_hints: "on"
postgresql:
  listen: 127.0.0.1:{postgres}
  connect_address: 127.0.0.1:{postgres}
  data_dir: {folder}/{name}/data
  bin_dir: {programs}
  pgpass: {folder}/{name}/pgpass
  use_unix_socket: true
  pg_hba:
    - local all all trust
    - host all all 127.0.0.0/8 scram-sha-256
    - host replication all 127.0.0.0/8 scram-sha-256
  authentication:
    superuser: {{username: postgres, password: {SUPERUSER_PASSWORD}}}
    replication: {{username: replicator, password: {REPLICATOR_PASSWORD}}}
    rewind: {{username: rewinder, password: {REWINDER_PASSWORD}}}
  basebackup:
    - checkpoint: fast
    - no-sync
  remove_data_directory_on_rewind_failure: true
  remove_data_directory_on_diverged_timelines: true
  parameters:
    unix_socket_directories: {folder}
    # A test outlives no power cut; pg_rewind needs full_page_writes.
    fsync: "off"
    full_page_writes: "on"
    shared_buffers: 16MB
    # kill -9 would leave files of the default in /dev/shm.
    dynamic_shared_memory_type: mmap
    min_wal_size: 8MB
    max_wal_size: 256MB
    jit: "off"
    logging_collector: "off"
    log_line_prefix: '%m [%p] %q%u@%d '
    log_checkpoints: "off"
    wal_receiver_status_interval: 1s
    wal_retrieve_retry_interval: 200ms
"#
    );
    for (parameter, value) in &options.settings {
        let value = value.replace('\'', "''");
        let _ = writeln!(text, "    {parameter}: '{value}'");
    }
    text.push_str("watchdog: {mode: \"off\"}\n");
    text
}

/// HAProxy: a port for the leader, one for the replicas. It asks Patroni, and ends the sessions of
/// a server that has become something else.
pub(super) fn haproxy(addresses: &Addresses, folder: &str) -> String {
    let mut text = format!(
        "global
  maxconn 1000
  # Or a second HAProxy on a port that is taken gets half of its connections.
  noreuseport
  stats socket {folder}/haproxy.sock mode 600 level admin
defaults
  mode tcp
  retries 2
  option redispatch
  timeout connect 1s
  timeout check 1s
  timeout client 30m
  timeout server 30m
  default-server inter 500ms fastinter 100ms downinter 200ms fall 2 rise 1 on-marked-down shutdown-sessions
"
    );
    for (listener, port, path, balance) in [
        ("leader", addresses.leader, "/primary", "first"),
        ("replicas", addresses.replicas, "/replica", "roundrobin"),
    ] {
        let _ = writeln!(
            text,
            "listen {listener}
  bind 127.0.0.1:{port}
  balance {balance}
  option httpchk
  http-check send meth OPTIONS uri {path}
  http-check expect status 200"
        );
        for (node, (postgres, rest)) in addresses.postgres.iter().zip(&addresses.rest).enumerate() {
            let name = name(node);
            let _ = writeln!(
                text,
                "  server {name} 127.0.0.1:{postgres} maxconn 300 check port {rest}"
            );
        }
    }
    text
}
