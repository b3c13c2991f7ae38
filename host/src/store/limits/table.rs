//! The counters behind one lock.
//!
//! A dense list with a hash index of places in it, so that a cursor can walk the list a few
//! counters at a time and drop the idle ones: there is no moment at which all are walked.

use std::sync::Arc;

use hashbrown::HashTable;

use super::counter::Counter;
use super::time::Timestamp;

/// How many counters the cursor looks at with every new one, and every so many takings.
const STEPS: usize = 4;
/// How many it looks at before a new one is refused for want of room.
const STEPS_WHEN_FULL: usize = 64;
/// Between two looks while nothing new comes. Takings.
const TAKINGS: u8 = 16;
/// Below this nothing is gained by giving memory back. Counters.
const SMALL: usize = 256;

/// Some of a store's counters.
#[derive(Debug, Default)]
pub(super) struct Table {
    index: HashTable<u32>,
    entries: Vec<Entry>,
    cursor: usize,
    takings: u8,
}

/// Whose counter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner<'a> {
    pub space: u32,
    pub key: &'a str,
    /// Of both.
    pub hash: u64,
}

#[derive(Debug)]
pub(super) struct Entry {
    space: u32,
    hash: u64,
    pub key: Arc<str>,
    pub counter: Counter,
}

impl Table {
    /// The counter of this owner, if it has one.
    pub(super) fn find(&mut self, owner: &Owner<'_>) -> Option<&mut Entry> {
        let entries = &self.entries;
        let place = *self.index.find(owner.hash, |place| {
            entries
                .get(*place as usize)
                .is_some_and(|entry| entry.space == owner.space && *entry.key == *owner.key)
        })?;
        self.entries.get_mut(place as usize)
    }

    /// Keep a counter for an owner who has none. None, and nothing is kept, when `most` are
    /// there and no idle one was met.
    pub(super) fn insert(
        &mut self,
        owner: &Owner<'_>,
        counter: Counter,
        most: usize,
        now: Timestamp,
    ) -> Option<Arc<str>> {
        let steps = if self.entries.len() < most {
            STEPS
        } else {
            STEPS_WHEN_FULL
        };
        self.sweep(steps, now);
        if self.entries.len() >= most {
            return None;
        }
        let place = u32::try_from(self.entries.len()).ok()?;
        let key: Arc<str> = owner.key.into();
        self.entries.push(Entry {
            space: owner.space,
            hash: owner.hash,
            key: key.clone(),
            counter,
        });
        let entries = &self.entries;
        self.index
            .insert_unique(owner.hash, place, |place| hash_at(entries, *place));
        Some(key)
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

    /// Look at the next so many counters, and drop the idle ones.
    fn sweep(&mut self, steps: usize, now: Timestamp) {
        for _ in 0..steps.min(self.entries.len()) {
            match self.entries.get(self.cursor) {
                None => self.cursor = 0,
                Some(entry) if entry.counter.is_idle(now) => self.remove(self.cursor),
                Some(_) => self.cursor += 1,
            }
        }
        if self.entries.len() < self.entries.capacity() / 4 && self.entries.capacity() > SMALL {
            let kept = self.entries.len() * 2;
            self.entries.shrink_to(kept);
            let entries = &self.entries;
            self.index.shrink_to(kept, |place| hash_at(entries, *place));
        }
    }

    /// Drop the counter at this place; the last one takes the place.
    fn remove(&mut self, place: usize) {
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
                *each = u32::try_from(place).unwrap_or(*each);
            }
        }
        self.entries.swap_remove(place);
    }
}

fn hash_at(entries: &[Entry], place: u32) -> u64 {
    hash_of(entries, place as usize)
}

/// The index holds places that are there only, so there is always one.
fn hash_of(entries: &[Entry], place: usize) -> u64 {
    entries.get(place).map_or(0, |entry| entry.hash)
}

#[cfg(test)]
mod tests {
    use super::super::bucket::Shape;
    use super::super::counter::Bounds;
    use super::*;

    #[test]
    fn owners_of_one_hash_are_told_apart() {
        let mut table = Table::default();
        let now = Timestamp::default();
        let owner = |space, key| Owner {
            space,
            key,
            hash: 7,
        };
        for (space, key) in [(0, "a"), (0, "b"), (1, "a")] {
            assert!(table.find(&owner(space, key)).is_none());
            // One that is as good as new would be swept.
            let mut counter = Counter::new();
            let rate = Some(Shape::new(5, 1.0));
            let bounds = Bounds {
                rate,
                quota: None,
                since_ms: 0,
            };
            assert_eq!(counter.take(&bounds, 1, now), Ok(()));
            assert!(table.insert(&owner(space, key), counter, 10, now).is_some());
        }
        for (space, key) in [(0, "a"), (0, "b"), (1, "a")] {
            let entry = table.find(&owner(space, key)).unwrap();
            assert_eq!((entry.space, &*entry.key), (space, key));
        }
        assert!(table.find(&owner(1, "b")).is_none());
    }
}
