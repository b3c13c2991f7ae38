//! An index of keys by digest, for a million keys and one look-up a request.
//!
//! It is a table of shards. Each shard is an immutable list of keys in the order of their digests,
//! and is replaced as a whole when one of its keys changes. Digests are evenly spread, so they
//! need no hash: some of their bits pick the shard, others give the approximate position in the
//! list. The search reads two bytes of each digest, which stay in the processor's caches; only the
//! wanted key is read from memory.
//!
//! It promises that a look-up takes no lock and writes nothing that workers share, that a change
//! costs a copy of one shard (some hundred keys), and that readers see each shard before a change
//! or after it. It deliberately gives no consistent view over several shards: while a key changes
//! its secret, both secrets or neither may find it for a moment.

mod edit;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ahash::RandomState;
use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::{ApiKey, KeyDigest, KeyEntry, KeyReject, LookupRejection};
use edit::{Edits, KeyLocations};

/// The number of keys that a shard is designed for.
const KEYS_PER_SHARD: usize = 64;
/// The most shards: 32 KiB of pointers.
const MAX_SHARDS: usize = 4096;
/// Keys that a bulk load inserts at once. Until then they are in memory twice, and each time all
/// shards are copied.
const BATCH: usize = 1 << 18;

/// Keys by digest.
#[derive(Debug)]
pub struct KeyIndex {
    /// A power of two.
    shards: Box<[ArcSwap<KeyShard>]>,
    /// Only changes need this.
    locations: Mutex<KeyLocations>,
}

/// The keys whose digests have the same last bits.
#[derive(Debug, Default)]
struct KeyShard {
    /// The first two bytes of each digest, in the order of the keys.
    tags: Box<[u16]>,
    /// In the order of their digests.
    keys: Box<[ApiKey]>,
}

impl Default for KeyIndex {
    /// For any number of keys.
    fn default() -> Self {
        Self::for_keys(MAX_SHARDS * KEYS_PER_SHARD)
    }
}

impl KeyIndex {
    /// An index that is fast for about this many keys, and works for any number.
    #[must_use]
    pub(crate) fn for_keys(count: usize) -> Self {
        let shards = (count / KEYS_PER_SHARD).next_power_of_two().min(MAX_SHARDS);
        let empty = Arc::new(KeyShard::default());
        Self {
            shards: (0..shards).map(|_| ArcSwap::new(empty.clone())).collect(),
            locations: Mutex::default(),
        }
    }

    /// The shard of a digest.
    fn shard_number(&self, digest: &KeyDigest) -> u16 {
        let [.., high, low] = *digest.as_bytes();
        let most = u16::try_from(self.shards.len() - 1).unwrap_or(u16::MAX);
        u16::from_be_bytes([high, low]) & most
    }

    fn shard(&self, number: u16) -> Option<&ArcSwap<KeyShard>> {
        self.shards.get(usize::from(number))
    }

    /// Passes the key with this digest to `take`, if it is accepted at this time.
    pub(super) fn find<T>(
        &self,
        digest: &KeyDigest,
        now_ms: u64,
        take: &mut dyn FnMut(&ApiKey) -> T,
    ) -> Result<T, LookupRejection> {
        let shard = self
            .shard(self.shard_number(digest))
            .ok_or(KeyReject::Unknown)?;
        let shard = shard.load();
        let key = shard.find(digest).ok_or(KeyReject::Unknown)?;
        match key.admit(now_ms) {
            Ok(()) => Ok(take(key)),
            Err(why) => Err(LookupRejection {
                reason: why,
                key: Some(key.id().into()),
            }),
        }
    }

    /// Inserts keys, and replaces those with the same ids. Entries that cannot be keys are left
    /// out.
    pub(crate) fn put(&self, entries: impl IntoIterator<Item = KeyEntry>) {
        let mut locations = self.locations.lock();
        let mut edits = Edits::default();
        for entry in entries {
            edits.put(self, &mut locations, &entry);
            if edits.len() >= BATCH {
                std::mem::take(&mut edits).apply(self);
            }
        }
        edits.apply(self);
        locations.sweep();
    }

    /// Inserts many keys, one after another as they arrive. For the start, when the index is
    /// empty: all of them are in use at the end.
    pub(crate) fn load(&self) -> BulkLoad<'_> {
        BulkLoad {
            index: self,
            edits: Edits::default(),
        }
    }

    /// Removes keys.
    pub(crate) fn remove<'a>(&self, ids: impl IntoIterator<Item = &'a str>) {
        let mut locations = self.locations.lock();
        let mut edits = Edits::default();
        for id in ids {
            edits.remove(self, &mut locations, id);
        }
        edits.apply(self);
        locations.sweep();
    }

    /// Replaces all keys by these.
    pub(crate) fn replace(&self, entries: Vec<KeyEntry>) {
        let mut gone: HashSet<String, RandomState> = HashSet::default();
        self.each(|key| {
            gone.insert(key.id().to_owned());
        });
        for entry in &entries {
            gone.remove(&entry.id);
        }
        self.put(entries);
        self.remove(gone.iter().map(String::as_str));
    }

    fn each(&self, mut visit: impl FnMut(&ApiKey)) {
        for shard in &self.shards {
            shard.load().keys.iter().for_each(&mut visit);
        }
    }

    /// All keys as they were inserted, if each has one secret. Copies everything, so it is for
    /// small indexes.
    #[must_use]
    pub(crate) fn entries(&self) -> Vec<KeyEntry> {
        let mut entries = Vec::new();
        self.each(|key| entries.push(key.entry()));
        entries
    }

    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.locations.lock().len()
    }

    /// When the key with this id was last used. Milliseconds since 1970, to the second.
    #[must_use]
    pub(crate) fn last_used_ms(&self, id: &str) -> Option<u64> {
        let locations = self.locations.lock();
        let mut last = 0;
        for number in locations.shards_of(id) {
            if let Some(shard) = self.shard(number) {
                let shard = shard.load();
                let own = shard.keys.iter().filter(|key| key.id() == id);
                let used = own.map(|key| key.last_used.load(Ordering::Relaxed)).max();
                last = last.max(used.unwrap_or(0));
            }
        }
        (last != 0).then(|| u64::from(last) * 1000)
    }

    /// The distinct sets of plans that keys have. There are few, however many keys there are.
    #[must_use]
    pub(crate) fn plan_sets(&self) -> Vec<Vec<Arc<str>>> {
        self.locations.lock().plan_sets()
    }

    /// Visits the keys that were used since the last visit, with the time. Milliseconds since
    /// 1970. Looks at every key.
    pub(crate) fn touched(&self, mut visit: impl FnMut(&str, u64)) {
        self.each(|key| {
            let used = key.last_used.load(Ordering::Relaxed);
            if key.last_reported.swap(used, Ordering::Relaxed) != used {
                visit(key.id(), u64::from(used) * 1000);
            }
        });
    }
}

impl KeyIndex {
    /// Marks these keys as used again, because the report of [`touched`](Self::touched) was lost.
    pub(crate) fn mark_touched<'a>(&self, ids: impl IntoIterator<Item = &'a str>) {
        let locations = self.locations.lock();
        for id in ids {
            for shard in locations
                .shards_of(id)
                .into_iter()
                .filter_map(|at| self.shard(at))
            {
                let shard = shard.load();
                let own = shard.keys.iter().filter(|key| key.id() == id);
                own.for_each(|key| key.last_reported.store(0, Ordering::Relaxed));
            }
        }
    }
}

/// A bulk load. All keys are there when it ends.
#[derive(Debug)]
pub(crate) struct BulkLoad<'a> {
    index: &'a KeyIndex,
    edits: Edits,
}

impl BulkLoad<'_> {
    /// Announces about how many keys arrive, so that memory is allocated once. A list that grows
    /// step by step leaves as much memory behind, which an allocator keeps for long.
    pub(crate) fn reserve(&mut self, keys: usize) {
        let shards = self.index.shards.len();
        // Digests are evenly spread, but not dealt out evenly: nearly all shards have their share
        // and less than three standard deviations more.
        let share = keys / shards;
        self.edits.reserve(share + 3 * share.isqrt());
        self.index.locations.lock().reserve(keys);
    }

    /// Adds one key.
    pub(crate) fn put(&mut self, entry: &KeyEntry) {
        let index = self.index;
        self.edits.put(index, &mut index.locations.lock(), entry);
    }
}

impl Drop for BulkLoad<'_> {
    fn drop(&mut self) {
        std::mem::take(&mut self.edits).apply(self.index);
    }
}

impl KeyShard {
    /// The key with this digest. Digests are evenly spread, so the search begins at the position
    /// that the first bytes suggest.
    fn find(&self, digest: &KeyDigest) -> Option<&ApiKey> {
        let tag = tag(digest);
        let mut position = (usize::from(tag) * self.tags.len()) >> 16;
        let at = |position: usize| self.tags.get(position).copied();
        while let Some(before) = position.checked_sub(1)
            && at(before).is_some_and(|other| other >= tag)
        {
            position = before;
        }
        while at(position).is_some_and(|other| other < tag) {
            position += 1;
        }
        while at(position) == Some(tag) {
            let key = self.keys.get(position)?;
            if key.digest == *digest {
                return Some(key);
            }
            position += 1;
        }
        None
    }
}

/// The first bytes of a digest. The bits that pick the shard are not among them.
fn tag(digest: &KeyDigest) -> u16 {
    let [high, low, ..] = *digest.as_bytes();
    u16::from_be_bytes([high, low])
}

#[cfg(test)]
mod tests;
