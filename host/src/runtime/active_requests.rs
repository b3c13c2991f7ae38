//! How many requests all workers carry at once, bounded without a lock on a request's way.
//!
//! The process has one number of permits. A worker takes several at once and keeps a few that it does not need, so
//! most requests touch the worker's own memory only. There are never more active requests than the bound; with
//! many workers, an eighth of the bound may lie unused with workers that need less. With a small bound, each permit
//! is taken alone, and the bound is exact.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The most permits that a worker takes at once.
const MAX_BATCH: usize = 64;
/// The part of the bound that all workers together take at once, as a divisor.
const BATCH_SHARE: usize = 16;

/// How many requests may be active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ActiveRequestBound {
    pub(crate) most: usize,
    /// How many permits a worker keeps.
    batch: usize,
}

impl ActiveRequestBound {
    #[must_use]
    pub(crate) fn new(most: usize, workers: usize) -> Self {
        let batch = most / BATCH_SHARE / workers.max(1);
        Self {
            most,
            batch: batch.min(MAX_BATCH),
        }
    }
}

/// The permits that workers have taken.
#[derive(Debug, Default)]
pub(crate) struct ActiveRequests(AtomicUsize);

impl ActiveRequests {
    fn take(&self, count: usize, most: usize) -> bool {
        let taken = self.0.fetch_update(Relaxed, Relaxed, |taken| {
            taken.checked_add(count).filter(|sum| *sum <= most)
        });
        taken.is_ok()
    }
}

/// The permit of one active request.
#[derive(Debug)]
pub(crate) struct ActivePermit(());

/// One worker's permits that no request has.
#[derive(Debug, Default)]
pub(crate) struct SparePermits(Cell<usize>);

impl SparePermits {
    /// Take a permit for a request. None: there are as many active requests as there may be.
    pub(crate) fn take(
        &self,
        all: &ActiveRequests,
        bound: ActiveRequestBound,
    ) -> Option<ActivePermit> {
        if let Some(rest) = self.0.get().checked_sub(1) {
            self.0.set(rest);
        } else if all.take(bound.batch + 1, bound.most) {
            self.0.set(bound.batch);
        } else if !all.take(1, bound.most) {
            return None;
        }
        Some(ActivePermit(()))
    }

    /// The request of this permit has ended.
    pub(crate) fn give_back(
        &self,
        ActivePermit(()): ActivePermit,
        all: &ActiveRequests,
        bound: ActiveRequestBound,
    ) {
        let spare = self.0.get();
        if spare < 2 * bound.batch {
            self.0.set(spare + 1);
        } else {
            all.0.fetch_sub(bound.batch + 1, Relaxed);
            self.0.set(spare - bound.batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_bound_is_exact_for_any_number_of_workers() {
        let (all, bound) = (ActiveRequests::default(), ActiveRequestBound::new(3, 2));
        let (one, other) = (SparePermits::default(), SparePermits::default());
        let permits = [&one, &one, &other].map(|worker| worker.take(&all, bound).unwrap());
        assert!(one.take(&all, bound).is_none() && other.take(&all, bound).is_none());
        let [first, ..] = permits;
        one.give_back(first, &all, bound);
        assert!(other.take(&all, bound).is_some());
        assert!(one.take(&all, bound).is_none());
    }

    #[test]
    fn the_bound_is_never_exceeded_and_mostly_reached() {
        let mut random = fastrand::Rng::with_seed(7);
        let bound = ActiveRequestBound::new(4000, 4);
        let all = ActiveRequests::default();
        let workers: [SparePermits; 4] = Default::default();
        let mut active: [Vec<ActivePermit>; 4] = Default::default();
        let (mut most, mut least_refused) = (0, usize::MAX);
        for step in 0..200_000 {
            let worker = random.usize(..4);
            // Phases of growth and of decline.
            if random.usize(..10) < if step / 20_000 % 2 == 0 { 7 } else { 3 } {
                let total: usize = active.iter().map(Vec::len).sum();
                if let Some(permit) = workers[worker].take(&all, bound) {
                    active[worker].push(permit);
                    most = most.max(total + 1);
                } else {
                    least_refused = least_refused.min(total);
                }
            } else if let Some(permit) = active[worker].pop() {
                workers[worker].give_back(permit, &all, bound);
            }
        }
        assert!(most <= 4000, "{most}");
        assert!((3500..=4000).contains(&least_refused), "{least_refused}");
        for (worker, permits) in workers.iter().zip(active) {
            for permit in permits {
                worker.give_back(permit, &all, bound);
            }
        }
        let spare: usize = workers.iter().map(|worker| worker.0.get()).sum();
        assert_eq!(all.0.load(Relaxed), spare);
    }
}
