//! When the keeper does what.

use std::time::Instant;

/// When what is to be done.
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
