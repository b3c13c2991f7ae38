//! Waiting with a deadline.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long anything may take before its test fails. It is generous because only a failing test
/// waits that long.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A value that another thread can wait for.
#[derive(Debug, Default)]
pub struct Watched<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Watched<T> {
    pub const fn new(value: T) -> Self {
        Self {
            value: Mutex::new(value),
            changed: Condvar::new(),
        }
    }

    /// Read the value.
    pub fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.value.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Change the value, and wake the waiting threads.
    pub fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let made = change(&mut self.value.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
        made
    }

    /// Wait until `look` returns something, for at most `limit`.
    pub fn find<R>(&self, limit: Duration, mut look: impl FnMut(&T) -> Option<R>) -> Option<R> {
        let end = Instant::now() + limit;
        let mut value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = look(&value) {
                return Some(found);
            }
            let left = end.checked_duration_since(Instant::now())?;
            value = self
                .changed
                .wait_timeout(value, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// Wait until this instant. Only for tests of promises about time.
pub fn moment(at: Instant) {
    while let Some(left) = at.checked_duration_since(Instant::now())
        && !left.is_zero()
    {
        std::thread::park_timeout(left);
    }
}

/// The pause between two questions, so that waiting does not use the processor.
const BETWEEN: Duration = Duration::from_millis(1);

/// Ask again until there is an answer: for values that can only be polled, for example metrics.
///
/// # Panics
///
/// If the deadline passes first.
pub fn until<R>(what: &str, mut ask: impl FnMut() -> Option<R>) -> R {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "waited {DEADLINE:?} for {what}");
        std::thread::park_timeout(BETWEEN);
    }
}
