//! Changes of the index: the locations of keys, and new versions of shards.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ahash::RandomState;
use hashbrown::HashTable;

use super::{KeyIndex, KeyShard, tag};
use crate::keys::{ApiKey, KeyDigest, KeyEntry, Profile};

/// The shards of each key, and the profiles that keys share.
#[derive(Debug, Default)]
pub(super) struct KeyLocations {
    /// One location for each secret of each key.
    entries: HashTable<KeyLocation>,
    hasher: RandomState,
    profiles: HashSet<Arc<Profile>, RandomState>,
    /// The number of profiles when unused ones were last dropped.
    swept: usize,
    keys: usize,
}

/// The shard of a key whose id has this hash. Small, because a million keys have one each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct KeyLocation {
    hash: u32,
    shard: u16,
}

impl KeyLocations {
    /// The number of keys.
    pub(super) fn len(&self) -> usize {
        self.keys
    }

    /// Reserves memory for this many more keys.
    pub(super) fn reserve(&mut self, keys: usize) {
        self.entries.reserve(keys, |location| spread(location.hash));
    }

    fn hash(&self, id: &str) -> u32 {
        // The table uses the upper bits of a hash itself, and these are as good.
        let hash = self.hasher.hash_one(id);
        u32::try_from(hash >> 32).unwrap_or(0)
    }

    /// The shards that may have a key with this id.
    pub(super) fn shards_of(&self, id: &str) -> Vec<u16> {
        let hash = self.hash(id);
        let found = self.entries.iter_hash(spread(hash));
        let found = found.filter(|location| location.hash == hash);
        let mut shards: Vec<u16> = found.map(|location| location.shard).collect();
        shards.sort_unstable();
        shards.dedup();
        shards
    }

    fn insert(&mut self, id: &str, shard: u16) {
        let hash = self.hash(id);
        let location = KeyLocation { hash, shard };
        self.entries
            .insert_unique(spread(hash), location, |location| spread(location.hash));
    }

    fn remove(&mut self, id: &str, shard: u16) {
        let hash = self.hash(id);
        let location = KeyLocation { hash, shard };
        if let Ok(found) = self
            .entries
            .find_entry(spread(hash), |other| *other == location)
        {
            found.remove();
        }
    }

    fn profile(&mut self, profile: &Profile) -> Arc<Profile> {
        if let Some(shared) = self.profiles.get(profile) {
            return Arc::clone(shared);
        }
        let kept = Arc::new(profile.clone());
        self.profiles.insert(Arc::clone(&kept));
        kept
    }

    /// Drops unused profiles, when half of them may be unused.
    pub(super) fn sweep(&mut self) {
        if self.profiles.len() > 2 * self.swept.max(64) {
            self.drop_unused();
        }
    }

    fn drop_unused(&mut self) {
        self.profiles
            .retain(|profile| Arc::strong_count(profile) > 1);
        self.swept = self.profiles.len();
    }

    /// The distinct sets of plans that keys have.
    pub(super) fn plan_sets(&mut self) -> Vec<Vec<Arc<str>>> {
        self.drop_unused();
        let sets = self.profiles.iter().map(|profile| profile.plans.to_vec());
        let mut sets: Vec<Vec<Arc<str>>> = sets.filter(|plans| !plans.is_empty()).collect();
        sets.sort_unstable();
        sets.dedup();
        sets
    }
}

/// Spreads the stored bits over the hash that the table expects.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Changes by shard, so that a shard is copied once for many changes.
#[derive(Debug, Default)]
pub(super) struct Edits {
    by_shard: HashMap<u16, ShardEdit, RandomState>,
    inserted: usize,
    /// The number of keys that a shard reserves memory for.
    share: usize,
}

#[derive(Debug, Default)]
struct ShardEdit {
    inserted: Vec<ApiKey>,
    /// The digests and ids of removed keys. The id matters: another key may be inserted with the
    /// same digest.
    removed: Vec<(KeyDigest, Box<str>)>,
}

impl Edits {
    /// The number of keys to insert.
    pub(super) fn len(&self) -> usize {
        self.inserted
    }

    /// Reserves memory for this many keys in each shard.
    pub(super) fn reserve(&mut self, share: usize) {
        self.share = share;
    }

    /// Inserts a key, and replaces the one with its id.
    pub(super) fn put(&mut self, index: &KeyIndex, locations: &mut KeyLocations, entry: &KeyEntry) {
        let profile = locations.profile(&entry.profile);
        let mut used = (0, 0);
        if !locations.shards_of(&entry.id).is_empty() {
            used = self.remove(index, locations, &entry.id);
        }
        let mut any = false;
        for key in ApiKey::of(entry, &profile) {
            key.last_used.fetch_max(used.0, Ordering::Relaxed);
            key.last_reported.fetch_max(used.1, Ordering::Relaxed);
            let number = index.shard_number(&key.digest);
            locations.insert(&entry.id, number);
            let edit = self.by_shard.entry(number).or_insert_with(|| ShardEdit {
                inserted: Vec::with_capacity(self.share),
                removed: Vec::new(),
            });
            edit.inserted.push(key);
            self.inserted += 1;
            any = true;
        }
        locations.keys += usize::from(any);
    }

    /// Removes the key with this id. Returns when it was last used, and the last use that the
    /// storage has. Seconds since 1970.
    pub(super) fn remove(
        &mut self,
        index: &KeyIndex,
        locations: &mut KeyLocations,
        id: &str,
    ) -> (u32, u32) {
        let mut used = (0, 0);
        let mut any = false;
        let mut note = |key: &ApiKey| {
            used.0 = used.0.max(key.last_used.load(Ordering::Relaxed));
            used.1 = used.1.max(key.last_reported.load(Ordering::Relaxed));
            any = true;
        };
        for number in locations.shards_of(id) {
            let mut gone = 0;
            let edit = self.by_shard.entry(number).or_default();
            if let Some(shard) = index.shard(number) {
                for key in shard.load().keys.iter().filter(|key| key.id() == id) {
                    // A key that these edits inserted and replaced: the shard still has the older
                    // one.
                    if !is_removed(&edit.removed, key) {
                        note(key);
                        edit.removed.push((key.digest, id.into()));
                        gone += 1;
                    }
                }
            }
            edit.inserted.retain(|key| {
                let stays = key.id() != id;
                if !stays {
                    note(key);
                    gone += 1;
                    self.inserted -= 1;
                }
                stays
            });
            for _ in 0..gone {
                locations.remove(id, number);
            }
        }
        locations.keys -= usize::from(any);
        used
    }

    pub(super) fn apply(self, index: &KeyIndex) {
        for (number, edit) in self.by_shard {
            if let Some(shard) = index.shard(number) {
                let next = shard.load().edited(edit);
                shard.store(Arc::new(next));
            }
        }
    }
}

/// Whether a key is among the removed ones.
fn is_removed(removed: &[(KeyDigest, Box<str>)], key: &ApiKey) -> bool {
    let mut removed = removed.iter();
    removed.any(|(digest, id)| *digest == key.digest && **id == *key.id())
}

impl KeyShard {
    fn edited(&self, edit: ShardEdit) -> Self {
        let ShardEdit {
            mut inserted,
            removed,
        } = edit;
        let order = |one: &ApiKey, two: &ApiKey| one.digest.as_bytes().cmp(two.digest.as_bytes());
        inserted.sort_unstable_by(order);
        if self.keys.is_empty() {
            return Self::of(inserted);
        }
        let mut keys = Vec::with_capacity(self.keys.len() + inserted.len());
        let stays = |key: &&ApiKey| !is_removed(&removed, key);
        let mut old = self.keys.iter().filter(stays).peekable();
        for key in inserted {
            while let Some(next) = old.next_if(|next| order(next, &key).is_lt()) {
                keys.push(next.clone());
            }
            keys.push(key);
        }
        keys.extend(old.cloned());
        Self::of(keys)
    }

    /// A shard of keys in the order of their digests.
    fn of(keys: Vec<ApiKey>) -> Self {
        Self {
            tags: keys.iter().map(|key| tag(&key.digest)).collect(),
            keys: keys.into(),
        }
    }
}
