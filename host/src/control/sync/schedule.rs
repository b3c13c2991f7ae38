//! The schedule of the sync's thread.

use std::time::Instant;

/// The times of the next actions.
pub(super) struct SyncSchedule {
    pub(crate) poll: Instant,
    pub(crate) flush: Instant,
    pub(crate) last_used: Instant,
    pub(crate) cleanup: Instant,
}

impl SyncSchedule {
    pub(super) fn next(&self) -> Instant {
        self.poll.min(self.flush).min(self.cleanup)
    }
}
