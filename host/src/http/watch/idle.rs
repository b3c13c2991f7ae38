//! Connections that wait for a request, and what becomes of them when there is room for no other.

use std::sync::atomic::Ordering::Relaxed;

use super::{ConnectionPhase, TimeoutKind, Watch};

/// A client that has just connected is about to ask for something, and does not idle. Milliseconds.
const NEW_CLIENT_GRACE_MS: u64 = 1000;

impl Watch {
    /// The connection waits for the first byte of its first request: no longer than a head may take,
    /// since nothing shows that it is a client's.
    pub(super) fn begin_first_wait(&self) {
        self.arm(TimeoutKind::Client, self.limits.head.min(self.limits.idle));
        self.idle_since.store(self.shared.clock.now(), Relaxed);
    }

    /// Since when it idles; none: it does not, or is about to be closed. Milliseconds.
    #[must_use]
    pub(crate) fn idle_since(&self) -> Option<u64> {
        let waits = self.phase() == ConnectionPhase::Idle && !self.expired(TimeoutKind::Client);
        let since = self.idle_since.load(Relaxed);
        let is_fresh = self.served() == 0 && self.shared.clock.now() < since + NEW_CLIENT_GRACE_MS;
        (waits && since != 0 && !is_fresh).then_some(since)
    }

    /// It has waited for long enough: its place is needed.
    pub(crate) fn close_idle(&self) {
        self.disarm(TimeoutKind::Client);
        self.set_signal(TimeoutKind::Client.signal());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::watch::{ClientTimeouts, MIN_TICK};
    use crate::runtime::worker_shared::WorkerShared;

    fn waiting() -> Watch {
        let limits = ClientTimeouts {
            head: 1,
            idle: 50,
            body: None,
            write: 1,
        };
        let watch = Watch::unarmed(WorkerShared::new(), limits, MIN_TICK, false);
        watch.begin_exchange(false);
        watch.end_exchange();
        watch.on_flushed();
        watch
    }

    #[test]
    fn who_waits_for_a_request_idles_and_who_has_begun_one_does_not() {
        let watch = waiting();
        assert_eq!(watch.idle_since(), Some(1));
        watch.begin_head();
        assert_eq!(watch.idle_since(), None);
        let fresh = Watch::unarmed(WorkerShared::new(), watch.limits, MIN_TICK, false);
        fresh.begin_first_wait();
        assert_eq!(fresh.idle_since(), None);
        let watch = waiting();
        watch.close_idle();
        assert!(watch.expired(TimeoutKind::Client) && watch.idle_since().is_none());
    }
}
