//! The counters behind one lock.
//!
//! A dense list with a hash index of places in it, so that a cursor can walk the list a few
//! counters at a time and drop the idle ones: there is no moment at which all are walked. Beside
//! it stands a queue of the places where something was used that was not told (see
//! [`take_pending`](super::unsaved)); a counter in the queue is kept.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashTable;

use super::counter::{PendingUsage, UsageCounter};
use super::outbox::{Outbox, OwnerUsage};
use super::room::{Division, Room};
use crate::runtime::clock::Timestamp;

/// How many counters the cursor looks at with every new one, and every so many takings.
const STEPS: usize = 4;
/// How many it looks at before a new one is refused for want of room.
const STEPS_WHEN_FULL: usize = 64;
/// Between two looks while nothing new comes. Takings.
const TAKINGS: u8 = 16;
/// Below this nothing is gained by giving memory back. Counters.
const SMALL: usize = 256;
/// A counter that does not stand in the queue.
const NOT_QUEUED: u64 = u64::MAX;

/// Some of a store's counters.
#[derive(Debug, Default)]
pub(super) struct CounterTable {
    index: HashTable<u32>,
    entries: Vec<CounterEntry>,
    /// Of all but those of the empty key.
    room: Room,
    cursor: usize,
    takings: u8,
    /// The places of counters that have something to tell, each once.
    queue: VecDeque<u32>,
    /// How many ever left the queue: the number of the one at its head.
    dequeued_count: u64,
    outbox: Outbox,
    /// How often something to tell was lost for want of room.
    lost_count: u64,
}

/// Whose counter.
#[derive(Debug, Clone, Copy)]
pub(super) struct CounterOwner<'a> {
    pub(crate) space: u32,
    pub(crate) key: &'a str,
    /// Of both.
    pub(crate) hash: u64,
}

#[derive(Debug)]
pub(super) struct CounterEntry {
    space: u32,
    hash: u64,
    /// Its number in the queue, counted from the first that ever stood there.
    queued: u64,
    pub(crate) key: Arc<str>,
    pub(crate) counter: UsageCounter,
}

impl CounterTable {
    /// The place of this owner's counter, if there is one.
    pub(super) fn find(&self, owner: &CounterOwner<'_>) -> Option<usize> {
        let entries = &self.entries;
        let place = *self.index.find(owner.hash, |place| {
            entries
                .get(*place as usize)
                .is_some_and(|entry| entry.space == owner.space && *entry.key == *owner.key)
        })?;
        Some(place as usize)
    }

    /// The counter at this place, if it is one of this space.
    pub(super) fn counter_of(&mut self, place: usize, space: u32) -> Option<&mut UsageCounter> {
        let entry = self.entries.get_mut(place)?;
        (entry.space == space).then_some(&mut entry.counter)
    }

    /// The counter at this place.
    pub(super) fn entry(&mut self, place: usize) -> Option<&mut CounterEntry> {
        self.entries.get_mut(place)
    }

    /// Whether there is room for another counter of this space; idle ones make room.
    pub(super) fn make_room(&mut self, space: u32, division: Division, now: Timestamp) -> bool {
        let steps = if self.room.has(space, division) {
            STEPS
        } else {
            STEPS_WHEN_FULL
        };
        self.sweep(steps, now);
        self.room.has(space, division)
    }

    /// Keep a counter for an owner who has none. Gives its place.
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

    /// Count a taking; now and then it pays for a look at some counters.
    pub(super) fn tick(&mut self, now: Timestamp) {
        self.takings = self.takings.wrapping_add(1);
        if self.takings.is_multiple_of(TAKINGS) {
            self.sweep(STEPS, now);
        }
    }

    /// How many counters are kept.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The counter at this place has something to tell.
    pub(super) fn enqueue(&mut self, place: usize) {
        let number = self.dequeued_count.saturating_add(self.queue.len() as u64);
        if let Some(entry) = self.entries.get_mut(place)
            && entry.queued == NOT_QUEUED
        {
            entry.queued = number;
            self.queue.push_back(narrow(place));
        }
    }

    /// How many counters have something to tell.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// What the next `capacity` counters have to tell. Gives how many left the queue.
    pub(super) fn dequeue(&mut self, most: usize, told: &mut Vec<OwnerUsage>) -> usize {
        let leaving = most.min(self.queue.len());
        for place in self.queue.drain(..leaving) {
            let Some(entry) = self.entries.get_mut(place as usize) else {
                continue;
            };
            entry.queued = NOT_QUEUED;
            told.extend(entry.counter.take_pending().map(|what| OwnerUsage {
                space: entry.space,
                key: Arc::clone(&entry.key),
                pending: what,
            }));
        }
        self.dequeued_count = self.dequeued_count.saturating_add(leaving as u64);
        leaving
    }

    /// What is told outside of the counters; `capacity` can wait.
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

    /// The same for what could not be saved.
    pub(super) fn return_usage(&mut self, delta: OwnerUsage, most: usize) {
        if self.outbox.put_older(delta, most).is_err() {
            self.lost_count = self.lost_count.saturating_add(1);
        }
    }

    /// What waits to be told outside of the counters.
    pub(super) fn take_outbox(&mut self) -> impl Iterator<Item = OwnerUsage> + use<> {
        self.outbox.take()
    }

    /// How often something to tell was lost for want of room.
    pub(super) fn lost_count(&self) -> u64 {
        self.lost_count
    }

    /// Look at the next so many counters, and drop the idle ones.
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

    /// Drop the counter at this place; the last one takes the place.
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

    /// The queue names a counter by its place.
    fn move_in_queue(&mut self, from: usize, to: usize) {
        let queued = self.entries.get(from).map_or(NOT_QUEUED, |e| e.queued);
        let number = queued.checked_sub(self.dequeued_count);
        let number = number.and_then(|number| usize::try_from(number).ok());
        if let Some(place) = number.and_then(|number| self.queue.get_mut(number)) {
            *place = narrow(to);
        }
    }
}

/// There are never more than [`CounterTable::make_room`] lets in.
fn narrow(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

fn hash_at(entries: &[CounterEntry], place: u32) -> u64 {
    hash_of(entries, place as usize)
}

/// The index holds places that are there only, so there is always one.
fn hash_of(entries: &[CounterEntry], place: usize) -> u64 {
    entries.get(place).map_or(0, |entry| entry.hash)
}

#[cfg(test)]
mod tests {
    use super::super::bucket::Shape;
    use super::super::counter::{Bounds, CounterRequest};
    use super::*;

    /// One that is as good as new would be swept.
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
        // The first leaves the queue, and later the table; the last takes its place.
        places.iter().for_each(|place| table.enqueue(*place));
        let mut told = Vec::new();
        assert_eq!(table.dequeue(1, &mut told), 1);
        table.enqueue(places[3]);
        table.remove(places[0]);
        assert_eq!(table.dequeue(9, &mut told), 3);
        let keys: Vec<&str> = told.iter().map(|delta| &*delta.key).collect();
        assert_eq!(keys, ["a", "b", "c", "d"]);
        assert_eq!(table.queued(), 0);
    }
}
