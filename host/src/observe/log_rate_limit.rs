//! Limits the lines of one kind in the gateway's own log, so that an outage does not fill the disk
//! and hide other lines.
//!
//! Pure; a worker has one for each kind. Dropped lines are counted, and the next line of the kind
//! reports their number.

use std::cell::Cell;

/// The most lines of one kind a second, from one worker.
const MAX_PER_SECOND: u32 = 10;

/// The most lines a minute of a kind that unauthenticated clients can cause at will. For one
/// worker that makes at most some 20 MB of log a day.
const MAX_PER_MINUTE: u32 = 60;

/// The limit of one kind of line.
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
    /// For lines that unauthenticated clients can cause at will.
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

    /// Takes the permission for one more line now, with the number of lines that were dropped
    /// before it. Milliseconds of any clock.
    pub(crate) fn take(&self, now_ms: u64) -> Option<u64> {
        let second = now_ms / 1000;
        if self.second.replace(second) != second {
            self.logged.set(0);
        }
        let minute = now_ms / 60_000;
        if self.minute.replace(minute) != minute {
            self.logged_in_minute.set(0);
        }
        let (logged, said_in_minute) = (self.logged.get(), self.logged_in_minute.get());
        if logged >= MAX_PER_SECOND || said_in_minute >= self.max_per_minute {
            self.left_out.set(self.left_out.get() + 1);
            return None;
        }
        self.logged.set(logged + 1);
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
        let logged = (0..25).filter_map(|_| limit.take(1_000)).count();
        assert_eq!(logged, 10);
        assert_eq!(limit.take(1_999), None);
        assert_eq!(limit.take(2_000), Some(16));
        assert_eq!(limit.take(2_001), Some(0));
    }

    #[test]
    fn lines_that_strangers_cause_are_limited_by_the_minute() {
        let limit = LogRateLimit::for_strangers();
        // A thousand lines a second, for two minutes.
        let logged = |from: u64, to: u64| (from..to).filter(|ms| limit.take(*ms).is_some()).count();
        assert_eq!(logged(0, 60_000), 60);
        assert_eq!(limit.take(60_000), Some(54_990));
        assert_eq!(logged(60_001, 120_000), 59);
    }
}
