//! Redis, if one is used.

use super::Finding;
use crate::{
    config::{Config, redis_in_clear},
    wiring::{self, RedisStatus},
};

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !config.redis.is_used() {
        return findings;
    }
    if redis_in_clear(&config.redis) {
        findings.push(Finding::warning(
            "redis.tls",
            "our password and whose sessions end travel to Redis in clear",
            "set it to true",
        ));
    }
    findings.push(match wiring::examine_redis(config) {
        Ok(RedisStatus::Up(master)) => Finding::ok("redis", format!("the master {master} answers")),
        Ok(RedisStatus::Down(what)) => Finding::error("redis", what, WITHOUT),
        Ok(RedisStatus::Unknown) => Finding::error("redis", "nobody has looked", WITHOUT),
        Err(failed) => Finding::error("redis", failed.message().to_owned(), "correct it"),
    });
    findings
}

const WITHOUT: &str = "until this is repaired revocations reach everywhere some beats later, and \
                       each instance counts failed logins alone";
