//! A waker for connections that are driven by whoever waits for them.
//!
//! Such a connection and the one who waits sit in the same task. hyper's channels between them
//! would wake that task for what it is just doing, and once more for each request the task that
//! used the connection before. The gate lets a wake-up through only while the present user
//! sleeps: then it is the socket that has something. The connection's I/O learns here whether there
//! was a wake-up at all ([`WakeSignal`]): where there was none, there is nothing to be read.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// One connection's gate.
#[derive(Debug)]
pub(crate) struct WakeGate {
    waker: Waker,
    door: Arc<WakeGateState>,
}

#[derive(Debug)]
struct WakeGateState {
    open: AtomicBool,
    stir: AtomicU8,
    user: Mutex<Option<Waker>>,
}

impl Default for WakeGate {
    fn default() -> Self {
        Self::new()
    }
}

impl WakeGate {
    /// A closed gate.
    #[must_use]
    pub(crate) fn new() -> Self {
        let door = Arc::new(WakeGateState {
            open: AtomicBool::new(false),
            stir: AtomicU8::new(STIRRED),
            user: Mutex::new(None),
        });
        Self {
            waker: Waker::from(Arc::clone(&door)),
            door,
        }
    }

    /// For the connection's I/O.
    #[must_use]
    pub(crate) fn stir(&self) -> WakeSignal {
        WakeSignal(Arc::clone(&self.door))
    }

    /// The connection is polled by another waker than this from now on.
    pub(crate) fn give_up(self) {
        self.door.stir.store(UNKNOWN, Relaxed);
    }

    /// Poll something that must not wake its own task. Where it is pending, the user will be
    /// woken by what happens from now on.
    pub(crate) fn pass<T>(
        &self,
        cx: &Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.door.open.store(false, Relaxed);
        let outcome = poll(&mut Context::from_waker(&self.waker));
        if outcome.is_pending() {
            self.door.let_through(cx.waker());
        }
        outcome
    }

    /// Poll something and stay closed.
    pub(crate) fn pass_closed<T>(&self, poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
        self.door.open.store(false, Relaxed);
        poll(&mut Context::from_waker(&self.waker))
    }
}

/// No wake-up came since the last look, or one did, or they go elsewhere.
const STILL: u8 = 0;
const STIRRED: u8 = 1;
const UNKNOWN: u8 = 2;

/// Whether a connection was woken.
#[derive(Debug)]
pub(crate) struct WakeSignal(Arc<WakeGateState>);

impl WakeSignal {
    /// Whether nothing has woken the connection since [`Self::settle`].
    #[must_use]
    pub(crate) fn is_still(&self) -> bool {
        self.0.stir.load(Relaxed) == STILL
    }

    /// The I/O is asked now: what wakes the connection from here on is news.
    pub(crate) fn settle(&self) {
        if self.0.stir.load(Relaxed) == STIRRED {
            self.0.stir.store(STILL, Relaxed);
        }
    }
}

impl WakeGateState {
    fn let_through(&self, waker: &Waker) {
        let mut user = self.user.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *user {
            Some(known) => known.clone_from(waker),
            None => *user = Some(waker.clone()),
        }
        self.open.store(true, Relaxed);
    }
}

impl Wake for WakeGateState {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.stir.load(Relaxed) == STILL {
            self.stir.store(STIRRED, Relaxed);
        }
        if self.open.load(Relaxed) {
            let user = self.user.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(waker) = &*user {
                waker.wake_by_ref();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_still_from_a_look_until_it_is_woken() {
        let gate = WakeGate::new();
        let stir = gate.stir();
        assert!(!stir.is_still(), "nobody has looked");
        let mut inside = None;
        gate.pass_closed(|cx| {
            stir.settle();
            inside = Some(cx.waker().clone());
        });
        assert!(stir.is_still());
        inside.unwrap().wake();
        assert!(!stir.is_still(), "also where nobody else is woken");
        stir.settle();
        gate.give_up();
        stir.settle();
        assert!(!stir.is_still(), "it is woken by another way");
    }
}
