//! A call that is under way, as those see it who wait for its answer.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{CalloutError, CalloutOutcome};

/// Something to wait for: the end of a call, however it ends.
pub(crate) type CallSignal = oneshot::Receiver<()>;

/// The most who wait for one call.
const MAX_WAITING: usize = 10_000;

/// Below so many who wait, those who have left are not looked for.
const SWEEP_MINIMUM: usize = 64;

/// A call. When the last of those who hold it goes, the call is given up.
#[derive(Debug)]
pub(crate) struct PendingCall {
    outcome: OnceLock<CalloutOutcome>,
    waiting: Mutex<CallWaiters>,
    /// The task that makes the call hears when this is dropped.
    _cancel: Option<oneshot::Sender<()>>,
}

/// Those who wait for a call.
#[derive(Debug, Default)]
struct CallWaiters {
    list: Vec<oneshot::Sender<()>>,
    /// With so many it is time to look for those who have left.
    sweep_threshold: usize,
}

impl CallWaiters {
    /// One more. None: there are as many as may be.
    fn join(&mut self) -> Option<CallSignal> {
        if self.list.len() >= self.sweep_threshold.clamp(SWEEP_MINIMUM, MAX_WAITING) {
            self.list.retain(|one| !one.is_closed());
            // So that each who joins pays for a few of the others, however many there are.
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
    /// One that begins, and what ends when nobody wants its answer.
    pub(super) fn new() -> (Arc<Self>, oneshot::Receiver<()>) {
        let (wanted, abandoned) = oneshot::channel();
        let pending = Self {
            outcome: OnceLock::new(),
            waiting: Mutex::default(),
            _cancel: Some(wanted),
        };
        (Arc::new(pending), abandoned)
    }

    /// One that has ended.
    pub(super) fn finished(outcome: CalloutOutcome) -> Arc<Self> {
        Arc::new(Self {
            outcome: OnceLock::from(outcome),
            waiting: Mutex::default(),
            _cancel: None,
        })
    }

    pub(super) fn finish(&self, outcome: CalloutOutcome) {
        let mut waiting = self.waiting.lock();
        // Set once: only the call itself does.
        let _ = self.outcome.set(outcome);
        for one in waiting.list.drain(..) {
            // A waiter may be gone.
            let _ = one.send(());
        }
    }

    /// The outcome, once it has ended.
    #[must_use]
    pub(crate) fn outcome(&self) -> Option<&CalloutOutcome> {
        self.outcome.get()
    }

    /// Its end, to wait for. None: it has ended.
    ///
    /// # Errors
    ///
    /// As many wait for it as may.
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
    fn as_many_wait_for_a_call_as_may_and_those_who_have_left_make_room() {
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
    fn those_who_have_left_are_few() {
        let (pending, _abandoned) = PendingCall::new();
        let _waits: Vec<_> = (0..100).map(|_| pending.wait()).collect();
        for _ in 0..10_000 {
            drop(pending.wait());
        }
        assert!(pending.waiting.lock().list.len() <= 200);
    }
}
