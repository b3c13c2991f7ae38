//! Counts rejected keys by reason. A client gets one answer for all reasons; the metrics
//! distinguish them.

use std::sync::atomic::{AtomicU64, Ordering};

use super::KeyReject;

/// The counters of one worker: only the worker writes them, and any thread may read them. Aligned
/// so that two workers share no cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct RejectCounters {
    unknown: AtomicU64,
    disabled: AtomicU64,
    expired: AtomicU64,
    unavailable: AtomicU64,
}

impl RejectCounters {
    /// Counts a rejection. Only the owning worker may do this.
    pub(crate) fn count(&self, why: KeyReject) {
        let counter = self.counter(why);
        let now = counter.load(Ordering::Relaxed);
        counter.store(now.wrapping_add(1), Ordering::Relaxed);
    }

    #[must_use]
    pub(crate) fn value(&self, why: KeyReject) -> u64 {
        self.counter(why).load(Ordering::Relaxed)
    }

    fn counter(&self, why: KeyReject) -> &AtomicU64 {
        match why {
            KeyReject::Unknown => &self.unknown,
            KeyReject::Disabled => &self.disabled,
            KeyReject::Expired => &self.expired,
            KeyReject::Unavailable => &self.unavailable,
        }
    }
}
