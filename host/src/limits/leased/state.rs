//! Counts for metrics, and whether the server is within reach.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::runtime::clock::Timestamp;

/// The counts.
#[derive(Debug, Default)]
pub(super) struct LeaseStats {
    refused: AtomicU64,
    allowed: AtomicU64,
    waited: AtomicU64,
    refills: AtomicU64,
    failures: AtomicU64,
    gateways: AtomicU64,
    contact_ns: AtomicU64,
    out_of_reach: AtomicBool,
}

/// The state at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeaseState {
    /// Requests that were refused because no lease was left and the server was out of reach.
    pub(crate) refused_unavailable: u64,
    /// Requests that were let through all the same.
    pub(crate) allowed_unavailable: u64,
    /// Requests that waited for an answer of the server.
    pub(crate) waited: u64,
    /// Calls to the server that succeeded.
    pub(crate) refills: u64,
    /// Calls to the server that failed.
    pub(crate) failures: u64,
    /// Whether the last call succeeded.
    pub(crate) reachable: bool,
    /// Time since the last successful call. Milliseconds.
    pub(crate) since_contact_ms: u64,
    /// How many gateways share the budget, including this one.
    pub(crate) gateways: u64,
    /// The number of plans and keys with leases.
    pub(crate) entries: usize,
}

impl LeaseStats {
    pub(super) fn is_reachable(&self) -> bool {
        !self.out_of_reach.load(Relaxed)
    }

    pub(super) fn gateways(&self) -> u64 {
        // None was counted before the first call.
        self.gateways.load(Relaxed).max(1)
    }

    pub(super) fn note_gateways(&self, gateways: u64) {
        self.gateways.store(gateways, Relaxed);
    }

    /// Returns whether it was out of reach before.
    pub(super) fn note_contact(&self, now: Timestamp) -> bool {
        self.refills.fetch_add(1, Relaxed);
        self.contact_ns.store(now.monotonic_ns, Relaxed);
        self.out_of_reach.swap(false, Relaxed)
    }

    /// Returns whether it was within reach before.
    pub(super) fn note_failure(&self) -> bool {
        self.failures.fetch_add(1, Relaxed);
        !self.out_of_reach.swap(true, Relaxed)
    }

    pub(super) fn waited(&self) -> u64 {
        self.waited.load(Relaxed)
    }

    pub(super) fn note_wait(&self) {
        self.waited.fetch_add(1, Relaxed);
    }

    pub(super) fn note_unavailable(&self, allowed: bool) {
        let count = if allowed {
            &self.allowed
        } else {
            &self.refused
        };
        count.fetch_add(1, Relaxed);
    }

    pub(super) fn state(&self, entries: usize, now: Timestamp) -> LeaseState {
        let contact_ns = self.contact_ns.load(Relaxed);
        LeaseState {
            refused_unavailable: self.refused.load(Relaxed),
            allowed_unavailable: self.allowed.load(Relaxed),
            waited: self.waited.load(Relaxed),
            refills: self.refills.load(Relaxed),
            failures: self.failures.load(Relaxed),
            reachable: self.is_reachable(),
            since_contact_ms: now.monotonic_ns.saturating_sub(contact_ns) / 1_000_000,
            gateways: self.gateways(),
            entries,
        }
    }
}
