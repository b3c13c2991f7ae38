//! The counters of one worker: plain numbers that only the worker writes and any thread may read.
//!
//! They promise that counting costs a load and a store, never a locked instruction, and touches no
//! other worker's cache line. [`super::metrics`] names them and writes them out.

use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;

use crate::config::TlsVersion;
use crate::error::Code;
use crate::model::flood::FloodKind;
use crate::model::handshake::HandshakeFailure;
use crate::model::limit::LimitKind;

/// A number that one thread writes and others read.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds to the number. Only the owning worker may do this.
    pub(crate) fn add(&self, more: u64) {
        let now = self.0.load(Ordering::Relaxed);
        self.0.store(now.wrapping_add(more), Ordering::Relaxed);
    }

    /// Subtracts from the number, for counts of what exists now. Only the owning worker may do
    /// this.
    pub(crate) fn subtract(&self, less: u64) {
        let now = self.0.load(Ordering::Relaxed);
        self.0.store(now.saturating_sub(less), Ordering::Relaxed);
    }

    /// Adds to a number that several threads write.
    pub(crate) fn add_shared(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// The present value.
    #[must_use]
    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One counter for each code, in the order of [`Code::ALL`].
#[derive(Debug)]
pub(crate) struct CodeCounters([Counter; Code::ALL.len()]);

impl CodeCounters {
    #[must_use]
    pub(crate) fn get(&self, code: Code) -> Option<&Counter> {
        self.0.get(code as usize)
    }
}

impl Default for CodeCounters {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

/// The counters of one worker. Aligned so that two workers share no cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct WorkerStats {
    /// Client connections accepted by this worker or handed over to it.
    pub(crate) connections: Counter,
    /// Client connections open now.
    pub(crate) connections_open: Counter,
    /// Client connections that this worker accepted and handed over to another.
    pub(crate) connections_handed_over: Counter,
    /// Client connections that arrived when their listener was at its limit.
    pub(crate) connections_at_limit: Counter,
    /// Idle client connections that were closed to make room for new ones.
    pub(crate) connections_gave_way: Counter,
    /// Client connections that were closed for want of a PROXY protocol header that counts.
    pub(crate) proxy_headers_refused: Counter,
    /// Finished TLS handshakes with clients: those of TLS 1.2 and those of 1.3, new and resumed ones of each.
    pub(crate) handshakes: [[Counter; 2]; 2],
    /// Failed TLS handshakes with clients, in the order of [`HandshakeFailure::ALL`].
    pub(crate) handshake_failures: [Counter; HandshakeFailure::ALL.len()],
    /// HTTP/2 connections closed because their client flooded them, in the order of [`FloodKind::ALL`].
    pub(crate) floods: [Counter; FloodKind::ALL.len()],
    /// How often each limit was reached, in the order of [`LimitKind::ALL`].
    pub(crate) limits_hit: [Counter; LimitKind::ALL.len()],
    /// Requests whose head was read.
    pub(crate) requests: Counter,
    /// Active requests.
    pub(crate) requests_active: Counter,
    /// Responses by class: 1xx to 5xx.
    pub(crate) responses: [Counter; 5],
    /// Answers that the gateway made itself, by code.
    pub(crate) codes: CodeCounters,
    /// Responses whose body was cut before its end.
    pub(crate) responses_cut: Counter,
    /// Bytes of request bodies, as they came in.
    pub(crate) request_bytes: Counter,
    /// Bytes of response bodies, as they went out.
    pub(crate) response_bytes: Counter,
    /// Requests sent to an endpoint, including retries.
    pub(crate) attempts: Counter,
    /// Attempts without a response.
    pub(crate) attempts_failed: Counter,
    /// Attempts that were repeated on another connection.
    pub(crate) retries: Counter,
    /// Connections opened to endpoints.
    pub(crate) connects: Counter,
}

impl WorkerStats {
    /// Counts a response's head.
    pub(crate) fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(counter) = self.responses.get(class) {
            counter.add(1);
        }
    }

    /// Counts a finished handshake.
    pub(crate) fn handshake_done(&self, version: TlsVersion, is_resumed: bool) {
        let of_version = self.handshakes.get(version as usize);
        let counter = of_version.and_then(|both| both.get(usize::from(is_resumed)));
        if let Some(counter) = counter {
            counter.add(1);
        }
    }

    /// Counts a handshake that failed.
    pub(crate) fn handshake_failed(&self, reason: HandshakeFailure) {
        if let Some(counter) = self.handshake_failures.get(reason as usize) {
            counter.add(1);
        }
    }

    /// Counts a connection that its client flooded.
    pub(crate) fn flooded(&self, kind: FloodKind) {
        if let Some(counter) = self.floods.get(kind as usize) {
            counter.add(1);
        }
    }

    /// Counts a limit that was reached.
    pub(crate) fn limit_hit(&self, limit: LimitKind) {
        if let Some(counter) = self.limits_hit.get(limit as usize) {
            counter.add(1);
        }
    }

    /// Counts an answer that the gateway made itself, or that was cut.
    pub(crate) fn refused(&self, code: Code) {
        if let Some(counter) = self.codes.get(code) {
            counter.add(1);
        }
    }
}
