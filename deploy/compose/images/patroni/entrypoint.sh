#!/bin/sh
# Writes Patroni's configuration from the node's name and the secrets, then becomes Patroni.
set -eu
umask 077
secret() { cat "/run/secrets/$1"; }
address=$(hostname -i | cut -d' ' -f1)
cat >/tmp/patroni.yml <<YAML
scope: sso
name: $NODE
restapi: {listen: "0.0.0.0:8008", connect_address: "$address:8008"}
etcd3: {hosts: [etcd:2379]}
bootstrap:
  dcs:
    ttl: 30
    loop_wait: 5
    retry_timeout: 10
    maximum_lag_on_failover: 1048576
    # An acknowledged write is on a standby: see docs/operations/postgresql.md.
    synchronous_mode: ${SYNCHRONOUS_MODE:-true}
    postgresql:
      use_pg_rewind: true
      use_slots: true
      parameters:
        wal_log_hints: "on"
        max_connections: 200
        shared_buffers: ${SHARED_BUFFERS:-256MB}
        # A standby that answers a read may be asked to cancel it, not to hold the primary back.
        hot_standby_feedback: "off"
  initdb: [{encoding: UTF8}, data-checksums, {auth-host: scram-sha-256}, {auth-local: peer}]
  post_bootstrap: /tmp/bootstrap.sh
postgresql:
  listen: "0.0.0.0:5432"
  connect_address: "$address:5432"
  data_dir: /data/pg
  bin_dir: /usr/lib/postgresql/15/bin
  pgpass: /tmp/pgpass
  authentication:
    superuser: {username: postgres, password: "$(secret superuser_password)"}
    replication: {username: replicator, password: "$(secret replication_password)"}
  pg_hba:
    - local all postgres peer
    - host replication replicator samenet scram-sha-256
    - host all all samenet scram-sha-256
    - host all postgres 127.0.0.1/32 scram-sha-256
YAML
cat >/tmp/bootstrap.sh <<'SH'
#!/bin/sh
# Once, on the first primary: the role and the database of sso. The password comes from standard input, not from `ps`.
set -eu
password=$(cat /run/secrets/database_password)
psql -v ON_ERROR_STOP=1 -d "$1" <<SQL
create role sso login password '$password';
-- To see the standbys that may become the primary: else nothing is answered "everywhere" when Patroni drops one.
grant pg_read_all_stats to sso;
create database sso owner sso;
create database loyalty owner sso;
SQL
SH
chmod 0700 /tmp/bootstrap.sh
exec patroni /tmp/patroni.yml
