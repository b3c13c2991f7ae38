//! How many retries an upstream may have: so many of a hundred requests, and some a second.
//!
//! Without it, endpoints that are slow because they have too much to do would get more to do.
//! Pure; one a worker and upstream, so that nothing is shared. Both what was asked and what was
//! retried are counted over a sliding window, so that nothing is saved up for a storm.

use std::cell::Cell;

/// The window. Milliseconds.
const WINDOW: u64 = 10_000;

/// A worker's budget for one upstream.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Retries for each hundred requests.
    percent: u32,
    /// Retries a window beside those.
    allowance: f64,
    now: Cell<WindowCounts>,
    before: Cell<WindowCounts>,
}

/// Requests and retries of one window.
#[derive(Debug, Clone, Copy, Default)]
struct WindowCounts {
    number: u64,
    requests: u32,
    retries: u32,
}

impl Budget {
    /// `rate` is for all workers, a second.
    #[must_use]
    pub(crate) fn new(percent: u32, rate: u32, workers: u32) -> Self {
        let windows = f64::from(u32::try_from(WINDOW / 1000).unwrap_or(1));
        Self {
            percent,
            // Two workers with one retry a second are not to have none.
            allowance: (f64::from(rate) * windows / f64::from(workers.max(1))).ceil(),
            now: Cell::default(),
            before: Cell::default(),
        }
    }

    /// A request came. Milliseconds of any clock.
    pub(crate) fn request(&self, now_ms: u64) {
        let mut counts = self.current_counts(now_ms);
        counts.requests = counts.requests.saturating_add(1);
        self.now.set(counts);
    }

    /// Whether one more retry is in the budget.
    #[must_use]
    pub(crate) fn has_one(&self, now_ms: u64) -> bool {
        let counts = self.current_counts(now_ms);
        let before = self.before.get();
        let left = WINDOW - now_ms % WINDOW;
        let weight = f64::from(u32::try_from(left).unwrap_or(0)) / 10_000.0;
        let over = |now: u32, before: u32| f64::from(now) + f64::from(before) * weight;
        let share = f64::from(self.percent) / 100.0;
        let budget = over(counts.requests, before.requests) * share + self.allowance;
        over(counts.retries, before.retries) + 1.0 <= budget
    }

    /// The same; it is taken then.
    pub(crate) fn take(&self, now_ms: u64) -> bool {
        let may = self.has_one(now_ms);
        if may {
            let mut counts = self.current_counts(now_ms);
            counts.retries = counts.retries.saturating_add(1);
            self.now.set(counts);
        }
        may
    }

    fn current_counts(&self, now_ms: u64) -> WindowCounts {
        let number = now_ms / WINDOW;
        let counts = self.now.get();
        if counts.number == number {
            return counts;
        }
        let follows = counts.number + 1 == number;
        self.before.set(if follows {
            counts
        } else {
            WindowCounts::default()
        });
        WindowCounts {
            number,
            ..WindowCounts::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_share_of_the_requests_and_some_a_second() {
        let budget = Budget::new(20, 10, 2);
        let retries = (0..1000).filter(|_| budget.take(5)).count();
        assert_eq!(retries, 50, "five seconds' share of ten for each of two");
        for _ in 0..1000 {
            budget.request(5);
        }
        assert_eq!((0..1000).filter(|_| budget.take(5)).count(), 200);
        // Half a window later half of it is forgotten.
        assert!((0..1000).filter(|_| budget.take(15_000)).count() <= 50);
        assert_eq!((0..1000).filter(|_| budget.take(35_000)).count(), 50);
    }

    #[test]
    fn no_budget_is_no_retry() {
        let budget = Budget::new(0, 0, 1);
        budget.request(0);
        assert!(!budget.take(0));
    }

    proptest! {
        /// Over any run, retries stay below the share of the requests and the allowance of the
        /// windows that it met.
        #[test]
        fn no_storm(steps in prop::collection::vec((0..2000_u64, any::<bool>()), 1..2000)) {
            let budget = Budget::new(20, 10, 1);
            let (mut now, mut requests, mut retries) = (0, 0.0, 0.0);
            for (passed, retry) in steps {
                now += passed;
                if retry {
                    retries += if budget.take(now) { 1.0 } else { 0.0 };
                } else {
                    budget.request(now);
                    requests += 1.0;
                }
            }
            let windows = f64::from(u32::try_from(now / WINDOW + 1).unwrap());
            prop_assert!(retries <= requests * 0.4 + windows * 100.0);
        }
    }
}
