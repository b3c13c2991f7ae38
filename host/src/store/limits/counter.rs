//! The counter of one plan (or filter) and key: all bounds, decided together.

use super::bucket::{Bucket, Shape};
use super::period::Period;
use super::plan::Quota;
use super::time::Timestamp;
use super::usage::Usage;
use super::{Bound, Level};

/// The bounds that a request meets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The rate's bucket.
    pub rate: Option<Shape>,
    /// The quota.
    pub quota: Option<Quota>,
    /// When the plan was first met, for the quota's first period. Milliseconds since 1970.
    pub since_ms: u64,
}

/// Why nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub by: Bound,
    pub retry_after_ms: u64,
}

/// What one key used of one plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counter {
    bucket: Bucket,
    usage: Usage,
}

impl Counter {
    /// Of a key that was never seen, or long ago.
    pub(super) fn new() -> Self {
        Self {
            bucket: Bucket::default(),
            usage: Usage::NONE,
        }
    }

    /// Take from all bounds, or from none.
    pub(super) fn take(
        &mut self,
        bounds: &Bounds,
        cost: u64,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let mut rate_ms = 0;
        if let Some(shape) = &bounds.rate {
            self.bucket.settle(shape, now.monotonic_ns);
            rate_ms = self.bucket.wait_ms(shape, cost, now.monotonic_ns);
        }
        let mut quota_ms = 0;
        if let Some(quota) = &bounds.quota {
            self.usage.settle(quota, now.wall_ms);
            quota_ms = self
                .usage
                .wait_ms(quota, bounds.since_ms, cost, now.wall_ms);
        }
        let retry_after_ms = rate_ms.max(quota_ms);
        if rate_ms > 0 {
            return Err(Refusal {
                by: Bound::Plan,
                retry_after_ms,
            });
        }
        if quota_ms > 0 {
            return Err(Refusal {
                by: Bound::Quota,
                retry_after_ms,
            });
        }
        if bounds.rate.is_some() {
            self.bucket.take(cost);
        }
        if bounds.quota.is_some() {
            self.usage.take(cost);
        }
        Ok(())
    }

    /// Where what was just taken from the quota was taken.
    pub(super) fn place(&self) -> (Period, u32) {
        self.usage.place()
    }

    /// Undo what was taken.
    pub(super) fn give_back(&mut self, taken: &Taken) {
        if taken.rate {
            self.bucket.give_back(taken.cost);
        }
        if let Some(place) = taken.quota {
            self.usage.give_back(taken.cost, place);
        }
    }

    /// Whether it is as good as new.
    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        self.bucket.is_full(now.monotonic_ns) && self.usage.is_over(now.wall_ms)
    }

    /// Where the rate and the quota stand, after [`take`](Self::take) with the same moment.
    pub(super) fn levels(&self, bounds: &Bounds, now: Timestamp) -> (Option<Level>, Option<Level>) {
        let rate = bounds
            .rate
            .map(|shape| self.bucket.level(&shape, now.monotonic_ns));
        let quota = bounds
            .quota
            .map(|quota| self.usage.level(&quota, bounds.since_ms, now.wall_ms));
        (rate, quota)
    }
}

/// What was taken from a counter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// From each bound.
    pub cost: u64,
    /// Whether from the bucket.
    pub rate: bool,
    /// From the quota of which period.
    pub quota: Option<(Period, u32)>,
}
