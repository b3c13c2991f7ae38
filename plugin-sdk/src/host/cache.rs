//! A cache in the gateway's memory. It is private to the filter's name, and shared by its instances
//! and workers. A filter has at most 1,024 entries and 1 MiB; the least used entries are evicted
//! first.

use core::time::Duration;

use crate::gateway::cache;

/// The value, or `None` if it is absent or has expired.
#[must_use]
pub fn get(key: &str) -> Option<Vec<u8>> {
    cache::get(key)
}

/// Stores a value for this long, at most a day. Returns false if it exceeds 64 KiB with its key.
#[must_use]
pub fn put(key: &str, value: impl AsRef<[u8]>, ttl: Duration) -> bool {
    cache::put(key, value.as_ref(), milliseconds(ttl))
}

/// Deletes a value.
pub fn delete(key: &str) {
    cache::delete(key);
}

/// Adds to a number that starts at 0 and expires this long after its first use. Returns the sum.
/// Atomic.
pub fn increment(key: &str, delta: i64, ttl: Duration) -> i64 {
    cache::increment(key, delta, milliseconds(ttl))
}

fn milliseconds(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)
}
