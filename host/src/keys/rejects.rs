//! Counts rejected keys by reason. A client gets one answer for all reasons; the metrics
//! distinguish them.

use super::KeyReject;
use crate::model::word::Word as _;
use crate::observe::stats::Counter;

/// The counters of one worker: only the worker writes them, and any thread may read them. Aligned
/// so that two workers share no cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct RejectCounters([Counter; KeyReject::WORDS.len()]);

impl RejectCounters {
    /// Counts a rejection. Only the owning worker may do this.
    pub(crate) fn count(&self, why: KeyReject) {
        if let Some(counter) = self.0.get(why as usize) {
            counter.add(1);
        }
    }

    #[must_use]
    pub(crate) fn value(&self, why: KeyReject) -> u64 {
        self.0.get(why as usize).map_or(0, Counter::value)
    }
}
