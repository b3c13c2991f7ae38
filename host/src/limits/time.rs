//! The two clocks of the counters.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A time on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timestamp {
    /// On a clock that never steps back, from any beginning. Nanoseconds.
    pub(crate) monotonic_ns: u64,
    /// Since 1970-01-01T00:00:00Z, on the wall clock, which may step. Milliseconds.
    pub(crate) wall_ms: u64,
}

impl Timestamp {
    /// The first clock in milliseconds.
    #[must_use]
    pub(crate) fn monotonic_ms(self) -> u64 {
        self.monotonic_ns / 1_000_000
    }

    /// The time after this duration.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn after(self, time: std::time::Duration) -> Self {
        Self {
            monotonic_ns: self.monotonic_ns.saturating_add(fit(time.as_nanos())),
            wall_ms: self.wall_ms.saturating_add(fit(time.as_millis())),
        }
    }
}

/// The source of timestamps outside of tests. One for each process: the monotonic part counts from
/// its creation, so the times of two clocks cannot be compared.
#[derive(Debug, Clone, Copy)]
pub struct TimestampClock {
    beginning: Instant,
}

impl TimestampClock {
    /// A clock that begins now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            beginning: Instant::now(),
        }
    }

    /// The time now. A wall clock set before 1970 counts as 1970.
    #[must_use]
    pub(crate) fn now(&self) -> Timestamp {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp {
            monotonic_ns: fit(self.beginning.elapsed().as_nanos()),
            wall_ms: fit(wall.as_millis()),
        }
    }
}

fn fit(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
