//! Whether a client that leaves is heard while its request is answered.
//!
//! The socket wakes the connection's task for what it waits to read. While it does not wait, since
//! another request is pipelined or nobody takes the body, the watch task lets the connection's I/O look
//! once a tick. A read pays one store for it.

use std::sync::atomic::Ordering::Relaxed;

use super::{ConnectionPhase, LOOK, Watch};

impl Watch {
    /// Whether more bytes of the client, or its end, wake the connection's task from now on.
    pub(crate) fn set_hears(&self, hears: bool) {
        self.hears.store(hears, Relaxed);
    }

    /// Let the connection's I/O look, where it would not hear that the client leaves.
    pub(super) fn look(&self) {
        if !self.hears.load(Relaxed) && self.phase() == ConnectionPhase::Busy {
            self.sign(LOOK);
        }
    }

    /// Whether the connection's I/O is to look. Once.
    #[must_use]
    pub(crate) fn take_look(&self) -> bool {
        let signs = self.signs.load(Relaxed);
        self.signs.store(signs & !LOOK, Relaxed);
        signs & LOOK != 0
    }
}
