//! Requests that wait for an endpoint with room.
//!
//! One queue an upstream, over all workers: whoever waits longest is woken first, whichever worker
//! it is on, and whoever comes meanwhile waits behind. So no worker starves, also where there is
//! room for fewer requests than there are workers. Nothing here is touched while all find room, but
//! for one number that is read when a request ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::balance::Lease;

/// A queue. Who waits says how many may, and how long.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: AtomicUsize,
    /// First in, first out.
    room: Notify,
    refused: AtomicU64,
}

/// Why a request got no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Overload {
    /// As many as may wait do.
    #[error("as many requests as may wait do")]
    QueueFull,
    /// It waited as long as it may.
    #[error("the request waited as long as it may")]
    TooLong,
}

/// A place among the active requests of an endpoint. Whoever waits is told when it is free.
#[derive(Debug)]
pub struct Turn {
    lease: Option<Lease>,
    queue: Option<Arc<Queue>>,
}

impl Turn {
    /// A lease; `queue` where others may wait for it.
    #[must_use]
    pub fn new(lease: Lease, queue: Option<&Arc<Queue>>) -> Self {
        Self {
            lease: Some(lease),
            queue: queue.map(Arc::clone),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // The place is free before anybody is told so.
        drop(self.lease.take());
        if let Some(queue) = &self.queue {
            queue.freed();
        }
    }
}

impl Queue {
    /// Whether somebody waits: whoever comes now waits, too.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many got no place.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// There may be room: somebody ended, or an endpoint takes requests again.
    pub fn freed(&self) {
        if self.is_in_use() {
            self.room.notify_one();
        }
    }

    /// There may be room for many.
    pub fn changed(&self) {
        for _ in 0..self.len() {
            self.room.notify_one();
        }
    }

    /// Wait until `pick` finds room. It gives none while there is none.
    ///
    /// # Errors
    ///
    /// As many as may wait do, or it took too long.
    pub async fn wait<T>(
        &self,
        most: usize,
        longest: Duration,
        mut pick: impl FnMut() -> Option<T>,
    ) -> Result<T, Overload> {
        let (place, is_first) = Place::take(self, most)?;
        let waiting = async {
            // There may be room since it was looked; but not for whoever comes behind others.
            let mut looks = is_first;
            loop {
                // Registered before the look, so that no end is missed.
                let room = self.room.notified();
                if looks && let Some(found) = pick() {
                    return found;
                }
                room.await;
                looks = true;
            }
        };
        let found = tokio::time::timeout(longest, waiting).await;
        drop(place);
        // One end may have made room for more than this one, and it was told of it alone.
        self.freed();
        found.map_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            Overload::TooLong
        })
    }
}

/// A place in the queue.
struct Place<'a>(&'a Queue);

impl<'a> Place<'a> {
    /// A place, and whether it is the first.
    fn take(queue: &'a Queue, most: usize) -> Result<(Self, bool), Overload> {
        let more = |waiting: usize| (waiting < most).then(|| waiting + 1);
        let waiting = &queue.waiting;
        match waiting.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more) {
            Ok(before) => Ok((Self(queue), before == 0)),
            Err(_) => {
                queue.refused.fetch_add(1, Ordering::Relaxed);
                Err(Overload::QueueFull)
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}
