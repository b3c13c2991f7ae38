//! A cache for each filter's name and origin, which its instances on all workers share.
//!
//! It promises at most 1,024 entries and 1 MiB for each filter, and evicts the least recently used
//! entries first; that every entry expires, after at most a day; that writes of one entry,
//! `increment` above all, happen one after the other and none is lost; and that no server's answer
//! outlives a change of the callouts and secrets that it came through. Both bounds may be exceeded
//! by the last few hundred writes, which are counted with the next ones.
//!
//! It deliberately stores nothing on disk, and gives no filter a way to see another filter's
//! entries.
//!
//! Callers pass the time: milliseconds of a clock that never steps back. That time alone decides
//! whether an entry has expired; moka's own clock only frees the memory.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ahash::RandomState;
use moka::Expiry;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::Mutex;

use super::crypto::digest_of_parts;

/// The most entries of a filter.
pub(crate) const MAX_ENTRIES: u64 = 1024;
/// The most that a filter's entries may hold, keys included. Bytes.
pub(crate) const MAX_BYTES: u64 = 1024 * 1024;
/// The largest entry, its key included. Bytes.
pub(crate) const MAX_ENTRY: usize = 64 * 1024;
/// The longest lifetime of an entry. Milliseconds: a day.
pub(crate) const MAX_TTL_MS: u64 = 24 * 60 * 60 * 1000;

/// The caches of all filters, by name and origin. They outlive reloads; a cache is freed with the
/// last configuration that has its filter.
#[derive(Debug, Default)]
pub(crate) struct Caches {
    by_filter: Mutex<HashMap<CacheKey, Weak<FilterCache>>>,
}

/// A filter's name, and its origin.
type CacheKey = (Arc<str>, CacheOrigin);

/// The digest of the callouts and secrets that a filter may use. A filter of the same name with
/// others has a cache of its own, so that one server's answer never counts as another's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct CacheOrigin([u8; 32]);

impl CacheOrigin {
    /// The digest of all parts, each separated from the next by its length.
    #[must_use]
    pub(crate) fn of<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> Self {
        Self(digest_of_parts(parts))
    }
}

impl Caches {
    /// The cache of the filter with this name and origin. For the start and reloads, not for
    /// requests.
    #[must_use]
    pub(crate) fn of(&self, filter: &str, origin: CacheOrigin) -> Arc<FilterCache> {
        let key = (Arc::from(filter), origin);
        let mut by_filter = self.by_filter.lock();
        if let Some(cache) = by_filter.get(&key).and_then(Weak::upgrade) {
            return cache;
        }
        by_filter.retain(|_, cache| cache.strong_count() > 0);
        let cache = Arc::new(FilterCache::new());
        by_filter.insert(key, Arc::downgrade(&cache));
        cache
    }
}

/// The cache of one filter's name and origin.
#[derive(Debug)]
pub(crate) struct FilterCache {
    entries: Cache<String, CacheEntry, RandomState>,
}

#[derive(Debug, Clone)]
struct CacheEntry {
    value: CacheValue,
    /// When it expires, on the callers' clock. Milliseconds.
    ends_ms: u64,
    /// The lifetime when its end was set; None if a later write left the end unchanged.
    ttl: Option<Duration>,
}

#[derive(Debug, Clone)]
enum CacheValue {
    Bytes(Arc<[u8]>),
    Number(i64),
}

impl CacheValue {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Number(_) => size_of::<i64>(),
        }
    }

    /// The number in 8 little-endian bytes.
    fn number(&self) -> Option<i64> {
        match self {
            Self::Bytes(bytes) => bytes.as_ref().try_into().ok().map(i64::from_le_bytes),
            Self::Number(number) => Some(*number),
        }
    }

    fn to_bytes(&self) -> Arc<[u8]> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Number(number) => Arc::new(number.to_le_bytes()),
        }
    }
}

impl FilterCache {
    fn new() -> Self {
        // An entry weighs at least its share, so one capacity bounds number and bytes.
        let share = MAX_BYTES / MAX_ENTRIES;
        let entries = Cache::builder()
            .max_capacity(MAX_BYTES)
            .weigher(move |key: &String, entry: &CacheEntry| {
                let bytes = (key.len() + entry.value.len()) as u64;
                u32::try_from(bytes.max(share)).unwrap_or(u32::MAX)
            })
            // The default policy (TinyLFU) may reject an entry that was just inserted.
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(EntryExpiry)
            .build_with_hasher(RandomState::new());
        Self { entries }
    }

    /// The value, if it exists and has not expired.
    #[must_use]
    pub(crate) fn find(&self, key: &str, now_ms: u64) -> Option<Arc<[u8]>> {
        let entry = self.entries.get(key)?;
        (now_ms < entry.ends_ms).then(|| entry.value.to_bytes())
    }

    /// Stores a value for this many milliseconds, at most [`MAX_TTL_MS`]. Returns false, and
    /// changes nothing, if value and key together are larger than [`MAX_ENTRY`]. A value with no
    /// lifetime is dropped at once.
    #[must_use]
    pub(crate) fn put(&self, key: &str, value: &[u8], ttl_ms: u64, now_ms: u64) -> bool {
        if key.len().saturating_add(value.len()) > MAX_ENTRY {
            return false;
        }
        if ttl_ms == 0 {
            self.delete(key);
            return true;
        }
        let entry = CacheEntry::new(CacheValue::Bytes(value.into()), ttl_ms, now_ms);
        self.entries
            .entry_by_ref(key)
            .and_compute_with(|_| Op::Put(entry));
        true
    }

    pub(crate) fn delete(&self, key: &str) {
        self.entries
            .entry_by_ref(key)
            .and_compute_with(|_| Op::Remove);
    }

    /// Adds to a number that starts at 0 and expires `ttl_ms` after its first use. Returns the
    /// sum, which saturates. A value that is no number is replaced. If the key is too long or the
    /// lifetime is 0, nothing is stored and the sum is that of a new number.
    #[must_use]
    pub(crate) fn increment(&self, key: &str, delta: i64, ttl_ms: u64, now_ms: u64) -> i64 {
        if key.len().saturating_add(size_of::<i64>()) > MAX_ENTRY {
            return delta;
        }
        let mut sum = delta;
        self.entries.entry_by_ref(key).and_compute_with(|entry| {
            let entry = entry
                .map(moka::Entry::into_value)
                .filter(|entry| now_ms < entry.ends_ms);
            match entry.and_then(|entry| Some((entry.value.number()?, entry.ends_ms))) {
                Some((number, ends_ms)) => {
                    sum = number.saturating_add(delta);
                    Op::Put(CacheEntry {
                        value: CacheValue::Number(sum),
                        ends_ms,
                        ttl: None,
                    })
                }
                None if ttl_ms == 0 => Op::Remove,
                None => Op::Put(CacheEntry::new(CacheValue::Number(sum), ttl_ms, now_ms)),
            }
        });
        sum
    }
}

impl CacheEntry {
    fn new(value: CacheValue, ttl_ms: u64, now_ms: u64) -> Self {
        let ttl_ms = ttl_ms.min(MAX_TTL_MS);
        Self {
            value,
            ends_ms: now_ms.saturating_add(ttl_ms),
            ttl: Some(Duration::from_millis(ttl_ms)),
        }
    }
}

/// Tells moka when it may free memory.
struct EntryExpiry;

impl Expiry<String, CacheEntry> for EntryExpiry {
    fn expire_after_create(&self, _: &String, entry: &CacheEntry, _: Instant) -> Option<Duration> {
        Some(entry.ttl.unwrap_or(Duration::from_millis(MAX_TTL_MS)))
    }

    fn expire_after_update(
        &self,
        _: &String,
        entry: &CacheEntry,
        _: Instant,
        left: Option<Duration>,
    ) -> Option<Duration> {
        entry.ttl.or(left)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn text(cache: &FilterCache, key: &str, now_ms: u64) -> Option<String> {
        cache
            .find(key, now_ms)
            .map(|value| String::from_utf8(value.to_vec()).unwrap())
    }

    #[test]
    fn a_value_lasts_until_its_end() {
        let cache = FilterCache::new();
        assert!(cache.put("k", b"v", 60_000, 5));
        assert_eq!(text(&cache, "k", 60_004).as_deref(), Some("v"));
        assert_eq!(text(&cache, "k", 60_005), None);
        assert!(cache.put("k", b"w", 60_000, 50_000));
        assert_eq!(text(&cache, "k", 109_999).as_deref(), Some("w"));
        cache.delete("k");
        assert_eq!(text(&cache, "k", 50_000), None);
    }

    #[test]
    fn no_value_lasts_longer_than_a_day() {
        let cache = FilterCache::new();
        assert!(cache.put("k", b"v", u64::MAX, 7));
        assert!(text(&cache, "k", MAX_TTL_MS + 6).is_some());
        assert_eq!(text(&cache, "k", MAX_TTL_MS + 7), None);
        assert!(cache.put("k", b"v", 0, 7));
        assert_eq!(text(&cache, "k", 7), None);
    }

    #[test]
    fn a_value_too_large_changes_nothing() {
        let cache = FilterCache::new();
        let largest = vec![b'x'; MAX_ENTRY - 1];
        assert!(cache.put("k", &largest, 1000, 0));
        assert!(!cache.put("kk", &largest, 1000, 0));
        assert!(!cache.put("k", &vec![b'y'; MAX_ENTRY], 1000, 0));
        assert_eq!(cache.find("k", 0).unwrap().as_ref(), largest);
        let long = "k".repeat(MAX_ENTRY);
        assert_eq!(cache.increment(&long, 3, 1000, 0), 3);
        assert_eq!(cache.find(&long, 0), None);
    }

    #[test]
    fn a_number_ends_after_its_first_use() {
        let cache = FilterCache::new();
        assert_eq!(cache.increment("n", 2, 1000, 0), 2);
        assert_eq!(cache.increment("n", -5, 1000, 900), -3);
        assert_eq!(
            cache.find("n", 900).unwrap().as_ref(),
            (-3_i64).to_le_bytes()
        );
        assert_eq!(cache.increment("n", 1, 1000, 1000), 1);
        assert_eq!(cache.increment("n", i64::MAX, 1000, 1001), i64::MAX);
    }

    #[test]
    fn eight_bytes_are_a_number_and_others_start_anew() {
        let cache = FilterCache::new();
        assert!(cache.put("n", &7_i64.to_le_bytes(), 1000, 0));
        assert_eq!(cache.increment("n", 1, 50, 0), 8);
        assert!(
            cache.find("n", 999).is_some(),
            "the end that `put` gave stays"
        );
        assert!(cache.put("n", b"seven", 1000, 0));
        assert_eq!(cache.increment("n", 1, 50, 0), 1);
        assert_eq!(cache.find("n", 50), None);
    }

    #[test]
    fn no_increment_is_lost() {
        let cache = FilterCache::new();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        let _ = cache.increment("n", 1, 60_000, 0);
                    }
                });
            }
        });
        assert_eq!(cache.increment("n", 0, 60_000, 0), 16_000);
    }

    #[test]
    fn entries_and_bytes_are_bounded_and_the_least_used_go() {
        let cache = FilterCache::new();
        for number in 0..5000 {
            assert!(cache.put(&number.to_string(), b"v", 60_000, 0));
        }
        cache.entries.run_pending_tasks();
        assert_eq!(cache.entries.entry_count(), MAX_ENTRIES);
        assert!(cache.find("4999", 0).is_some() && cache.find("0", 0).is_none());
        let large = vec![0; 60_000];
        for number in 0..100 {
            assert!(cache.put(&number.to_string(), &large, 60_000, 0));
        }
        cache.entries.run_pending_tasks();
        assert!(cache.entries.weighted_size() <= MAX_BYTES);
        assert!(cache.find("99", 0).is_some());
    }

    #[test]
    fn a_name_keeps_its_cache_while_someone_has_it() {
        let caches = Caches::default();
        let of = |filter: &str| caches.of(filter, CacheOrigin::default());
        let old = of("keys");
        assert!(old.put("k", b"v", 1000, 0));
        let new = of("keys");
        drop(old);
        assert!(new.find("k", 0).is_some());
        assert!(of("plan").find("k", 0).is_none());
        let other = CacheOrigin::of([b"other".as_slice()]);
        assert!(caches.of("keys", other).find("k", 0).is_none());
        assert!(of("keys").find("k", 0).is_some());
        drop(new);
        assert!(of("keys").find("k", 0).is_none());
        assert_eq!(caches.by_filter.lock().len(), 1);
    }
}
