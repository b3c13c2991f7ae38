//! The room for counters, divided among bounds. Pure.
//!
//! Half of the room is divided among all bounds; the other half is first come, first served. So a
//! bound whose values clients choose uses up no more than that half and its own share: every other
//! bound finds its share free. No counter is dropped for that.

/// The size of the room, and the number of its users.
#[derive(Debug, Clone, Copy)]
pub(super) struct Division {
    /// Counters.
    pub(crate) capacity: usize,
    /// Bounds that have a share; 0: the room is not divided.
    pub(crate) bounds: usize,
}

/// The numbers of counters of each bound.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// The counters of each bound, by its number.
    kept: Vec<usize>,
    /// The counters of all bounds together.
    all: usize,
    /// The last share of each bound.
    share: usize,
    /// Counters within the shares of their bounds.
    in_shares: usize,
}

impl Room {
    /// Whether this bound may have another counter.
    pub(super) fn has(&mut self, bound: u32, division: Division) -> bool {
        let Division {
            capacity: most,
            bounds,
        } = division;
        if self.all >= most.min(u32::MAX as usize) {
            return false;
        }
        let share = (most / 2).checked_div(bounds).unwrap_or(0);
        if share != self.share {
            self.share = share;
            self.in_shares = self.kept.iter().map(|kept| (*kept).min(share)).sum();
        }
        let unused = (share * bounds).saturating_sub(self.in_shares);
        self.counts(bound) < share || self.all.saturating_add(unused) < most
    }

    /// Records another counter of the bound.
    pub(super) fn add(&mut self, bound: u32) {
        let index = bound as usize;
        if self.kept.len() <= index {
            self.kept.resize(index + 1, 0);
        }
        if let Some(kept) = self.kept.get_mut(index) {
            self.in_shares += usize::from(*kept < self.share);
            *kept += 1;
        }
        self.all += 1;
    }

    /// Records one counter less of the bound.
    pub(super) fn remove(&mut self, bound: u32) {
        if let Some(kept) = self.kept.get_mut(bound as usize)
            && *kept > 0
        {
            *kept -= 1;
            self.in_shares -= usize::from(*kept < self.share);
            self.all -= 1;
        }
    }

    fn counts(&self, bound: u32) -> usize {
        self.kept.get(bound as usize).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(room: &mut Room, bound: u32, division: Division) -> usize {
        let mut added = 0;
        while room.has(bound, division) {
            room.add(bound);
            added += 1;
        }
        added
    }

    #[test]
    fn each_bound_finds_its_share_whatever_the_others_took() {
        let division = Division {
            capacity: 100,
            bounds: 5,
        };
        let mut room = Room::default();
        // All but the shares of the four others.
        assert_eq!(fill(&mut room, 0, division), 60);
        for bound in 1..5 {
            assert_eq!(fill(&mut room, bound, division), 10);
        }
        room.remove(3);
        assert!(!room.has(0, division) && room.has(3, division));
        room.remove(0);
        assert!(room.has(0, division) && room.has(3, division));
    }

    #[test]
    fn one_bound_alone_has_all_and_a_new_one_gets_what_becomes_free() {
        let alone = Division {
            capacity: 100,
            bounds: 1,
        };
        let mut room = Room::default();
        assert_eq!(fill(&mut room, 0, alone), 100);
        let two = Division { bounds: 2, ..alone };
        assert!(!room.has(1, two));
        (0..10).for_each(|_| room.remove(0));
        assert_eq!(fill(&mut room, 0, two), 0);
        assert_eq!(fill(&mut room, 1, two), 10);
    }

    #[test]
    fn room_that_is_not_divided_is_for_whoever_comes() {
        let division = Division {
            capacity: 9,
            bounds: 0,
        };
        let mut room = Room::default();
        assert_eq!(fill(&mut room, 7, division), 9);
        assert!(!room.has(1, division));
    }
}
