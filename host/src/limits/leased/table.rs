//! The leases, behind short locks.

use hashbrown::HashTable;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use super::entry::{LeaseEntry, LeaseOwner};
use crate::limits::plan::EnrolledPlan;
use crate::limits::room::{Division, Room};
use crate::limits::shards::Shards;
use crate::runtime::clock::Timestamp;

/// All leases of a gateway.
#[derive(Debug)]
pub(super) struct Leases(Shards<LeaseEntries>);

#[derive(Debug, Default)]
struct LeaseEntries {
    table: HashTable<LeaseEntry>,
    /// The room of all but the empty key's entry.
    room: Room,
}

/// The locked shard of one owner.
pub(super) struct LockedLeases<'a> {
    entries: MutexGuard<'a, LeaseEntries>,
    division: Division,
    space: u32,
    key: &'a str,
    hash: u64,
}

impl Leases {
    /// Room for this many entries, at least one.
    pub(super) fn new(max_entries: usize) -> Self {
        Self(Shards::new(max_entries))
    }

    /// Divides the room among this many plans.
    pub(super) fn divide(&self, plans: usize) {
        self.0.divide(plans);
    }

    /// Locks the shard of this owner.
    pub(super) fn lock<'a>(&'a self, space: u32, key: &'a str) -> LockedLeases<'a> {
        let hash = self.0.hash(space, key);
        LockedLeases {
            entries: self.0.lock_for(hash),
            division: self.0.division(),
            space,
            key,
            hash,
        }
    }

    /// Recalls the leases with these numbers on the server: they are returned with the next
    /// report. Returns the owner to queue.
    pub(super) fn recall(&self, space: u32, hash: u64) -> Option<LeaseOwner> {
        let mut entries = self.0.lock_for(hash);
        let is_it = |entry: &LeaseEntry| entry.space == space && entry.hash == hash;
        let entry = entries.table.find_mut(hash, is_it)?;
        entry.recall();
        entry.enqueue()
    }

    /// Takes the waiting requests of all keys. Takes every lock.
    pub(super) fn wake_all(&self) -> Vec<oneshot::Sender<()>> {
        let wake = |shard: &Mutex<LeaseEntries>| {
            let mut entries = shard.lock();
            let waiters = entries.table.iter_mut().flat_map(LeaseEntry::wake);
            waiters.collect::<Vec<_>>()
        };
        self.0.iter().flat_map(wake).collect()
    }

    /// The number of entries. Takes every lock.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|shard| shard.lock().table.len()).sum()
    }

    /// The number of shards.
    pub(super) fn shards(&self) -> usize {
        self.0.count()
    }

    /// Checks all entries of one shard: drops those that are as good as new, and collects the
    /// owners of those that `choose` selects, which are marked as queued.
    pub(super) fn sweep(
        &self,
        shard: usize,
        now: Timestamp,
        mut choose: impl FnMut(&LeaseEntry) -> bool,
        owners: &mut Vec<LeaseOwner>,
    ) {
        let mut entries = self.0.lock(shard);
        let LeaseEntries { table, room } = &mut *entries;
        table.retain(|entry| {
            if choose(entry) {
                owners.extend(entry.enqueue());
            }
            let is_idle = entry.is_idle(now);
            if is_idle && !entry.key.is_empty() {
                room.remove(entry.space);
            }
            !is_idle
        });
    }
}

impl LockedLeases<'_> {
    /// The entry of this owner.
    pub(super) fn find(&mut self) -> Option<&mut LeaseEntry> {
        let (space, key) = (self.space, self.key);
        let is_it = |entry: &LeaseEntry| entry.space == space && *entry.key == *key;
        self.entries.table.find_mut(self.hash, is_it)
    }

    /// The same; it is created if there is none and there is room. The empty key always has room.
    pub(super) fn find_or_make(&mut self, plan: &EnrolledPlan) -> Option<&mut LeaseEntry> {
        if self.find().is_none() {
            let LeaseEntries { table, room } = &mut *self.entries;
            if !self.key.is_empty() {
                if !room.has(self.space, self.division) {
                    return None;
                }
                room.add(self.space);
            }
            let entry = LeaseEntry::new(plan, self.hash, self.key);
            table.insert_unique(self.hash, entry, |entry| entry.hash);
        }
        self.find()
    }
}
