//! Request ids: 128 random bits each.
//!
//! A counter would tell whoever asks twice how many requests came in between, so the bits are those
//! of the system's generator, as aws-lc-rs seeds and expands it. They are taken by the buffer: a
//! request pays for a copy, and one in 256 for the next buffer. Each thread has its own.

use std::cell::RefCell;

use aws_lc_rs::rand;

use crate::model::request_id::RequestId;

/// Bytes of one id.
const ID: usize = 16;

/// Bytes that are made at once.
const BUFFER: usize = 256 * ID;

thread_local! {
    static IDS: RefCell<Ids> = const { RefCell::new(Ids { bytes: [0; BUFFER], left: 0 }) };
}

struct Ids {
    bytes: [u8; BUFFER],
    /// How many bytes of the end were not given yet.
    left: usize,
}

/// An id that nobody had before, and that nobody can guess.
#[must_use]
pub(crate) fn next_id() -> RequestId {
    IDS.with_borrow_mut(|ids| RequestId::new(ids.next()))
}

impl Ids {
    fn next(&mut self) -> [u8; ID] {
        if self.left < ID {
            self.fill();
        }
        let start = BUFFER - self.left;
        self.left -= ID;
        let bytes = self.bytes.get(start..).and_then(<[u8]>::first_chunk);
        bytes.copied().unwrap_or_default()
    }

    #[cold]
    fn fill(&mut self) {
        if rand::fill(&mut self.bytes).is_err() {
            // The generator has no way to fail once it is seeded; ids stay unique all the same.
            fastrand::fill(&mut self.bytes);
        }
        self.left = BUFFER;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_unique_across_buffers() {
        let ids: HashSet<String> = (0..2000).map(|_| next_id().as_str().to_owned()).collect();
        assert_eq!(ids.len(), 2000);
        assert!(ids.iter().all(|id| id.len() == 32));
    }

    #[test]
    fn the_distance_between_two_ids_tells_nothing() {
        let number = || u128::from_str_radix(next_id().as_str(), 16).unwrap();
        let mut close = 0;
        let mut before = number();
        for _ in 0..1000 {
            let id = number();
            // One in 2^63 by chance.
            close += usize::from(id.abs_diff(before) < 1 << 64);
            before = id;
        }
        assert_eq!(close, 0);
    }
}
