//! Whether a client that leaves is heard while its request is answered.
//!
//! The socket wakes the connection's task for what it waits to read. While it does not wait, since
//! another request is pipelined or nobody takes the body, the watch task lets the connection's I/O look
//! once a tick. A read pays one store for it.

use std::sync::atomic::Ordering::Relaxed;

use super::{CHECK_CLIENT, ConnectionPhase, Watch};

impl Watch {
    /// Whether more bytes of the client, or its end, wake the connection's task from now on.
    pub(crate) fn set_notices_client(&self, hears: bool) {
        self.notices_client.store(hears, Relaxed);
    }

    /// Let the connection's I/O look, where it would not hear that the client leaves.
    pub(super) fn request_client_check(&self) {
        if !self.notices_client.load(Relaxed) && self.phase() == ConnectionPhase::Busy {
            self.set_signal(CHECK_CLIENT);
        }
    }

    /// Whether the connection's I/O is to look. Once.
    #[must_use]
    pub(crate) fn take_client_check(&self) -> bool {
        let signs = self.signals.load(Relaxed);
        self.signals.store(signs & !CHECK_CLIENT, Relaxed);
        signs & CHECK_CLIENT != 0
    }
}
