//! A waker for connections that are driven by whoever waits for them.
//!
//! Such a connection and the one who waits sit in the same task. hyper's channels between them
//! would wake that task for what it is just doing, and once more for each request the task that
//! used the connection before. The gate lets a wake-up through only while the present user
//! sleeps: then it is the socket that has something.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// One connection's gate.
#[derive(Debug)]
pub struct Gate {
    waker: Waker,
    door: Arc<Door>,
}

#[derive(Debug)]
struct Door {
    open: AtomicBool,
    user: Mutex<Option<Waker>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn new() -> Self {
        let door = Arc::new(Door {
            open: AtomicBool::new(false),
            user: Mutex::new(None),
        });
        Self {
            waker: Waker::from(Arc::clone(&door)),
            door,
        }
    }

    /// Poll something that must not wake its own task. Where it is pending, the user will be
    /// woken by what happens from now on.
    pub fn pass<T>(
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
    pub fn pass_closed<T>(&self, poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
        self.door.open.store(false, Relaxed);
        poll(&mut Context::from_waker(&self.waker))
    }
}

impl Door {
    fn let_through(&self, waker: &Waker) {
        let mut user = self.user.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *user {
            Some(known) => known.clone_from(waker),
            None => *user = Some(waker.clone()),
        }
        self.open.store(true, Relaxed);
    }
}

impl Wake for Door {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.open.load(Relaxed) {
            let user = self.user.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(waker) = &*user {
                waker.wake_by_ref();
            }
        }
    }
}
