//! A dense list of entries with a hash index of positions.
//!
//! A cursor walks the list a few entries at a time and drops the idle ones, so all are never walked
//! at once. No other entry is dropped to make room.

use hashbrown::HashTable;

use super::room::{Division, Room};
use crate::runtime::clock::Timestamp;

/// How many entries the cursor checks with every new one, and at intervals.
const STEPS: usize = 4;
/// How many it checks before a new one is refused for lack of room.
const STEPS_WHEN_FULL: usize = 64;
/// Interval between two checks while no new entry comes. Requests.
const TAKINGS: u8 = 16;
/// Below this size it is not worthwhile to free memory. Entries.
pub(super) const SMALL: usize = 256;

/// An entry of a table.
pub(super) trait TableEntry {
    fn hash(&self) -> u64;

    /// The bound whose room it uses up. None: it always has room.
    fn space(&self) -> Option<u32>;

    /// Whether it is as good as new, and may be dropped.
    fn is_idle(&self, now: Timestamp) -> bool;
}

/// The entries of one shard.
#[derive(Debug)]
pub(super) struct DenseTable<E> {
    index: HashTable<u32>,
    list: Vec<E>,
    room: Room,
    cursor: usize,
    takings: u8,
}

impl<E> Default for DenseTable<E> {
    fn default() -> Self {
        Self {
            index: HashTable::new(),
            list: Vec::new(),
            room: Room::default(),
            cursor: 0,
            takings: 0,
        }
    }
}

impl<E: TableEntry> DenseTable<E> {
    /// The position of the entry with this hash that is the wanted one.
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(&E) -> bool) -> Option<usize> {
        let matches = |position: &u32| self.list.get(*position as usize).is_some_and(&is_it);
        let position = self.index.find(hash, matches)?;
        Some(*position as usize)
    }

    /// The entry at this position.
    pub(super) fn at(&mut self, position: usize) -> Option<&mut E> {
        self.list.get_mut(position)
    }

    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Inserts an entry that is not there. Returns its position.
    pub(super) fn insert(&mut self, entry: E) -> usize {
        let position = self.list.len();
        if let Some(space) = entry.space() {
            self.room.add(space);
        }
        let hash = entry.hash();
        self.list.push(entry);
        let list = &self.list;
        let hash_at = |at: &u32| hash_of(list, *at as usize);
        self.index.insert_unique(hash, narrow(position), hash_at);
        position
    }

    /// Whether there is room for another entry of this bound. Idle entries make room; for each one
    /// that moves to another position, `moved` is called with that.
    pub(super) fn make_room(
        &mut self,
        space: u32,
        division: Division,
        now: Timestamp,
        moved: impl FnMut(&E, usize),
    ) -> bool {
        let steps = if self.room.has(space, division) {
            STEPS
        } else {
            STEPS_WHEN_FULL
        };
        self.sweep(steps, now, moved);
        self.room.has(space, division)
    }

    /// Counts a request, and checks some entries now and then.
    pub(super) fn tick(&mut self, now: Timestamp, moved: impl FnMut(&E, usize)) {
        self.takings = self.takings.wrapping_add(1);
        if self.takings.is_multiple_of(TAKINGS) {
            self.sweep(STEPS, now, moved);
        }
    }

    /// Checks the next entries, and drops the idle ones.
    fn sweep(&mut self, steps: usize, now: Timestamp, mut moved: impl FnMut(&E, usize)) {
        for _ in 0..steps.min(self.list.len()) {
            match self.list.get(self.cursor) {
                None => self.cursor = 0,
                Some(entry) if entry.is_idle(now) => self.remove(self.cursor, &mut moved),
                Some(_) => self.cursor += 1,
            }
        }
        if self.list.len() < self.list.capacity() / 4 && self.list.capacity() > SMALL {
            let kept = self.list.len() * 2;
            self.list.shrink_to(kept);
            let list = &self.list;
            self.index.shrink_to(kept, |at| hash_of(list, *at as usize));
        }
    }

    /// Drops the entry at this position; the last one moves there.
    pub(super) fn remove(&mut self, position: usize, mut moved: impl FnMut(&E, usize)) {
        if let Some(space) = self.list.get(position).and_then(E::space) {
            self.room.remove(space);
        }
        let last = self.list.len().saturating_sub(1);
        let hash = hash_of(&self.list, position);
        let is_it = |at: &u32| *at as usize == position;
        if let Ok(found) = self.index.find_entry(hash, is_it) {
            found.remove();
        }
        if position != last
            && let Some(entry) = self.list.get(last)
        {
            let is_last = |at: &u32| *at as usize == last;
            if let Some(at) = self.index.find_mut(entry.hash(), is_last) {
                *at = narrow(position);
            }
            moved(entry, position);
        }
        self.list.swap_remove(position);
    }
}

/// There are never more than the room allows, except for a few that always have room.
pub(super) fn narrow(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

/// The index only has valid positions, so there is always one.
fn hash_of<E: TableEntry>(list: &[E], position: usize) -> u64 {
    list.get(position).map_or(0, E::hash)
}
