//! When the keeper does what.

use std::time::Instant;

/// When what is to be done.
pub(super) struct Due {
    pub ask: Instant,
    pub flush: Instant,
    pub touch: Instant,
    pub forget: Instant,
}

impl Due {
    /// The next of them.
    pub(super) fn next(&self) -> Instant {
        self.ask.min(self.flush).min(self.forget)
    }
}
