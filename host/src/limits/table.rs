//! The counters behind one lock.
//!
//! A dense list with a hash index of positions, so that a cursor can walk the list a few counters
//! at a time and drop the idle ones: all are never walked at once. Beside it is a queue of the
//! positions with unreported usage (see [`take_pending`](UsageCounter::take_pending)); a queued
//! counter is kept.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashTable;

use super::counter::{PendingUsage, UsageCounter};
use super::outbox::{Outbox, OwnerUsage};
use super::room::{Division, Room};
use crate::runtime::clock::Timestamp;

/// How many counters the cursor checks with every new one, and at intervals.
const STEPS: usize = 4;
/// How many it checks before a new one is refused for lack of room.
const STEPS_WHEN_FULL: usize = 64;
/// Interval between two checks while no new counter comes. Requests to take.
const TAKINGS: u8 = 16;
/// Below this size it is not worthwhile to free memory. Counters.
const SMALL: usize = 256;
/// Marks a counter that is not in the queue.
const NOT_QUEUED: u64 = u64::MAX;

/// Some of a store's counters.
#[derive(Debug, Default)]
pub(super) struct CounterTable {
    index: HashTable<u32>,
    entries: Vec<CounterEntry>,
    /// The room of all but the empty key's counters.
    room: Room,
    cursor: usize,
    takings: u8,
    /// The positions of counters with unreported usage, each once.
    queue: VecDeque<u32>,
    /// How many entries have left the queue: the number of the one at its head.
    dequeued_count: u64,
    outbox: Outbox,
    /// How often usage was lost for lack of room.
    lost_count: u64,
}

/// The owner of a counter.
#[derive(Debug, Clone, Copy)]
pub(super) struct CounterOwner<'a> {
    pub(crate) space: u32,
    pub(crate) key: &'a str,
    /// The hash of both.
    pub(crate) hash: u64,
}

#[derive(Debug)]
pub(super) struct CounterEntry {
    space: u32,
    hash: u64,
    /// Its number in the queue, counted from the first entry ever.
    queued: u64,
    pub(crate) key: Arc<str>,
    pub(crate) counter: UsageCounter,
}

impl CounterTable {
    /// The position of this owner's counter, if there is one.
    pub(super) fn find(&self, owner: &CounterOwner<'_>) -> Option<usize> {
        let entries = &self.entries;
        let place = *self.index.find(owner.hash, |place| {
            entries
                .get(*place as usize)
                .is_some_and(|entry| entry.space == owner.space && *entry.key == *owner.key)
        })?;
        Some(place as usize)
    }

    /// The counter at this position, if it belongs to this space.
    pub(super) fn counter_of(&mut self, place: usize, space: u32) -> Option<&mut UsageCounter> {
        let entry = self.entries.get_mut(place)?;
        (entry.space == space).then_some(&mut entry.counter)
    }

    /// The counter at this position.
    pub(super) fn entry(&mut self, place: usize) -> Option<&mut CounterEntry> {
        self.entries.get_mut(place)
    }

    /// Whether there is room for another counter of this space. Idle counters make room.
    pub(super) fn make_room(&mut self, space: u32, division: Division, now: Timestamp) -> bool {
        let steps = if self.room.has(space, division) {
            STEPS
        } else {
            STEPS_WHEN_FULL
        };
        self.sweep(steps, now);
        self.room.has(space, division)
    }

    /// Inserts a counter for an owner who has none. Returns its position.
    pub(super) fn insert(
        &mut self,
        owner: &CounterOwner<'_>,
        key: Arc<str>,
        counter: UsageCounter,
    ) -> usize {
        let place = self.entries.len();
        if !key.is_empty() {
            self.room.add(owner.space);
        }
        self.entries.push(CounterEntry {
            space: owner.space,
            hash: owner.hash,
            queued: NOT_QUEUED,
            key,
            counter,
        });
        let entries = &self.entries;
        self.index
            .insert_unique(owner.hash, narrow(place), |place| hash_at(entries, *place));
        place
    }

    /// Counts a request, and checks some counters now and then.
    pub(super) fn tick(&mut self, now: Timestamp) {
        self.takings = self.takings.wrapping_add(1);
        if self.takings.is_multiple_of(TAKINGS) {
            self.sweep(STEPS, now);
        }
    }

    /// The number of counters.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Queues the counter at this position.
    pub(super) fn enqueue(&mut self, place: usize) {
        let number = self.dequeued_count.saturating_add(self.queue.len() as u64);
        if let Some(entry) = self.entries.get_mut(place)
            && entry.queued == NOT_QUEUED
        {
            entry.queued = number;
            self.queue.push_back(narrow(place));
        }
    }

    /// The number of queued counters.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Takes the usage of the next queued counters, at most `most`. Returns how many left the
    /// queue.
    pub(super) fn dequeue(&mut self, most: usize, reported: &mut Vec<OwnerUsage>) -> usize {
        let leaving = most.min(self.queue.len());
        for place in self.queue.drain(..leaving) {
            let Some(entry) = self.entries.get_mut(place as usize) else {
                continue;
            };
            entry.queued = NOT_QUEUED;
            reported.extend(entry.counter.take_pending().map(|what| OwnerUsage {
                space: entry.space,
                key: Arc::clone(&entry.key),
                pending: what,
            }));
        }
        self.dequeued_count = self.dequeued_count.saturating_add(leaving as u64);
        leaving
    }

    /// Adds usage to the outbox, which has room for `most` entries.
    pub(super) fn enqueue_usage(
        &mut self,
        owner: &CounterOwner<'_>,
        what: PendingUsage,
        most: usize,
    ) {
        let (space, key) = (owner.space, owner.key.into());
        if self
            .outbox
            .put(
                OwnerUsage {
                    space,
                    key,
                    pending: what,
                },
                most,
            )
            .is_err()
        {
            self.lost_count = self.lost_count.saturating_add(1);
        }
    }

    /// The same for usage that could not be written.
    pub(super) fn return_usage(&mut self, delta: OwnerUsage, most: usize) {
        if self.outbox.put_older(delta, most).is_err() {
            self.lost_count = self.lost_count.saturating_add(1);
        }
    }

    /// Takes the usage of the outbox.
    pub(super) fn take_outbox(&mut self) -> impl Iterator<Item = OwnerUsage> + use<> {
        self.outbox.take()
    }

    /// How often usage was lost for lack of room.
    pub(super) fn lost_count(&self) -> u64 {
        self.lost_count
    }

    /// Checks the next counters, and drops the idle ones.
    fn sweep(&mut self, steps: usize, now: Timestamp) {
        for _ in 0..steps.min(self.entries.len()) {
            match self.entries.get(self.cursor) {
                None => self.cursor = 0,
                Some(entry) if entry.queued == NOT_QUEUED && entry.counter.is_idle(now) => {
                    self.remove(self.cursor);
                }
                Some(_) => self.cursor += 1,
            }
        }
        if self.entries.len() < self.entries.capacity() / 4 && self.entries.capacity() > SMALL {
            let kept = self.entries.len() * 2;
            self.entries.shrink_to(kept);
            self.queue.shrink_to(kept);
            let entries = &self.entries;
            self.index.shrink_to(kept, |place| hash_at(entries, *place));
        }
    }

    /// Drops the counter at this position; the last one moves there.
    fn remove(&mut self, place: usize) {
        if let Some(entry) = self.entries.get(place)
            && !entry.key.is_empty()
        {
            self.room.remove(entry.space);
        }
        let last = self.entries.len().saturating_sub(1);
        let removed = hash_of(&self.entries, place);
        if let Ok(found) = self
            .index
            .find_entry(removed, |each| *each as usize == place)
        {
            found.remove();
        }
        if place != last {
            let moved = hash_of(&self.entries, last);
            if let Some(each) = self.index.find_mut(moved, |each| *each as usize == last) {
                *each = narrow(place);
            }
            self.move_in_queue(last, place);
        }
        self.entries.swap_remove(place);
    }

    /// The queue names a counter by its position.
    fn move_in_queue(&mut self, from: usize, to: usize) {
        let queued = self.entries.get(from).map_or(NOT_QUEUED, |e| e.queued);
        let number = queued.checked_sub(self.dequeued_count);
        let number = number.and_then(|number| usize::try_from(number).ok());
        if let Some(place) = number.and_then(|number| self.queue.get_mut(number)) {
            *place = narrow(to);
        }
    }
}

/// There are never more than [`CounterTable::make_room`] allows.
fn narrow(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

fn hash_at(entries: &[CounterEntry], place: u32) -> u64 {
    hash_of(entries, place as usize)
}

/// The index only has valid positions, so there is always one.
fn hash_of(entries: &[CounterEntry], place: usize) -> u64 {
    entries.get(place).map_or(0, |entry| entry.hash)
}

#[cfg(test)]
mod tests {
    use super::super::bucket::Shape;
    use super::super::counter::{Bounds, CounterRequest};
    use super::*;

    /// An idle counter would be swept.
    fn used() -> UsageCounter {
        let bounds = Bounds {
            rate: Some(Shape::new(5, 1.0)),
            quota: None,
            is_plan: true,
        };
        let want = CounterRequest {
            bounds: &bounds,
            method: None,
            cost: 1,
            now: Timestamp::default(),
        };
        let mut counter = UsageCounter::new();
        assert_eq!(counter.settle(&want).0.refusal(), None);
        counter.take(&want, true);
        counter
    }

    #[test]
    fn owners_of_one_hash_are_told_apart() {
        let mut table = CounterTable::default();
        let owner = |space, key| CounterOwner {
            space,
            key,
            hash: 7,
        };
        for (space, key) in [(0, "a"), (0, "b"), (1, "a")] {
            assert!(table.find(&owner(space, key)).is_none());
            let ten = Division {
                capacity: 10,
                bounds: 0,
            };
            assert!(table.make_room(space, ten, Timestamp::default()));
            table.insert(&owner(space, key), key.into(), used());
        }
        for (space, key) in [(0, "a"), (0, "b"), (1, "a")] {
            let place = table.find(&owner(space, key)).unwrap();
            let entry = table.entry(place).unwrap();
            assert_eq!((entry.space, &*entry.key), (space, key));
        }
        assert!(table.find(&owner(1, "b")).is_none());
    }

    #[test]
    fn the_queue_follows_counters_that_move() {
        let mut table = CounterTable::default();
        let owner = |key| CounterOwner {
            space: 0,
            key,
            hash: 7,
        };
        let names = ["a", "b", "c", "d"];
        let places = names.map(|key| table.insert(&owner(key), key.into(), used()));
        // The first leaves the queue, and later the table; the last moves to its position.
        places.iter().for_each(|place| table.enqueue(*place));
        let mut reported = Vec::new();
        assert_eq!(table.dequeue(1, &mut reported), 1);
        table.enqueue(places[3]);
        table.remove(places[0]);
        assert_eq!(table.dequeue(9, &mut reported), 3);
        let keys: Vec<&str> = reported.iter().map(|delta| &*delta.key).collect();
        assert_eq!(keys, ["a", "b", "c", "d"]);
        assert_eq!(table.queued(), 0);
    }
}
