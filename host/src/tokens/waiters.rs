//! Requests that wait for the end of a fetch.

use tokio::sync::oneshot;

/// Something to wait for: the end of a fetch, however it ends.
pub(crate) type FetchSignal = oneshot::Receiver<()>;

/// The most requests that wait for one fetch.
const MAX_WAITERS: usize = 10_000;

/// How many others each new request checks for having left. At least two, so that departed ones go
/// faster than new ones come.
const STEPS: usize = 8;

/// The requests that wait for one fetch. Joining takes the same time however many there are.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    waiting: Vec<oneshot::Sender<()>>,
    /// The next one to check.
    cursor: usize,
}

impl Waiters {
    /// Waits with the others. None: there are too many.
    pub(super) fn join(&mut self) -> Option<FetchSignal> {
        for _ in 0..STEPS.min(self.waiting.len()) {
            match self.waiting.get(self.cursor) {
                None => self.cursor = 0,
                Some(waiter) if waiter.is_closed() => drop(self.waiting.swap_remove(self.cursor)),
                Some(_) => self.cursor += 1,
            }
        }
        if self.waiting.len() >= MAX_WAITERS {
            return None;
        }
        let (done, waiting) = oneshot::channel();
        self.waiting.push(done);
        Some(waiting)
    }

    /// Wakes all of them: the fetch has ended.
    pub(super) fn wake_all(self) {
        for done in self.waiting {
            // The request may be gone.
            let _ = done.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_left_make_room_without_a_scan_of_all() {
        let mut waiters = Waiters::default();
        let left: Vec<_> = (0..MAX_WAITERS).map(|_| waiters.join().unwrap()).collect();
        assert!(waiters.join().is_none());
        drop(left);
        let mut here = vec![waiters.join().unwrap()];
        assert_eq!(waiters.waiting.len(), MAX_WAITERS - STEPS + 1);
        here.extend((1..MAX_WAITERS).map(|_| waiters.join().unwrap()));
        assert!(waiters.join().is_none());
        waiters.wake_all();
        for waiting in &mut here {
            assert_eq!(waiting.try_recv(), Ok(()));
        }
    }
}
