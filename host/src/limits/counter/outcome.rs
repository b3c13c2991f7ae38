//! The result of taking from a counter: a refusal, or the amount taken, and the state of each bound.

use super::{Bucket, CounterRequest, PendingUsage, PeriodUsage};
use crate::limits::bucket::Shape;
use crate::limits::{BoundKind, Level};
use crate::model::period::Period;

/// How long each bound makes a request wait. Milliseconds; 0: it gives.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::limits) struct BoundWaits {
    pub(crate) method: u64,
    pub(crate) plan: u64,
    pub(crate) quota: u64,
    pub(crate) route: u64,
    pub(crate) gateway: u64,
}

/// Why nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::limits) struct LimitRefusal {
    pub(crate) by: BoundKind,
    pub(crate) retry_after_ms: u64,
}

impl BoundWaits {
    /// The first bound that does not give, and the longest wait.
    pub(in crate::limits) fn refusal(&self) -> Option<LimitRefusal> {
        let in_order = [
            (BoundKind::Method, self.method),
            (BoundKind::Plan, self.plan),
            (BoundKind::Quota, self.quota),
            (BoundKind::Route, self.route),
            (BoundKind::Gateway, self.gateway),
        ];
        let (by, _) = in_order.into_iter().find(|(_, wait_ms)| *wait_ms > 0)?;
        let waits = in_order.into_iter().map(|(_, wait_ms)| wait_ms);
        Some(LimitRefusal {
            by,
            retry_after_ms: waits.max().unwrap_or_default(),
        })
    }
}

/// A counter at one moment, for one request.
#[derive(Debug, Clone, Copy)]
pub(in crate::limits) struct CounterSnapshot {
    pub(super) bucket: Bucket,
    pub(super) method: Option<Bucket>,
    pub(super) usage: PeriodUsage,
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
