//! The result of taking from a counter: the amounts taken, and the state of each bound.

use super::PendingUsage;
use crate::limits::Level;
use crate::limits::bounds::CounterRequest;
use crate::limits::bucket::{Bucket, Shape};
use crate::limits::usage_rows::QuotaUsage;
use crate::model::period::Period;

/// A counter at one moment, for one request.
#[derive(Debug, Clone, Copy)]
pub(in crate::limits) struct CounterSnapshot {
    pub(super) bucket: Bucket,
    pub(super) method: Option<Bucket>,
    pub(super) usage: QuotaUsage,
}

impl CounterSnapshot {
    /// The levels of the rate and the quota: of the plan's rate and the method's the lower.
    pub(in crate::limits) fn levels(
        &self,
        want: &CounterRequest<'_>,
    ) -> (Option<Level>, Option<Level>) {
        let CounterRequest { bounds, now, .. } = *want;
        let level = |bucket: Bucket, shape: &Shape| bucket.level(shape, now.monotonic_ns);
        let plan = bounds.rate.map(|shape| level(self.bucket, &shape));
        let method = want.method.zip(self.method);
        let method = method.map(|(method, bucket)| level(bucket, &method.shape));
        let quota = bounds
            .quota
            .map(|quota| self.usage.level(&quota, now.wall_ms));
        (tighter(method, plan), quota)
    }
}

/// The lower level; of equal levels, the one that takes longer to rise.
fn tighter(one: Option<Level>, other: Option<Level>) -> Option<Level> {
    let (Some(a), Some(b)) = (one, other) else {
        return one.or(other);
    };
    let first = (a.remaining, std::cmp::Reverse(a.reset_ms))
        <= (b.remaining, std::cmp::Reverse(b.reset_ms));
    Some(if first { a } else { b })
}

/// The amounts taken from a counter.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::limits) struct TakenAmounts {
    /// Whether the plan's bucket was taken from.
    pub(crate) rate: bool,
    /// The method whose bucket was taken from.
    pub(crate) method: Option<u32>,
    /// The period whose quota was taken from.
    pub(crate) quota: Option<(Period, u32)>,
    /// Whether it belongs to a plan, whose usage is reported.
    pub(crate) is_plan: bool,
    /// The day. Days since 1970.
    pub(crate) day: u32,
}

impl TakenAmounts {
    /// The usage to report when it is given back.
    pub(in crate::limits) fn negated_usage(&self, cost: u64) -> PendingUsage {
        PendingUsage {
            day: self.day,
            used: signed(cost).saturating_neg(),
            quota: None,
        }
    }
}

/// The amount as a change of the usage.
pub(super) fn signed(cost: u64) -> i64 {
    i64::try_from(cost).unwrap_or(i64::MAX)
}
