//! The counters behind one lock.
//!
//! Beside the counters is a queue of the positions of those with unreported usage (see
//! [`take_pending`](UsageCounter::take_pending)); a queued counter is kept.

use std::collections::VecDeque;
use std::sync::Arc;

use super::counter::{PendingUsage, UsageCounter};
use super::dense_table::{DenseTable, SMALL, TableEntry, narrow};
use super::outbox::{Outbox, OwnerUsage};
use super::room::Division;
use crate::runtime::clock::Timestamp;

/// Marks a counter that is not in the queue.
const NOT_QUEUED: u64 = u64::MAX;

/// Some of a store's counters.
#[derive(Debug, Default)]
pub(super) struct CounterTable {
    entries: DenseTable<CounterEntry>,
    queue: UsageQueue,
    outbox: Outbox,
    /// How often usage was lost for lack of room.
    pub(crate) lost_count: u64,
}

/// The positions of counters with unreported usage, each once.
#[derive(Debug, Default)]
struct UsageQueue {
    positions: VecDeque<u32>,
    /// How many entries have left the queue: the number of the one at its head.
    dequeued_count: u64,
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

impl TableEntry for CounterEntry {
    fn hash(&self) -> u64 {
        self.hash
    }

    fn space(&self) -> Option<u32> {
        (!self.key.is_empty()).then_some(self.space)
    }

    fn is_idle(&self, now: Timestamp) -> bool {
        self.queued == NOT_QUEUED && self.counter.is_idle(now)
    }
}

impl CounterTable {
    /// The position of this owner's counter, if there is one.
    pub(super) fn find(&self, owner: &CounterOwner<'_>) -> Option<usize> {
        let is_it = |entry: &CounterEntry| entry.space == owner.space && *entry.key == *owner.key;
        self.entries.find(owner.hash, is_it)
    }

    /// The counter at this position, if it belongs to this space.
    pub(super) fn counter_of(&mut self, position: usize, space: u32) -> Option<&mut UsageCounter> {
        let entry = self.entries.at(position)?;
        (entry.space == space).then_some(&mut entry.counter)
    }

    /// The counter at this position.
    pub(super) fn entry(&mut self, position: usize) -> Option<&mut CounterEntry> {
        self.entries.at(position)
    }

    /// Whether there is room for another counter of this space. Idle counters make room.
    pub(super) fn make_room(&mut self, space: u32, division: Division, now: Timestamp) -> bool {
        let queue = &mut self.queue;
        let moved = |entry: &CounterEntry, to| queue.moved(entry, to);
        self.entries.make_room(space, division, now, moved)
    }

    /// Inserts a counter for an owner who has none. Returns its position.
    pub(super) fn insert(
        &mut self,
        owner: &CounterOwner<'_>,
        key: Arc<str>,
        counter: UsageCounter,
    ) -> usize {
        self.entries.insert(CounterEntry {
            space: owner.space,
            hash: owner.hash,
            queued: NOT_QUEUED,
            key,
            counter,
        })
    }

    /// Counts a request, and checks some counters now and then.
    pub(super) fn tick(&mut self, now: Timestamp) {
        let queue = &mut self.queue;
        self.entries.tick(now, |entry, to| queue.moved(entry, to));
    }

    /// The number of counters.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Queues the counter at this position.
    pub(super) fn enqueue(&mut self, position: usize) {
        if let Some(entry) = self.entries.at(position)
            && entry.queued == NOT_QUEUED
        {
            entry.queued = self.queue.push(position);
        }
    }

    /// The number of queued counters.
    pub(super) fn queued(&self) -> usize {
        self.queue.positions.len()
    }

    /// Takes the usage of the next queued counters, at most `most`. Returns how many left the
    /// queue.
    pub(super) fn dequeue(&mut self, most: usize, reported: &mut Vec<OwnerUsage>) -> usize {
        let positions = &mut self.queue.positions;
        let leaving = most.min(positions.len());
        for position in positions.drain(..leaving) {
            let Some(entry) = self.entries.at(position as usize) else {
                continue;
            };
            entry.queued = NOT_QUEUED;
            reported.extend(entry.counter.take_pending().map(|pending| OwnerUsage {
                space: entry.space,
                key: Arc::clone(&entry.key),
                pending,
            }));
        }
        // Usage that came in a burst leaves no memory behind.
        positions.shrink_to((self.entries.len() * 2).max(SMALL));
        self.queue.dequeued_count = self.queue.dequeued_count.saturating_add(leaving as u64);
        leaving
    }

    /// Adds usage to the outbox, which has room for `most` entries.
    pub(super) fn enqueue_usage(
        &mut self,
        owner: &CounterOwner<'_>,
        pending: PendingUsage,
        most: usize,
    ) {
        let usage = OwnerUsage {
            space: owner.space,
            key: owner.key.into(),
            pending,
        };
        self.lost_count += u64::from(self.outbox.put(usage, most).is_err());
    }

    /// The same for usage that could not be written.
    pub(super) fn return_usage(&mut self, usage: OwnerUsage, most: usize) {
        self.lost_count += u64::from(self.outbox.put_older(usage, most).is_err());
    }

    /// Takes the usage of the outbox.
    pub(super) fn take_outbox(&mut self) -> impl Iterator<Item = OwnerUsage> + use<> {
        self.outbox.take()
    }
}

impl UsageQueue {
    /// Appends the counter at this position. Returns its number in the queue.
    fn push(&mut self, position: usize) -> u64 {
        let number = self
            .dequeued_count
            .saturating_add(self.positions.len() as u64);
        self.positions.push_back(narrow(position));
        number
    }

    /// The queue names a counter by its position.
    fn moved(&mut self, entry: &CounterEntry, to: usize) {
        let number = entry.queued.checked_sub(self.dequeued_count);
        let number = number.and_then(|number| usize::try_from(number).ok());
        if let Some(position) = number.and_then(|number| self.positions.get_mut(number)) {
            *position = narrow(to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bounds::{Bounds, CounterRequest};
    use super::super::bucket::Shape;
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
    fn owners_of_one_hash_are_distinguished() {
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
            let position = table.find(&owner(space, key)).unwrap();
            let entry = table.entry(position).unwrap();
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
        let positions = names.map(|key| table.insert(&owner(key), key.into(), used()));
        // The first leaves the queue, and later the table; the last moves to its position.
        positions
            .iter()
            .for_each(|position| table.enqueue(*position));
        let mut reported = Vec::new();
        assert_eq!(table.dequeue(1, &mut reported), 1);
        table.enqueue(positions[3]);
        let queue = &mut table.queue;
        let moved = |entry: &CounterEntry, to| queue.moved(entry, to);
        table.entries.remove(positions[0], moved);
        assert_eq!(table.dequeue(9, &mut reported), 3);
        let keys: Vec<&str> = reported.iter().map(|delta| &*delta.key).collect();
        assert_eq!(keys, ["a", "b", "c", "d"]);
        assert_eq!(table.queued(), 0);
    }
}
