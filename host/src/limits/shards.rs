//! A table in shards, each behind a short lock of its own.

use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};

use ahash::RandomState;
use parking_lot::{Mutex, MutexGuard};

use super::room::Division;

/// The most shards of a table.
const MAX_SHARDS: usize = 64;

/// The smallest capacity of a shard, so that a shard is seldom full while the table is not.
const LEAST_SHARD: usize = 256;

/// The shards of one table.
#[derive(Debug)]
pub(super) struct Shards<T> {
    /// Apart from the rest, so that every number has a shard.
    first: Shard<T>,
    /// One less than a power of two, so that a part of the hash picks a shard.
    rest: Box<[Shard<T>]>,
    /// The capacity of each shard. Entries.
    pub(crate) capacity: usize,
    /// The number of bounds that share the room; 0: first come, first served.
    bounds: AtomicUsize,
    hasher: RandomState,
}

/// On a cache line of its own (two, for processors that fetch pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard<T>(Mutex<T>);

impl<T: Default> Shards<T> {
    /// Room for this many entries, at least one.
    pub(super) fn new(capacity: usize) -> Self {
        let shards = (capacity / LEAST_SHARD).clamp(1, MAX_SHARDS);
        // The largest power of two that is not above it.
        let shards = 1 << shards.ilog2();
        Self {
            first: Shard::default(),
            rest: (1..shards).map(|_| Shard::default()).collect(),
            capacity: (capacity / shards).max(1),
            bounds: AtomicUsize::new(0),
            hasher: RandomState::new(),
        }
    }

    /// Divides the room among this many bounds.
    pub(super) fn divide(&self, bounds: usize) {
        self.bounds.store(bounds, Ordering::Relaxed);
    }

    /// How the room of each shard is divided.
    pub(super) fn division(&self) -> Division {
        Division {
            capacity: self.capacity,
            bounds: self.bounds.load(Ordering::Relaxed),
        }
    }

    /// The hash of the owner of an entry.
    pub(super) fn hash(&self, space: u32, key: impl Hash) -> u64 {
        self.hasher.hash_one((space, key))
    }

    /// The number of the shard of this hash. Its low and highest bits are the table's own.
    pub(super) fn number(&self, hash: u64) -> usize {
        (hash >> 32) as usize & self.rest.len()
    }

    /// Locks the shard with this number.
    pub(super) fn lock(&self, number: usize) -> MutexGuard<'_, T> {
        let rest = number.checked_sub(1).and_then(|at| self.rest.get(at));
        rest.unwrap_or(&self.first).0.lock()
    }

    /// Locks the shard of this hash.
    pub(super) fn lock_for(&self, hash: u64) -> MutexGuard<'_, T> {
        self.lock(self.number(hash))
    }

    /// The number of shards.
    pub(super) fn count(&self) -> usize {
        self.rest.len() + 1
    }

    /// All shards.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Mutex<T>> {
        std::iter::once(&self.first)
            .chain(&self.rest)
            .map(|shard| &shard.0)
    }
}
