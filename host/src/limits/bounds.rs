//! The bounds of a request, and which of them refuse it.

use super::BoundKind;
use super::bucket::Shape;
use crate::model::period::Period;
use crate::model::plan::QuotaLimit;
use crate::runtime::clock::Timestamp;

/// The bounds of a plan, or of a filter's own bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The rate's bucket.
    pub(crate) rate: Option<Shape>,
    pub(crate) quota: Option<QuotaLimit>,
    /// Whether they belong to a plan, whose usage is reported.
    pub(crate) is_plan: bool,
}

/// The rate of one method of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MethodBound {
    /// The number of its bucket in a counter.
    pub(crate) number: u32,
    pub(crate) shape: Shape,
}

/// A request to take from a counter.
#[derive(Debug, Clone, Copy)]
pub(super) struct CounterRequest<'a> {
    pub(crate) bounds: &'a Bounds,
    pub(crate) method: Option<&'a MethodBound>,
    pub(crate) cost: u64,
    pub(crate) now: Timestamp,
}

impl CounterRequest<'_> {
    /// The day of its time. Days since 1970.
    pub(super) fn day(&self) -> u32 {
        Period::Day.number(self.now.wall_ms)
    }
}

/// How long each bound makes a request wait. Milliseconds; 0: it gives.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct BoundWaits {
    pub(crate) method: u64,
    pub(crate) plan: u64,
    pub(crate) quota: u64,
    pub(crate) route: u64,
    pub(crate) gateway: u64,
}

/// Why nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LimitRefusal {
    pub(crate) by: BoundKind,
    pub(crate) retry_after_ms: u64,
}

impl BoundWaits {
    /// The first bound that does not give, and the longest wait.
    pub(super) fn refusal(&self) -> Option<LimitRefusal> {
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
