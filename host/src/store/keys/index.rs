//! Keys by digest, for a million of them and one look-up a request.
//!
//! A table of shards, each an immutable list that is sorted by the digests' first bytes, and that
//! is replaced whole when one of its keys changes. A digest is evenly spread, so it needs no hash
//! of its own: some of its bits pick the shard, others tell about where in the list it stands.
//!
//! Promises: a look-up takes no lock and writes nothing that workers share; a change costs a
//! copy of one shard, some hundred entries; readers see each shard before a change or after
//! it. Deliberately absent: a consistent view over several shards; a key that changes its secret is
//! for a moment found by both or by neither.

use std::cmp::Ordering::{Equal, Greater, Less};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ahash::RandomState;
use arc_swap::ArcSwap;
use hashbrown::HashTable;
use parking_lot::Mutex;

use super::{ApiKey, KeyDigest, KeyEntry, KeyReject, Profile};

/// Keys that a shard is made for.
const SHARE: usize = 64;
/// The most shards: 32 KiB of pointers.
const MOST_SHARDS: usize = 4096;

/// Keys by digest.
#[derive(Debug)]
pub struct KeyIndex {
    /// A power of two.
    shards: Box<[ArcSwap<Shard>]>,
    /// What only changes need.
    known: Mutex<Known>,
}

/// One digest of a key: its first eight bytes as a number, and the key.
type Row = (u64, Arc<ApiKey>);

#[derive(Debug, Default)]
struct Shard {
    /// Sorted by the number.
    rows: Box<[Row]>,
}

/// The keys by id, and what they have in common.
#[derive(Debug, Default)]
struct Known {
    by_id: HashTable<Arc<ApiKey>>,
    hasher: RandomState,
    profiles: HashMap<Arc<Profile>, (), RandomState>,
    /// How many profiles there were when those that nobody has any more were last dropped.
    swept: usize,
}

impl Default for KeyIndex {
    /// For any number of keys.
    fn default() -> Self {
        Self::for_keys(MOST_SHARDS * SHARE)
    }
}

impl KeyIndex {
    /// An index that is quick for about so many keys, and works for any number.
    #[must_use]
    pub fn for_keys(count: usize) -> Self {
        let shards = (count / SHARE).next_power_of_two().min(MOST_SHARDS);
        let empty = Arc::new(Shard::default());
        Self {
            shards: (0..shards).map(|_| ArcSwap::new(empty.clone())).collect(),
            known: Mutex::default(),
        }
    }

    fn place(&self, digest: &KeyDigest) -> usize {
        let [.., high, low] = *digest.as_bytes();
        usize::from(u16::from_be_bytes([high, low])) & (self.shards.len() - 1)
    }

    /// Hand the key with this digest to `take`, if it is accepted at this moment.
    pub(super) fn find<T>(
        &self,
        digest: &KeyDigest,
        now_ms: u64,
        take: &mut dyn FnMut(&ApiKey) -> T,
    ) -> Result<T, KeyReject> {
        let shard = self.shards.get(self.place(digest));
        let shard = shard.ok_or(KeyReject::Unknown)?.load();
        for (_, key) in shard.near(number(digest)) {
            if let Some(secret) = key.secret_of(digest) {
                key.admit(secret, now_ms)?;
                return Ok(take(key));
            }
        }
        Err(KeyReject::Unknown)
    }

    /// Put keys in, or in the place of those with their ids. What cannot be a key is left out.
    pub fn put(&self, entries: impl IntoIterator<Item = KeyEntry>) {
        let mut known = self.known.lock();
        let mut edits = Edits::default();
        for entry in entries {
            let profile = known.profile(&entry.profile);
            let Some(key) = ApiKey::new(entry, profile) else {
                continue;
            };
            let key = Arc::new(key);
            if let Some(old) = known.insert(Arc::clone(&key)) {
                key.inherit(&old);
                edits.remove(self, &old);
            }
            edits.insert(self, &key);
        }
        edits.carry_out(self);
        known.sweep();
    }

    /// Take keys out.
    pub fn remove<'a>(&self, ids: impl IntoIterator<Item = &'a str>) {
        let mut known = self.known.lock();
        let mut edits = Edits::default();
        for id in ids {
            if let Some(old) = known.remove(id) {
                edits.remove(self, &old);
            }
        }
        edits.carry_out(self);
        known.sweep();
    }

    /// Have these keys and no others.
    pub fn replace(&self, entries: Vec<KeyEntry>) {
        let mut gone: std::collections::HashSet<String, RandomState> = {
            let known = self.known.lock();
            known.by_id.iter().map(|key| key.id().to_owned()).collect()
        };
        for entry in &entries {
            gone.remove(&entry.id);
        }
        self.put(entries);
        self.remove(gone.iter().map(String::as_str));
    }

    /// All keys, as they were put in. For few: all are copied.
    #[must_use]
    pub fn entries(&self) -> Vec<KeyEntry> {
        let known = self.known.lock();
        known.by_id.iter().map(|key| key.entry()).collect()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.lock().by_id.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When the key with this id was last used. Milliseconds since 1970, to the second.
    #[must_use]
    pub fn last_used_ms(&self, id: &str) -> Option<u64> {
        let known = self.known.lock();
        let used = known.find(id)?.last_used.load(Ordering::Relaxed);
        (used != 0).then(|| u64::from(used) * 1000)
    }

    /// The distinct sets of plans that keys have: few, however many keys there are.
    #[must_use]
    pub fn plan_sets(&self) -> Vec<Vec<Arc<str>>> {
        let mut known = self.known.lock();
        known.drop_unused();
        let sets = known.profiles.keys().map(|profile| profile.plans.to_vec());
        let mut sets: Vec<Vec<Arc<str>>> = sets.filter(|plans| !plans.is_empty()).collect();
        sets.sort_unstable();
        sets.dedup();
        sets
    }

    /// Show the keys that were used since this was last asked, and when. Milliseconds since 1970.
    /// Each key is looked at, a few thousand under one lock.
    pub fn touched(&self, mut visit: impl FnMut(&str, u64)) {
        for shard in &self.shards {
            for (first, key) in &shard.load().rows {
                // A key of several digests is met once: at its newest.
                if *first != number(&key.secret.digest) {
                    continue;
                }
                let used = key.last_used.load(Ordering::Relaxed);
                if key.last_told.swap(used, Ordering::Relaxed) != used {
                    visit(key.id(), u64::from(used) * 1000);
                }
            }
        }
    }
}

impl ApiKey {
    /// What its predecessor knew.
    fn inherit(&self, old: &Self) {
        let used = old.last_used.load(Ordering::Relaxed);
        self.last_used.fetch_max(used, Ordering::Relaxed);
        let told = old.last_told.load(Ordering::Relaxed);
        self.last_told.fetch_max(told, Ordering::Relaxed);
    }
}

impl Known {
    fn find(&self, id: &str) -> Option<&Arc<ApiKey>> {
        let hash = self.hasher.hash_one(id);
        self.by_id.find(hash, |key| key.id() == id)
    }

    /// Gives the one whose place it took.
    fn insert(&mut self, key: Arc<ApiKey>) -> Option<Arc<ApiKey>> {
        let hash = self.hasher.hash_one(key.id());
        if let Some(place) = self.by_id.find_mut(hash, |known| known.id() == key.id()) {
            return Some(std::mem::replace(place, key));
        }
        let hasher = &self.hasher;
        self.by_id
            .insert_unique(hash, key, |key| hasher.hash_one(key.id()));
        None
    }

    fn remove(&mut self, id: &str) -> Option<Arc<ApiKey>> {
        let hash = self.hasher.hash_one(id);
        let found = self.by_id.find_entry(hash, |key| key.id() == id).ok()?;
        Some(found.remove().0)
    }

    fn profile(&mut self, profile: &Profile) -> Arc<Profile> {
        if let Some((known, ())) = self.profiles.get_key_value(profile) {
            return Arc::clone(known);
        }
        let kept = Arc::new(profile.clone());
        self.profiles.insert(Arc::clone(&kept), ());
        kept
    }

    /// Drop what nobody has any more, when half of it may be that.
    fn sweep(&mut self) {
        if self.profiles.len() > 2 * self.swept.max(64) {
            self.drop_unused();
        }
    }

    fn drop_unused(&mut self) {
        self.profiles
            .retain(|profile, ()| Arc::strong_count(profile) > 1);
        self.swept = self.profiles.len();
    }
}

/// What is to change in which shard: so that a shard is copied once for many changes.
#[derive(Default)]
struct Edits {
    by_shard: HashMap<usize, Vec<Edit>, RandomState>,
}

enum Edit {
    Insert(u64, Arc<ApiKey>),
    /// By identity, so that an insertion under the same digest stays.
    Remove(u64, Arc<ApiKey>),
}

impl Edits {
    fn insert(&mut self, index: &KeyIndex, key: &Arc<ApiKey>) {
        self.each(index, key, Edit::Insert);
    }

    fn remove(&mut self, index: &KeyIndex, key: &Arc<ApiKey>) {
        self.each(index, key, Edit::Remove);
    }

    fn each(&mut self, index: &KeyIndex, key: &Arc<ApiKey>, edit: fn(u64, Arc<ApiKey>) -> Edit) {
        for secret in key.secrets() {
            let edits = self.by_shard.entry(index.place(&secret.digest));
            let edit = edit(number(&secret.digest), Arc::clone(key));
            edits.or_default().push(edit);
        }
    }

    fn carry_out(self, index: &KeyIndex) {
        for (place, edits) in self.by_shard {
            if let Some(shard) = index.shards.get(place) {
                let next = shard.load().edited(edits);
                shard.store(Arc::new(next));
            }
        }
    }
}

impl Shard {
    /// The rows with this number. Numbers are evenly spread, so the place is guessed from the
    /// number and looked for from there: one cache miss instead of a dozen.
    fn near(&self, number: u64) -> impl Iterator<Item = &Row> {
        let guess = (u128::from(number) * self.rows.len() as u128) >> 64;
        let mut place = usize::try_from(guess).unwrap_or(0);
        let row = |place: usize| self.rows.get(place).map(|(known, _)| *known);
        while let Some(before) = place.checked_sub(1)
            && row(before).is_some_and(|known| known >= number)
        {
            place = before;
        }
        while row(place).is_some_and(|known| known < number) {
            place += 1;
        }
        let rows = self.rows.iter().skip(place);
        rows.take_while(move |(known, _)| *known == number)
    }

    fn edited(&self, edits: Vec<Edit>) -> Self {
        let mut inserted = Vec::new();
        let mut removed = Vec::new();
        for edit in edits {
            match edit {
                Edit::Insert(number, key) => inserted.push((number, key)),
                // One that was put in and replaced by the same edits is nowhere yet.
                Edit::Remove(number, key) => {
                    let same = |row: &Row| row.0 == number && Arc::ptr_eq(&row.1, &key);
                    match inserted.iter().position(same) {
                        Some(place) => drop(inserted.swap_remove(place)),
                        None => removed.push((number, key)),
                    }
                }
            }
        }
        let stays = |row: &&Row| {
            !removed
                .iter()
                .any(|(number, key)| *number == row.0 && Arc::ptr_eq(key, &row.1))
        };
        inserted.sort_by_key(|row| row.0);
        let mut rows = Vec::with_capacity(self.rows.len() + inserted.len());
        let mut old = self.rows.iter().filter(stays).peekable();
        let mut new = inserted.into_iter().peekable();
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => break,
                (Some(_), None) => Less,
                (None, Some(_)) => Greater,
                (Some(old), Some(new)) => old.0.cmp(&new.0),
            };
            match order {
                Less | Equal => rows.extend(old.next().cloned()),
                Greater => rows.extend(new.next()),
            }
        }
        Self { rows: rows.into() }
    }
}

/// A digest's first bytes: the bits that pick a shard are not among them.
fn number(digest: &KeyDigest) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests;
