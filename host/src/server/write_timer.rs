//! Measures whether a client reads what is written to it.

use std::task::Poll;

use crate::http::watch::{TimeoutKind, Watch};

/// Notes in the watch when writing stalls, and when it goes on.
#[derive(Debug, Default)]
pub(crate) struct WriteTimer(bool);

impl WriteTimer {
    /// Record the outcome of a write.
    pub(crate) fn track<T>(&mut self, watch: &Watch, outcome: Poll<T>) -> Poll<T> {
        if outcome.is_pending() {
            self.0 = true;
            watch.begin_write_wait();
        } else if self.0 {
            self.0 = false;
            watch.disarm(TimeoutKind::Write);
        }
        outcome
    }
}
