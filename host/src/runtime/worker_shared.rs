//! The data that a worker's connections share and other threads may read: a coarse clock and counters.
//!
//! Only the worker writes here. Deliberately not here: what belongs to its thread alone (`proxy::worker`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::observe::stats::WorkerStats;

/// The data that a worker's connections share and other threads may read.
#[derive(Debug)]
pub(crate) struct WorkerShared {
    /// The worker's coarse clock.
    pub(crate) clock: CoarseClock,
    pub(crate) stats: WorkerStats,
    /// Exchanges whose log phases did not run because too many waited.
    pub(crate) log_phases_dropped: AtomicU64,
}

impl WorkerShared {
    #[must_use]
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            clock: CoarseClock::new(),
            stats: WorkerStats::default(),
            log_phases_dropped: AtomicU64::new(0),
        })
    }
}

/// Milliseconds since the worker's start, as of its last look at the real clock. Time-outs are
/// set by it, so that a request asks no clock for them; it is behind by one tick of the watch
/// at most (and by what the worker itself is late).
#[derive(Debug)]
pub(crate) struct CoarseClock {
    start: Instant,
    now: AtomicU64,
}

impl CoarseClock {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            now: AtomicU64::new(1),
        }
    }

    /// As of the last look. Never 0.
    #[must_use]
    pub(crate) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// As if it were so late.
    #[cfg(test)]
    pub(crate) fn set(&self, now: u64) {
        self.now.store(now, Ordering::Relaxed);
    }

    /// Look at the real clock.
    pub(crate) fn update(&self) -> u64 {
        let elapsed = self.start.elapsed().as_millis();
        let now = u64::try_from(elapsed).unwrap_or(u64::MAX).max(1);
        self.now.store(now, Ordering::Relaxed);
        now
    }
}
