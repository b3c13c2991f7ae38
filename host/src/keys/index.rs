//! Keys by digest, for a million of them and one look-up a request.
//!
//! A table of shards, each an immutable list of keys in the order of their digests, which is
//! replaced whole when one of its keys changes. A digest is evenly spread, so it needs no hash of
//! its own: some of its bits pick the shard, others tell about where in the list it stands. The
//! search goes over two bytes of each digest, which stay in the processor's caches; only the key that
//! is meant comes from memory.
//!
//! Promises: a look-up takes no lock and writes nothing that workers share; a change costs a
//! copy of one shard, some hundred keys; readers see each shard before a change or after it.
//! Deliberately absent: a consistent view over several shards; a key that changes its secret is for a
//! moment found by both or by neither.

mod edit;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ahash::RandomState;
use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::{ApiKey, KeyDigest, KeyEntry, KeyReject, LookupRejection};
use edit::{Edits, KeyLocations};

/// Keys that a shard is made for.
const KEYS_PER_SHARD: usize = 64;
/// The most shards: 32 KiB of pointers.
const MAX_SHARDS: usize = 4096;
/// Keys that are put in at once while many are loaded: they are in memory twice until then, and
/// each time all shards are copied.
const BATCH: usize = 1 << 18;

/// Keys by digest.
#[derive(Debug)]
pub struct KeyIndex {
    /// A power of two.
    shards: Box<[ArcSwap<KeyShard>]>,
    /// What only changes need.
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
    /// An index that is quick for about so many keys, and works for any number.
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

    fn shard(&self, place: u16) -> Option<&ArcSwap<KeyShard>> {
        self.shards.get(usize::from(place))
    }

    /// Hand the key with this digest to `take`, if it is accepted at this moment.
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

    /// Put keys in, or in the place of those with their ids. What cannot be a key is left out.
    pub(crate) fn put(&self, entries: impl IntoIterator<Item = KeyEntry>) {
        let mut known = self.locations.lock();
        let mut edits = Edits::default();
        for entry in entries {
            edits.put(self, &mut known, &entry);
            if edits.len() >= BATCH {
                std::mem::take(&mut edits).apply(self);
            }
        }
        edits.apply(self);
        known.sweep();
    }

    /// Put in many keys, one after another as they come. For the start, when none is there: all of
    /// them are in force at the end.
    pub(crate) fn load(&self) -> BulkLoad<'_> {
        BulkLoad {
            index: self,
            edits: Edits::default(),
        }
    }

    /// Take keys out.
    pub(crate) fn remove<'a>(&self, ids: impl IntoIterator<Item = &'a str>) {
        let mut known = self.locations.lock();
        let mut edits = Edits::default();
        for id in ids {
            edits.remove(self, &mut known, id);
        }
        edits.apply(self);
        known.sweep();
    }

    /// Have these keys and no others.
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

    /// All keys, as they were put in, if each has one secret. For few: all are copied.
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
        let known = self.locations.lock();
        let mut last = 0;
        for place in known.shards_of(id) {
            if let Some(shard) = self.shard(place) {
                let shard = shard.load();
                let own = shard.keys.iter().filter(|key| key.id() == id);
                let used = own.map(|key| key.last_used.load(Ordering::Relaxed)).max();
                last = last.max(used.unwrap_or(0));
            }
        }
        (last != 0).then(|| u64::from(last) * 1000)
    }

    /// The distinct sets of plans that keys have: few, however many keys there are.
    #[must_use]
    pub(crate) fn plan_sets(&self) -> Vec<Vec<Arc<str>>> {
        self.locations.lock().plan_sets()
    }

    /// Show the keys that were used since this was last asked, and when. Milliseconds since 1970.
    /// Looks at every key.
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
    /// What [`touched`](Self::touched) told of these keys was lost: it is told again.
    pub(crate) fn mark_touched<'a>(&self, ids: impl IntoIterator<Item = &'a str>) {
        let known = self.locations.lock();
        for id in ids {
            for shard in known
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

/// Many keys on their way in. With its end they are all there.
#[derive(Debug)]
pub(crate) struct BulkLoad<'a> {
    index: &'a KeyIndex,
    edits: Edits,
}

impl BulkLoad<'_> {
    /// About how many keys come. Room is made for them once: what grows step by step leaves behind
    /// as much again, which an allocator keeps for long.
    pub(crate) fn reserve(&mut self, keys: usize) {
        let shards = self.index.shards.len();
        // Digests are evenly spread, not evenly dealt: nearly all shards have their share and
        // less than three standard deviations more.
        let share = keys / shards;
        self.edits.reserve(share + 3 * share.isqrt());
        self.index.locations.lock().reserve(keys);
    }

    /// One more.
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
    /// The key with this digest. Digests are evenly spread, so the place is guessed from the first
    /// bytes and looked for from there.
    fn find(&self, digest: &KeyDigest) -> Option<&ApiKey> {
        let tag = tag(digest);
        let mut place = (usize::from(tag) * self.tags.len()) >> 16;
        let at = |place: usize| self.tags.get(place).copied();
        while let Some(before) = place.checked_sub(1)
            && at(before).is_some_and(|known| known >= tag)
        {
            place = before;
        }
        while at(place).is_some_and(|known| known < tag) {
            place += 1;
        }
        while at(place) == Some(tag) {
            let key = self.keys.get(place)?;
            if key.digest == *digest {
                return Some(key);
            }
            place += 1;
        }
        None
    }
}

/// A digest's first bytes: the bits that pick a shard are not among them.
fn tag(digest: &KeyDigest) -> u16 {
    let [high, low, ..] = *digest.as_bytes();
    u16::from_be_bytes([high, low])
}

#[cfg(test)]
mod tests;
