//! When the keeper does what.

use std::time::Instant;

/// When what is to be done.
pub(super) struct Due {
    pub(crate) ask: Instant,
    pub(crate) flush: Instant,
    pub(crate) touch: Instant,
    pub(crate) forget: Instant,
}

impl Due {
    pub(super) fn next(&self) -> Instant {
        self.ask.min(self.flush).min(self.forget)
    }
}
