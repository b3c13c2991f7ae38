//! How many lines of one kind the gateway's own log gets: some a second, so that an outage does not
//! fill the disk and hide what else is said.
//!
//! Pure; one a worker and kind. What is left out is counted, and told with the next line of its kind.

use std::cell::Cell;

/// The most lines of one kind a second, from one worker.
const MAX_PER_SECOND: u32 = 10;

/// The most lines a minute of a kind that strangers can cause at will. From one worker that makes
/// some 20 MB of log a day at the most.
const MAX_PER_MINUTE: u32 = 60;

/// A kind of line.
#[derive(Debug)]
pub(crate) struct LogRateLimit {
    max_per_minute: u32,
    second: Cell<u64>,
    logged: Cell<u32>,
    minute: Cell<u64>,
    logged_in_minute: Cell<u32>,
    left_out: Cell<u64>,
}

impl Default for LogRateLimit {
    fn default() -> Self {
        Self::new(u32::MAX)
    }
}

impl LogRateLimit {
    /// For lines that strangers can cause at will.
    #[must_use]
    pub(crate) fn for_strangers() -> Self {
        Self::new(MAX_PER_MINUTE)
    }

    fn new(most_a_minute: u32) -> Self {
        Self {
            max_per_minute: most_a_minute,
            second: Cell::default(),
            logged: Cell::default(),
            minute: Cell::default(),
            logged_in_minute: Cell::default(),
            left_out: Cell::default(),
        }
    }

    /// Whether one more line may be said now; with how many were left out before it. Milliseconds of
    /// any clock.
    pub(crate) fn take(&self, now_ms: u64) -> Option<u64> {
        let second = now_ms / 1000;
        if self.second.replace(second) != second {
            self.logged.set(0);
        }
        let minute = now_ms / 60_000;
        if self.minute.replace(minute) != minute {
            self.logged_in_minute.set(0);
        }
        let (said, said_in_minute) = (self.logged.get(), self.logged_in_minute.get());
        if said >= MAX_PER_SECOND || said_in_minute >= self.max_per_minute {
            self.left_out.set(self.left_out.get() + 1);
            return None;
        }
        self.logged.set(said + 1);
        self.logged_in_minute.set(said_in_minute + 1);
        Some(self.left_out.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_a_second_and_the_rest_is_counted() {
        let limit = LogRateLimit::default();
        let said = (0..25).filter_map(|_| limit.take(1_000)).count();
        assert_eq!(said, 10);
        assert_eq!(limit.take(1_999), None);
        assert_eq!(limit.take(2_000), Some(16));
        assert_eq!(limit.take(2_001), Some(0));
    }

    #[test]
    fn what_strangers_cause_gets_some_lines_a_minute() {
        let limit = LogRateLimit::for_strangers();
        // A thousand of them a second, for two minutes.
        let said = |from: u64, to: u64| (from..to).filter(|ms| limit.take(*ms).is_some()).count();
        assert_eq!(said(0, 60_000), 60);
        assert_eq!(limit.take(60_000), Some(54_990));
        assert_eq!(said(60_001, 120_000), 59);
    }
}
