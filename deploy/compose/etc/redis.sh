#!/bin/sh
# redis.sh <master|replica|sentinel>: the configuration with its passwords, which Redis rewrites itself, then Redis.
set -eu
umask 077
password=$(cat /run/secrets/redis_password)
sentinel_password=$(cat /run/secrets/sentinel_password)
cd /data
if [ "$1" = sentinel ]; then
  # Once: afterwards Sentinel keeps in this file whom it has made the master.
  [ -s sentinel.conf ] || cat >sentinel.conf <<CONF
port 26379
requirepass $sentinel_password
sentinel sentinel-pass $sentinel_password
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel monitor sso redis1 6379 2
sentinel auth-pass sso $password
sentinel down-after-milliseconds sso 3000
sentinel failover-timeout sso 10000
CONF
  exec redis-sentinel sentinel.conf
fi
if [ ! -s redis.conf ]; then
  cat >redis.conf <<CONF
requirepass $password
masterauth $password
appendonly yes
repl-diskless-sync-delay 0
replica-announce-ip $(hostname)
# A deposed master that hears from no replica stops to acknowledge.
min-replicas-to-write 1
min-replicas-max-lag 10
CONF
  [ "$1" = master ] || echo 'replicaof redis1 6379' >>redis.conf
fi
# What Redis wrote may be of a container that had another name.
sed -i "s/^replica-announce-ip .*/replica-announce-ip $(hostname)/" redis.conf
exec redis-server redis.conf
