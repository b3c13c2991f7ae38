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

/// A queue. Who waits says how many may, and how long.
#[derive(Debug, Default)]
pub(crate) struct RequestQueue {
    waiting: AtomicUsize,
    state: Mutex<QueueState>,
}

/// What a request wants of an endpoint: those that want the same can all use the same room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct QueueKey(u64);

impl QueueKey {
    /// Any endpoint will do.
    pub(crate) const ANY: Self = Self(0);

    /// Only some will do: those that this number stands for.
    #[must_use]
    pub(crate) fn from_hash(number: u64) -> Self {
        // 0 is `ANY`.
        Self(number.max(1))
    }
}

/// Who waits, in the order of coming.
#[derive(Debug, Default)]
struct QueueState {
    next: u64,
    waiters: BTreeMap<u64, QueuedRequest>,
    /// How many want what.
    waiters_by_key: HashMap<QueueKey, usize>,
}

#[derive(Debug)]
struct QueuedRequest {
    key: QueueKey,
    /// There may be room, and it has not looked since.
    called: bool,
    waker: Option<Waker>,
}

/// Why a request got no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueueError {
    /// As many as may wait do.
    #[error("its queue is full")]
    QueueFull,
    /// It waited as long as it may.
    #[error("the request waited in its queue for the longest time allowed")]
    TimedOut,
}

/// A place among the active requests of an endpoint. Whoever waits is told when it is free.
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
        // The place is free before anybody is told so.
        drop(self.lease.take());
        if let Some(queue) = &self.queue {
            queue.wake_next();
        }
    }
}

impl RequestQueue {
    /// Whether somebody waits for what this request wants too: it waits behind.
    #[must_use]
    pub(crate) fn has_waiter(&self, want: QueueKey) -> bool {
        !self.is_empty() && self.state.lock().has_waiter(want)
    }

    /// How many wait.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether nobody waits.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// There may be room: somebody ended, or an endpoint takes requests again. The first looks, and
    /// after it, if it found some or could not use it, the next.
    pub(crate) fn wake_next(&self) {
        // Either this sees who waits, or that one's look sees the room.
        fence(Ordering::SeqCst);
        if !self.is_empty() {
            self.wake_behind(Bound::Unbounded);
        }
    }

    /// There may be room for many, and for those behind the first. All look.
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

    /// Wait until `pick` finds room. It gives none while there is none.
    ///
    /// # Errors
    ///
    /// As many as may wait do, or it took too long.
    pub(crate) async fn wait<T>(
        &self,
        most: usize,
        longest: Duration,
        want: QueueKey,
        mut pick: impl FnMut() -> Option<T>,
    ) -> Result<T, QueueError> {
        let (place, looks) = QueuePosition::take(self, most, want)?;
        let waiting = async {
            // There may be room since it was looked; but not for whoever comes behind others.
            if looks && let Some(found) = pick() {
                return found;
            }
            loop {
                place.wait_for_wake().await;
                match pick() {
                    Some(found) => return found,
                    None if want == QueueKey::ANY => {}
                    None => place.wake_behind(),
                }
            }
        };
        let found = tokio::time::timeout(longest, waiting).await;
        // One end may have made room for more than this one, and it was told of it alone.
        place.wake_behind();
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
            called: false,
            waker: None,
        };
        self.waiters.insert(number, waiter);
        number
    }

    /// Whether it was called, and has not looked since.
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
        waiter.called
    }

    /// All look. Gives their wakers, in their order.
    fn wake_all(&mut self) -> Vec<Waker> {
        let waiters = self.waiters.values_mut();
        let called = waiters.filter_map(|waiter| {
            waiter.called = true;
            waiter.waker.take()
        });
        called.collect()
    }

    /// The first one behind looks. Gives its waker, to be woken without the lock.
    fn wake_first(&mut self, behind: Bound<u64>) -> Option<Waker> {
        let mut behind = self.waiters.range_mut((behind, Bound::Unbounded));
        let (_, waiter) = behind.next()?;
        waiter.called = true;
        waiter.waker.take()
    }
}

/// A place in the queue, until this drops.
struct QueuePosition<'a> {
    queue: &'a RequestQueue,
    number: u64,
}

impl<'a> QueuePosition<'a> {
    /// A place, and whether nobody before it wants the same.
    fn take(
        queue: &'a RequestQueue,
        most: usize,
        want: QueueKey,
    ) -> Result<(Self, bool), QueueError> {
        let mut line = queue.state.lock();
        if line.waiters.len() >= most {
            return Err(QueueError::QueueFull);
        }
        let looks = !line.has_waiter(want);
        let number = line.enter(want);
        queue.waiting.store(line.waiters.len(), Ordering::SeqCst);
        drop(line);
        // The other half of the fence in `wake_next`.
        fence(Ordering::SeqCst);
        Ok((Self { queue, number }, looks))
    }

    /// Until there may be room.
    async fn wait_for_wake(&self) {
        std::future::poll_fn(|cx| self.poll_wake(cx)).await;
    }

    fn poll_wake(&self, cx: &Context<'_>) -> Poll<()> {
        let mut line = self.queue.state.lock();
        match line.waiters.get_mut(&self.number) {
            Some(waiter) if !waiter.called => {
                waiter.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Some(waiter) => {
                // Before the look, so that room which comes during it is a call of its own.
                waiter.called = false;
                Poll::Ready(())
            }
            None => Poll::Ready(()),
        }
    }

    /// What may be there is for whoever is behind.
    fn wake_behind(&self) {
        self.queue.wake_behind(Bound::Excluded(self.number));
    }
}

impl Drop for QueuePosition<'_> {
    fn drop(&mut self) {
        let mut line = self.queue.state.lock();
        let was_called = line.leave(self.number);
        self.queue
            .waiting
            .store(line.waiters.len(), Ordering::SeqCst);
        drop(line);
        // It went away on its way to look.
        if was_called {
            self.wake_behind();
        }
    }
}

#[cfg(test)]
mod tests;
