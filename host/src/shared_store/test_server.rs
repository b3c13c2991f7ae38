//! A redis-server of a test's own.

use std::time::Duration;

pub(crate) use server::RedisServer;

use super::redis_server::RedisSettings;

#[path = "../../../tests/src/redis.rs"]
#[allow(dead_code, reason = "the end-to-end tests use more of it")]
#[allow(
    unreachable_pub,
    reason = "the end-to-end tests' crate is where it is public"
)]
mod server;

/// Where a redis-server is, for a test.
pub(crate) fn settings(server: &RedisServer) -> RedisSettings {
    RedisSettings {
        url: server.url(),
        password: None,
        prefix: "test".to_owned(),
        timeout: Duration::from_secs(5),
    }
}
