//! A waker for connections that the task which waits for the response polls itself.
//!
//! Connection and waiter are in the same task. hyper's channels between them would wake that task for
//! the work that it is doing, and once more for each request the task that used the connection before.
//! The gate passes a wake-up on only while the present user sleeps: then the socket caused it. The
//! connection's I/O learns here whether there was a wake-up at all ([`WakeSignal`]); without one there
//! is nothing to read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;

use crate::runtime::tasks::keep_waker;

/// One connection's gate.
#[derive(Debug)]
pub(crate) struct WakeGate {
    waker: Waker,
    state: Arc<WakeGateState>,
}

#[derive(Debug)]
struct WakeGateState {
    open: AtomicBool,
    signal: AtomicU8,
    user: Mutex<Option<Waker>>,
}

impl Default for WakeGate {
    /// A closed gate.
    fn default() -> Self {
        let state = Arc::new(WakeGateState {
            open: AtomicBool::new(false),
            signal: AtomicU8::new(WOKEN),
            user: Mutex::new(None),
        });
        Self {
            waker: Waker::from(Arc::clone(&state)),
            state,
        }
    }
}

impl WakeGate {
    /// For the connection's I/O.
    #[must_use]
    pub(crate) fn signal(&self) -> WakeSignal {
        WakeSignal(Arc::clone(&self.state))
    }

    /// The connection is polled by another waker than this from now on.
    pub(crate) fn release(self) {
        self.state.signal.store(UNKNOWN, Relaxed);
    }

    /// Poll something that must not wake its own task. Where it is pending, the user will be
    /// woken by what happens from now on.
    pub(crate) fn poll_through<T>(
        &self,
        cx: &Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.state.open.store(false, Relaxed);
        let outcome = poll(&mut Context::from_waker(&self.waker));
        if outcome.is_pending() {
            self.state.set_user(cx.waker());
        }
        outcome
    }

    /// Poll something and stay closed.
    pub(crate) fn poll_closed<T>(&self, poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
        self.state.open.store(false, Relaxed);
        poll(&mut Context::from_waker(&self.waker))
    }
}

/// No wake-up came since the last look, or one did, or they go elsewhere.
const QUIET: u8 = 0;
const WOKEN: u8 = 1;
const UNKNOWN: u8 = 2;

/// Whether a connection was woken.
#[derive(Debug)]
pub(crate) struct WakeSignal(Arc<WakeGateState>);

impl WakeSignal {
    /// Whether nothing has woken the connection since [`Self::reset`].
    #[must_use]
    pub(crate) fn is_quiet(&self) -> bool {
        self.0.signal.load(Relaxed) == QUIET
    }

    /// The I/O is asked now: what wakes the connection from here on is news.
    pub(crate) fn reset(&self) {
        if self.0.signal.load(Relaxed) == WOKEN {
            self.0.signal.store(QUIET, Relaxed);
        }
    }
}

impl WakeGateState {
    fn set_user(&self, waker: &Waker) {
        keep_waker(&mut self.user.lock(), waker);
        self.open.store(true, Relaxed);
    }
}

impl Wake for WakeGateState {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.signal.load(Relaxed) == QUIET {
            self.signal.store(WOKEN, Relaxed);
        }
        if self.open.load(Relaxed)
            && let Some(waker) = &*self.user.lock()
        {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_still_from_a_look_until_it_is_woken() {
        let gate = WakeGate::default();
        let signal = gate.signal();
        assert!(!signal.is_quiet(), "nobody has looked");
        let mut inside = None;
        gate.poll_closed(|cx| {
            signal.reset();
            inside = Some(cx.waker().clone());
        });
        assert!(signal.is_quiet());
        inside.unwrap().wake();
        assert!(!signal.is_quiet(), "also where nobody else is woken");
        signal.reset();
        gate.release();
        signal.reset();
        assert!(!signal.is_quiet(), "it is woken by another way");
    }
}
