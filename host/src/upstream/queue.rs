//! The queue of an upstream: requests that wait for an endpoint with a free slot.
//!
//! An upstream has one queue for all workers. The request that has waited longest looks first,
//! whichever worker it is on, and later requests wait behind it. So no worker starves, even if fewer
//! requests are allowed than there are workers. If only some endpoints will do for the first request, a
//! slot that it cannot use goes to the next. Now and then all requests look, since requests from before
//! a reload know other endpoints than those behind them. While the queue is empty, it costs one number
//! that is read when a request ends; only requests that wait take the lock.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;

use crate::balance::Lease;

/// A queue. Each request that waits says how many may wait, and how long.
#[derive(Debug, Default)]
pub(crate) struct RequestQueue {
    waiting: AtomicUsize,
    state: Mutex<QueueState>,
}

/// The endpoints that a request can use, as a key: requests with the same key can use the same slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct QueueKey(u64);

impl QueueKey {
    /// Any endpoint will do.
    pub(crate) const ANY: Self = Self(0);

    /// Only some will do, named by this number.
    #[must_use]
    pub(crate) fn from_hash(number: u64) -> Self {
        // 0 means `ANY`.
        Self(number.max(1))
    }
}

/// The requests that wait, in the order of arrival.
#[derive(Debug, Default)]
struct QueueState {
    next: u64,
    waiters: BTreeMap<u64, QueuedRequest>,
    /// How many wait, by key.
    waiters_by_key: HashMap<QueueKey, usize>,
}

#[derive(Debug)]
struct QueuedRequest {
    key: QueueKey,
    /// It was woken, and has not looked since.
    woken: bool,
    waker: Option<Waker>,
}

/// The reason why the queue gave a request no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueueError {
    /// As many requests wait as may.
    #[error("its queue is full")]
    QueueFull,
    /// The request waited as long as it may.
    #[error("the request waited in its queue for the longest time allowed")]
    TimedOut,
}

/// An active request of an endpoint. When dropped, it wakes a request that waits.
#[derive(Debug)]
pub(crate) struct ActiveRequest {
    lease: Option<Lease>,
    queue: Option<Arc<RequestQueue>>,
}

impl ActiveRequest {
    /// A lease; `queue` where others may wait for it.
    #[must_use]
    pub(crate) fn new(lease: Lease, queue: Option<&Arc<RequestQueue>>) -> Self {
        Self {
            lease: Some(lease),
            queue: queue.map(Arc::clone),
        }
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        // Release the lease before a waiting request is woken.
        drop(self.lease.take());
        if let Some(queue) = &self.queue {
            queue.wake_next();
        }
    }
}

impl RequestQueue {
    /// Whether another request waits for an endpoint that this one can use: this one waits behind it.
    #[must_use]
    pub(crate) fn has_waiter(&self, want: QueueKey) -> bool {
        !self.is_empty() && self.state.lock().has_waiter(want)
    }

    /// How many wait.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether no request waits.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A slot may be free: a request ended, or an endpoint is available again. The first request looks,
    /// and then, if it found a slot or could not use it, the next.
    pub(crate) fn wake_next(&self) {
        // Either this sees the request that waits, or that request sees the free slot.
        fence(Ordering::SeqCst);
        if !self.is_empty() {
            self.wake_behind(Bound::Unbounded);
        }
    }

    /// Many slots may be free. All requests look.
    pub(crate) fn wake_all(&self) {
        if self.is_empty() {
            return;
        }
        let wakers = self.state.lock().wake_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    fn wake_behind(&self, behind: Bound<u64>) {
        let waker = self.state.lock().wake_first(behind);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Wait until `pick` finds a slot. It gives none while there is none.
    ///
    /// # Errors
    ///
    /// The queue is full, or the wait took too long.
    pub(crate) async fn wait<T>(
        &self,
        most: usize,
        longest: Duration,
        want: QueueKey,
        mut pick: impl FnMut() -> Option<T>,
    ) -> Result<T, QueueError> {
        let (position, looks) = QueuePosition::take(self, most, want)?;
        let waiting = async {
            // A slot may be free since the last look, but a request behind others must wait.
            if looks && let Some(found) = pick() {
                return found;
            }
            loop {
                position.wait_for_wake().await;
                match pick() {
                    Some(found) => return found,
                    None if want == QueueKey::ANY => {}
                    None => position.wake_behind(),
                }
            }
        };
        let found = tokio::time::timeout(longest, waiting).await;
        // More than one slot may be free, and only this request was woken.
        position.wake_behind();
        found.map_err(|_| QueueError::TimedOut)
    }
}

impl QueueState {
    fn has_waiter(&self, want: QueueKey) -> bool {
        self.waiters_by_key.contains_key(&QueueKey::ANY) || self.waiters_by_key.contains_key(&want)
    }

    fn enter(&mut self, want: QueueKey) -> u64 {
        let number = self.next;
        self.next += 1;
        *self.waiters_by_key.entry(want).or_default() += 1;
        let waiter = QueuedRequest {
            key: want,
            woken: false,
            waker: None,
        };
        self.waiters.insert(number, waiter);
        number
    }

    /// Remove a request. Gives whether it was woken and has not looked since.
    fn leave(&mut self, number: u64) -> bool {
        let Some(waiter) = self.waiters.remove(&number) else {
            return false;
        };
        if let Some(count) = self.waiters_by_key.get_mut(&waiter.key) {
            *count -= 1;
            if *count == 0 {
                self.waiters_by_key.remove(&waiter.key);
            }
        }
        waiter.woken
    }

    /// Mark all as woken. Gives their wakers, in order.
    fn wake_all(&mut self) -> Vec<Waker> {
        let waiters = self.waiters.values_mut();
        let called = waiters.filter_map(|waiter| {
            waiter.woken = true;
            waiter.waker.take()
        });
        called.collect()
    }

    /// Mark the first one behind as woken. Gives its waker, to be woken without the lock.
    fn wake_first(&mut self, behind: Bound<u64>) -> Option<Waker> {
        let mut behind = self.waiters.range_mut((behind, Bound::Unbounded));
        let (_, waiter) = behind.next()?;
        waiter.woken = true;
        waiter.waker.take()
    }
}

/// A position in the queue, until dropped.
struct QueuePosition<'a> {
    queue: &'a RequestQueue,
    number: u64,
}

impl<'a> QueuePosition<'a> {
    /// Enter the queue. Gives the position, and whether no request before it can use the same endpoints.
    fn take(
        queue: &'a RequestQueue,
        most: usize,
        want: QueueKey,
    ) -> Result<(Self, bool), QueueError> {
        let mut state = queue.state.lock();
        if state.waiters.len() >= most {
            return Err(QueueError::QueueFull);
        }
        let looks = !state.has_waiter(want);
        let number = state.enter(want);
        queue.waiting.store(state.waiters.len(), Ordering::SeqCst);
        drop(state);
        // The other half of the fence in `wake_next`.
        fence(Ordering::SeqCst);
        Ok((Self { queue, number }, looks))
    }

    /// Wait until woken.
    async fn wait_for_wake(&self) {
        std::future::poll_fn(|cx| self.poll_wake(cx)).await;
    }

    fn poll_wake(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.queue.state.lock();
        match state.waiters.get_mut(&self.number) {
            Some(waiter) if !waiter.woken => {
                waiter.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Some(waiter) => {
                // Before the look, so that a slot freed during it wakes this request again.
                waiter.woken = false;
                Poll::Ready(())
            }
            None => Poll::Ready(()),
        }
    }

    /// Wake the next request behind: a slot may be left.
    fn wake_behind(&self) {
        self.queue.wake_behind(Bound::Excluded(self.number));
    }
}

impl Drop for QueuePosition<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        let was_woken = state.leave(self.number);
        self.queue
            .waiting
            .store(state.waiters.len(), Ordering::SeqCst);
        drop(state);
        // It left after it was woken and before it looked.
        if was_woken {
            self.wake_behind();
        }
    }
}

#[cfg(test)]
mod tests;
