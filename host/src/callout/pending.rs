//! A call that is under way, as those see it who wait for its answer.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::CalloutOutcome;

/// Something to wait for: the end of a call, however it ends.
pub type Waiting = oneshot::Receiver<()>;

/// A call. When the last of those who hold it goes, the call is given up.
#[derive(Debug)]
pub struct Pending {
    outcome: OnceLock<CalloutOutcome>,
    waiting: Mutex<Vec<oneshot::Sender<()>>>,
    /// The task that makes the call hears when this is dropped.
    _wanted: Option<oneshot::Sender<()>>,
}

impl Pending {
    /// One that begins, and what ends when nobody wants its answer.
    pub(super) fn new() -> (Arc<Self>, oneshot::Receiver<()>) {
        let (wanted, abandoned) = oneshot::channel();
        let pending = Self {
            outcome: OnceLock::new(),
            waiting: Mutex::default(),
            _wanted: Some(wanted),
        };
        (Arc::new(pending), abandoned)
    }

    /// One that has ended.
    pub(super) fn over(outcome: CalloutOutcome) -> Arc<Self> {
        Arc::new(Self {
            outcome: OnceLock::from(outcome),
            waiting: Mutex::default(),
            _wanted: None,
        })
    }

    pub(super) fn end(&self, outcome: CalloutOutcome) {
        let mut waiting = self.waiting.lock();
        // Set once: only the call itself does.
        let _ = self.outcome.set(outcome);
        for one in waiting.drain(..) {
            // A waiter may be gone.
            let _ = one.send(());
        }
    }

    /// The outcome, once it has ended.
    #[must_use]
    pub fn outcome(&self) -> Option<&CalloutOutcome> {
        self.outcome.get()
    }

    /// Its end, to wait for. None: it has ended.
    #[must_use]
    pub fn wait(&self) -> Option<Waiting> {
        let mut waiting = self.waiting.lock();
        if self.outcome.get().is_some() {
            return None;
        }
        waiting.retain(|one| !one.is_closed());
        let (end, receiver) = oneshot::channel();
        waiting.push(end);
        Some(receiver)
    }
}
