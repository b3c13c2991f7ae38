//! A cache in the gateway's memory, private to the filter's name, shared by its instances and
//! workers. At most 1,024 entries and 1 MiB a filter; the least used go first.

use core::time::Duration;

use crate::bindings::lifecycle::windlass::host::cache;

/// The value, if it is there and has not ended.
#[must_use]
pub fn get(key: &str) -> Option<Vec<u8>> {
    cache::get(key)
}

/// Keeps a value for this long, a day at most. False when it is larger than the cache takes
/// (64 KiB with its key).
#[must_use]
pub fn put(key: &str, value: impl AsRef<[u8]>, ttl: Duration) -> bool {
    cache::put(key, value.as_ref(), milliseconds(ttl))
}

/// Forgets a value.
pub fn delete(key: &str) {
    cache::delete(key);
}

/// Adds to a number that starts at 0 and ends this long after its first use; gives the sum. One
/// atomic step.
pub fn increment(key: &str, delta: i64, ttl: Duration) -> i64 {
    cache::increment(key, delta, milliseconds(ttl))
}

fn milliseconds(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)
}
