//! Changes of the index: what is known of the keys beside the shards, and shards made anew.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ahash::RandomState;
use hashbrown::HashTable;

use super::super::{ApiKey, KeyDigest, KeyEntry, Profile};
use super::{KeyIndex, KeyShard, tag};

/// Where each key is, and what keys have in common.
#[derive(Debug, Default)]
pub(super) struct KeyLocations {
    /// One place for each secret of each key.
    entries: HashTable<KeyLocation>,
    hasher: RandomState,
    profiles: HashSet<Arc<Profile>, RandomState>,
    /// How many profiles there were when those that nobody has any more were last dropped.
    swept: usize,
    keys: usize,
}

/// The shard of a key whose id has this hash. Small: a million keys have one each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct KeyLocation {
    hash: u32,
    shard: u16,
}

impl KeyLocations {
    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.keys
    }

    /// Make room for so many more keys.
    pub(super) fn reserve(&mut self, keys: usize) {
        self.entries.reserve(keys, |place| spread(place.hash));
    }

    fn hash(&self, id: &str) -> u32 {
        // The table takes the upper bits for itself; these are as good.
        let hash = self.hasher.hash_one(id);
        u32::try_from(hash >> 32).unwrap_or(0)
    }

    /// The shards where a key with this id may be.
    pub(super) fn shards_of(&self, id: &str) -> Vec<u16> {
        let hash = self.hash(id);
        let found = self.entries.iter_hash(spread(hash));
        let found = found.filter(|place| place.hash == hash);
        let mut places: Vec<u16> = found.map(|place| place.shard).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    fn insert(&mut self, id: &str, shard: u16) {
        let hash = self.hash(id);
        let place = KeyLocation { hash, shard };
        self.entries
            .insert_unique(spread(hash), place, |place| spread(place.hash));
    }

    fn remove(&mut self, id: &str, shard: u16) {
        let hash = self.hash(id);
        let place = KeyLocation { hash, shard };
        if let Ok(found) = self
            .entries
            .find_entry(spread(hash), |known| *known == place)
        {
            found.remove();
        }
    }

    fn profile(&mut self, profile: &Profile) -> Arc<Profile> {
        if let Some(known) = self.profiles.get(profile) {
            return Arc::clone(known);
        }
        let kept = Arc::new(profile.clone());
        self.profiles.insert(Arc::clone(&kept));
        kept
    }

    /// Drop what nobody has any more, when half of it may be that.
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

/// All bits of a table's hash from those that are kept.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// What is to change in which shard: so that a shard is copied once for many changes.
#[derive(Debug, Default)]
pub(super) struct Edits {
    by_shard: HashMap<u16, ShardEdit, RandomState>,
    inserted: usize,
    /// How many keys a shard is made room for.
    share: usize,
}

#[derive(Debug, Default)]
struct ShardEdit {
    inserted: Vec<ApiKey>,
    /// The digests of those that go, and whose: another key may come with the same digest.
    removed: Vec<(KeyDigest, Box<str>)>,
}

impl Edits {
    /// How many keys are to be put in.
    pub(super) fn len(&self) -> usize {
        self.inserted
    }

    /// Make room for so many keys in each shard.
    pub(super) fn reserve(&mut self, share: usize) {
        self.share = share;
    }

    /// A key, in the place of the one with its id.
    pub(super) fn put(&mut self, index: &KeyIndex, known: &mut KeyLocations, entry: &KeyEntry) {
        let profile = known.profile(&entry.profile);
        let mut used = (0, 0);
        if !known.shards_of(&entry.id).is_empty() {
            used = self.remove(index, known, &entry.id);
        }
        let mut any = false;
        for key in ApiKey::of(entry, &profile) {
            key.last_used.fetch_max(used.0, Ordering::Relaxed);
            key.last_reported.fetch_max(used.1, Ordering::Relaxed);
            let place = index.shard_number(&key.digest);
            known.insert(&entry.id, place);
            let edit = self.by_shard.entry(place).or_insert_with(|| ShardEdit {
                inserted: Vec::with_capacity(self.share),
                removed: Vec::new(),
            });
            edit.inserted.push(key);
            self.inserted += 1;
            any = true;
        }
        known.keys += usize::from(any);
    }

    /// The key with this id goes. Gives when it was last used, and what of it the ledger knows.
    /// Seconds since 1970.
    pub(super) fn remove(
        &mut self,
        index: &KeyIndex,
        known: &mut KeyLocations,
        id: &str,
    ) -> (u32, u32) {
        let mut used = (0, 0);
        let mut any = false;
        let mut note = |key: &ApiKey| {
            used.0 = used.0.max(key.last_used.load(Ordering::Relaxed));
            used.1 = used.1.max(key.last_reported.load(Ordering::Relaxed));
            any = true;
        };
        for place in known.shards_of(id) {
            let mut gone = 0;
            let edit = self.by_shard.entry(place).or_default();
            if let Some(shard) = index.shard(place) {
                for key in shard.load().keys.iter().filter(|key| key.id() == id) {
                    // Put in and replaced by the same edits: the shard still has the first.
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
                known.remove(id, place);
            }
        }
        known.keys -= usize::from(any);
        used
    }

    pub(super) fn apply(self, index: &KeyIndex) {
        for (place, edit) in self.by_shard {
            if let Some(shard) = index.shard(place) {
                let next = shard.load().edited(edit);
                shard.store(Arc::new(next));
            }
        }
    }
}

/// Whether a key is among those that go.
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

    /// Of keys in the order of their digests.
    fn of(keys: Vec<ApiKey>) -> Self {
        Self {
            tags: keys.iter().map(|key| tag(&key.digest)).collect(),
            keys: keys.into(),
        }
    }
}
