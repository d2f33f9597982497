#!/bin/sh
# Makes the secrets of the compose files, once: what is there is kept. No secret has a default.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
for name in database_password superuser_password replication_password redis_password sentinel_password \
  grafana_password caller_loyalty; do
  [ -s "secrets/$name" ] || head -c 24 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n' >"secrets/$name"
done
# 32 bytes in base64, as keys.master_key wants them.
[ -s secrets/master_key ] || head -c 32 /dev/urandom | base64 | tr -d '\n' >secrets/master_key
# A service shows its token; sso knows the digest.
digest=$(sha256sum secrets/caller_loyalty | cut -d' ' -f1)
cat >secrets/callers.toml <<TOML
[[grpc.callers]]
name = "loyalty"
token_sha256 = "$digest"
scopes = ["auth", "revocations:read"]
TOML
# Containers run as 65532 and others: readable for them, the folder is not for others. `sso doctor` calls the
# rights wrong all the same: where you can, take a manager of secrets.
chmod 0755 secrets
chmod 0644 secrets/*
chmod 0700 .
echo "secrets/ is complete"
