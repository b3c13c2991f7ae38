//! A call in flight, for the requests that wait for its answer.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{CalloutError, CalloutOutcome};

/// Ends when a call ends, whatever its outcome.
pub(crate) type CallSignal = oneshot::Receiver<()>;

/// The most requests that wait for one call.
const MAX_WAITING: usize = 10_000;

/// With fewer waiting requests, departed ones are not removed.
const SWEEP_MINIMUM: usize = 64;

/// A call. When the last reference goes, the call is cancelled.
#[derive(Debug)]
pub(crate) struct PendingCall {
    outcome: OnceLock<CalloutOutcome>,
    waiting: Mutex<CallWaiters>,
    /// Dropping this cancels the task of the call.
    _cancel: Option<oneshot::Sender<()>>,
}

/// The requests that wait for a call.
#[derive(Debug, Default)]
struct CallWaiters {
    list: Vec<oneshot::Sender<()>>,
    /// At this number of requests, departed ones are removed.
    sweep_threshold: usize,
}

impl CallWaiters {
    /// Adds a request. None: the limit is reached.
    fn join(&mut self) -> Option<CallSignal> {
        if self.list.len() >= self.sweep_threshold.clamp(SWEEP_MINIMUM, MAX_WAITING) {
            self.list.retain(|one| !one.is_closed());
            // Doubling the threshold keeps the cost per request constant, however many there are.
            self.sweep_threshold = self.list.len() * 2;
        }
        if self.list.len() >= MAX_WAITING {
            return None;
        }
        let (end, waiting) = oneshot::channel();
        self.list.push(end);
        Some(waiting)
    }
}

impl PendingCall {
    /// A call that begins, and the signal that nobody wants its answer.
    pub(super) fn new() -> (Arc<Self>, oneshot::Receiver<()>) {
        let (wanted, abandoned) = oneshot::channel();
        let pending = Self {
            outcome: OnceLock::new(),
            waiting: Mutex::default(),
            _cancel: Some(wanted),
        };
        (Arc::new(pending), abandoned)
    }

    /// A call that has ended.
    pub(super) fn finished(outcome: CalloutOutcome) -> Arc<Self> {
        Arc::new(Self {
            outcome: OnceLock::from(outcome),
            waiting: Mutex::default(),
            _cancel: None,
        })
    }

    pub(super) fn finish(&self, outcome: CalloutOutcome) {
        let mut waiting = self.waiting.lock();
        // Set only once, by the call itself.
        let _ = self.outcome.set(outcome);
        for one in waiting.list.drain(..) {
            // The request may be gone.
            let _ = one.send(());
        }
    }

    /// The outcome, if the call has ended.
    #[must_use]
    pub(crate) fn outcome(&self) -> Option<&CalloutOutcome> {
        self.outcome.get()
    }

    /// A signal for the end of the call. None: it has ended.
    ///
    /// # Errors
    ///
    /// The limit on waiting requests is reached.
    pub(crate) fn wait(&self) -> Result<Option<CallSignal>, CalloutError> {
        let mut waiting = self.waiting.lock();
        if self.outcome.get().is_some() {
            return Ok(None);
        }
        waiting.join().map(Some).ok_or(CalloutError::Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_requests_have_a_limit_and_departed_ones_make_room() {
        let (pending, _abandoned) = PendingCall::new();
        let waits: Vec<_> = (0..MAX_WAITING).map(|_| pending.wait()).collect();
        assert!(waits.iter().all(Result::is_ok));
        assert_eq!(pending.wait().unwrap_err(), CalloutError::Busy);
        drop(waits);
        assert!(pending.wait().unwrap().is_some());
        assert_eq!(pending.waiting.lock().list.len(), 1);
        pending.finish(Err(CalloutError::Timeout));
        assert!(pending.wait().unwrap().is_none());
    }

    #[test]
    fn departed_requests_are_few() {
        let (pending, _abandoned) = PendingCall::new();
        let _waits: Vec<_> = (0..100).map(|_| pending.wait()).collect();
        for _ in 0..10_000 {
            drop(pending.wait());
        }
        assert!(pending.waiting.lock().list.len() <= 200);
    }
}
