//! When the keeper does what.

use std::time::Instant;

/// When what is to be done.
pub(super) struct SyncSchedule {
    pub(crate) next_poll: Instant,
    pub(crate) next_flush: Instant,
    pub(crate) next_last_used: Instant,
    pub(crate) next_cleanup: Instant,
}

impl SyncSchedule {
    pub(super) fn next(&self) -> Instant {
        self.next_poll.min(self.next_flush).min(self.next_cleanup)
    }
}
