//! How many lines of one kind the gateway's own log gets: some a second, so that an outage does not
//! fill the disk and hide what else is said.
//!
//! Pure; one a worker and kind. What is left out is counted, and told with the next line of its kind.

use std::cell::Cell;

/// The most lines of one kind a second, from one worker.
const MOST: u32 = 10;

/// A kind of line.
#[derive(Debug, Default)]
pub struct LineLimit {
    second: Cell<u64>,
    said: Cell<u32>,
    left_out: Cell<u64>,
}

impl LineLimit {
    /// Whether one more line may be said now; with how many were left out before it. Milliseconds of
    /// any clock.
    pub fn take(&self, now_ms: u64) -> Option<u64> {
        let second = now_ms / 1000;
        if self.second.replace(second) != second {
            self.said.set(0);
        }
        let said = self.said.get();
        if said >= MOST {
            self.left_out.set(self.left_out.get() + 1);
            return None;
        }
        self.said.set(said + 1);
        Some(self.left_out.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_a_second_and_the_rest_is_counted() {
        let limit = LineLimit::default();
        let said = (0..25).filter_map(|_| limit.take(1_000)).count();
        assert_eq!(said, 10);
        assert_eq!(limit.take(1_999), None);
        assert_eq!(limit.take(2_000), Some(16));
        assert_eq!(limit.take(2_001), Some(0));
    }
}
