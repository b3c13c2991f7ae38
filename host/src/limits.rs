//! Counters of usage plans, shared rates and the token buckets of filters: exact, atomic, bounded.
//!
//! The rules are those of Amazon API Gateway, where it has them (developer guide, "Throttle
//! requests to your REST APIs"; API reference, `QuotaSettings`):
//!
//! - A **rate** is a token bucket: at most `burst` tokens, of which `per_second` return each
//!   second (exact to the billionth of a token). In any span of time no more is taken, net of what
//!   is given back, than `burst + per_second * span`.
//! - A **quota** counts within a day, week or month of UTC. A week begins on Sunday and a month on
//!   the first, unless the quota names another first day.
//! - An **extension** changes the remaining quota of one key in one period, and no other.
//! - The **order** in which bounds are checked, and named in a refusal: the plan's rate for the
//!   method, the plan's rate, its quota, the route's rate, the gateway's rate. Amazon throttles
//!   before it counts. The reported wait is the longest of all bounds that refuse.
//! - All bounds give in one atomic step, or nothing is taken from any. A cost of 0 always passes,
//!   takes nothing, and shows the levels.
//!
//! Counters belong to a plan's *name* and a key: an API's routes and a plan's APIs share them.
//! They survive a reload, because the store lives outside of a `Gateway`: usage is kept when the
//! plan's numbers change (a lowered burst leaves the bucket empty at worst, never in debt). If the
//! period of a quota changes (from day to month, say), the usage since the new period began
//! counts: the sync adds it ([`track`](LocalLimits::track), [`add_used`](LimitStore::add_used)),
//! and later usage counts in both periods. The buckets of routes and of the gateway belong to
//! their names in the same way.
//!
//! Usage is reported by key and day, once
//! ([`take_pending_usage`](LimitStore::take_pending_usage)), and the usage of quotas is restored
//! at the start ([`restore`](LimitStore::restore)). Buckets are full after a start.
//!
//! Callers pass two clocks with every call ([`Timestamp`]). Buckets use the one that never steps,
//! quotas the wall clock. If the wall clock steps back over the start of the present period, the
//! counter stays in that period, so that nobody gets a period twice. If it steps back farther, it
//! was wrong before: the counter moves to the period that it shows now and keeps the usage. If the
//! clock reaches that later period again, its usage counts again.
//!
//! It deliberately does not wait, and does not know the client. A store that several gateways
//! share is another [`LimitStore`].

mod bounds;
mod bucket;
mod counter;
mod dense_table;
mod leased;
mod levels;
mod local;
mod names;
mod outbox;
mod plan;
mod plan_book;
mod plan_stats;
mod rates;
mod room;
mod shards;
mod shared;
mod table;
#[cfg(test)]
mod tests;
mod ticket;
mod usage;
pub(crate) mod usage_rows;

use std::time::Duration;

use crate::limits::usage_rows::{QuotaRow, UsageDelta};
use crate::model::period::Period;
use crate::runtime::clock::Timestamp;
use crate::shared_store::StorageError;
use bounds::LimitRefusal;
pub(crate) use leased::{LeasePolicy, LeasedLimits};
pub(crate) use levels::FilterLevels;
pub use local::LocalLimits;
pub(crate) use plan::{EnrolledPlan, MethodRate, PlanError, RateError, UsagePlan};
pub(crate) use plan_book::{EnrolledPlans, LivePlans, PlanBook, enroll_plans};
pub(crate) use rates::{
    RateBound, RateBounds, RateCounters, RateDecision, RateKey, RateKeys, RateLevel, RateTicket,
};
pub(crate) use shared::SharedRate;
pub(crate) use ticket::{LimitTicket, LimitTickets};

/// The wait for something that can never succeed: a cost above the burst or the quota's limit, or
/// a bucket that does not fill. Milliseconds.
pub(crate) const NEVER_MS: u64 = u64::MAX;

/// A store of counters.
///
/// An implementation promises that no call for a request ([`take`](Self::take),
/// [`give_back`](Self::give_back)) blocks or waits for another process, and that each is one atomic
/// step across all workers: a bound of N admits N, never N + 1 (if several gateways share a store,
/// as far as its own documentation says).
pub trait LimitStore: Send + Sync {
    /// The counters of this gateway. They enroll plans and rates, have the buckets of filters, and
    /// keep usage until it is reported, whichever store decides.
    fn local(&self) -> &LocalLimits;

    /// The leases, if several gateways share the store.
    fn leased(&self) -> Option<&LeasedLimits> {
        None
    }

    /// Adds usage that the counters do not have, in the present periods. Not for workers.
    ///
    /// # Errors
    ///
    /// The counters are out of reach.
    fn add_used(&self, rows: &[QuotaRow], what: UncountedUsage) -> Result<(), StorageError>;

    /// Takes from every bound, or from none. The plan and the shared rates must have been enrolled
    /// in this store.
    fn take(&self, take: &TakeRequest<'_>) -> Decision;

    /// The longest wait before a request to take is decided. None: each is decided at once, and
    /// nobody needs to call [`wait`](Self::wait).
    fn max_wait(&self) -> Option<Duration> {
        None
    }

    /// A signal to wait for before a request to take can be decided. None: [`take`](Self::take)
    /// decides it now. This takes nothing; after the signal the caller asks again.
    fn wait(&self, _take: &TakeRequest<'_>) -> Option<DecisionSignal> {
        None
    }

    /// Gives back a ticket's amounts: to the buckets, which never exceed their size, and to the
    /// quota if its period is still the same.
    fn give_back(&self, ticket: LimitTicket);

    /// Visits the usage under plans since the last visit, by key and day. Each amount is visited
    /// once, unless it is [returned](LocalLimits::return_pending_usage). Locks are short and none
    /// is held while `visit` runs. For one thread at a time; not for workers.
    fn take_pending_usage(&self, visit: &mut dyn FnMut(UsageDelta));

    /// Restores the usage of a quota from before the start. To be called after the plans were
    /// enrolled (a row of a kind of period in which its plan does not count is ignored) and before
    /// the first request.
    fn restore(&self, row: &QuotaRow);

    /// Sets the remaining quota of this key in the present period. The next period is not
    /// affected. Not for workers.
    ///
    /// # Errors
    ///
    /// The plan has no quota, or the store is out of reach.
    fn extend(
        &self,
        plan: &EnrolledPlan,
        key: &str,
        remaining: u64,
        now: Timestamp,
    ) -> Result<QuotaStatus, ExtendError>;

    /// The state of this key's quota. None: the plan has no quota. Not for workers.
    fn quota_status(&self, plan: &EnrolledPlan, key: &str, now: Timestamp) -> Option<QuotaStatus>;
}

/// The kind of usage to add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UncountedUsage {
    /// All usage of a period that was reported before the period was [tracked](LocalLimits::track).
    Total,
    /// Additional usage from elsewhere, which was imported.
    Additional,
}

/// The state of the counters of this gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LimitFigures {
    /// Counters in memory: of plans by key, and of filters' own buckets.
    pub(crate) counters: usize,
    /// How often usage was lost, because nobody wrote it for so long that memory for it ran out.
    pub(crate) lost: u64,
}

/// A signal that a request to take waits for.
pub(crate) type DecisionSignal = tokio::sync::oneshot::Receiver<()>;

/// A request to take from bounds.
#[derive(Debug, Clone, Copy)]
pub struct TakeRequest<'a> {
    /// The usage plan. None: only the shared rates.
    pub(crate) plan: Option<&'a EnrolledPlan>,
    /// The key whose counter of the plan is meant; ignored without a plan.
    pub(crate) key: &'a str,
    /// The plan's rate for the method, as [`EnrolledPlan::method`] found it.
    pub(crate) method: Option<usize>,
    pub(crate) route: Option<&'a SharedRate>,
    pub(crate) gateway: Option<&'a SharedRate>,
    /// The amount to take from each of them.
    pub(crate) cost: u64,
    pub(crate) now: Timestamp,
}

/// A kind of bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BoundKind {
    /// The rate of the plan for one method of the API.
    Method,
    /// The plan's rate, or a filter's own bucket.
    Plan,
    Quota,
    Route,
    Gateway,
    /// The store cannot decide: it is out of reach, or has no room for another counter.
    Unavailable,
}

/// The level of one bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    /// The amount of a full bound: the burst of a rate, the limit of a quota with its extension.
    pub(crate) limit: u64,
    /// The amount that may be taken now.
    pub(crate) remaining: u64,
    /// The length of the quota's period, or the time in which an empty bucket fills. Milliseconds;
    /// [`NEVER_MS`] for a bucket that does not fill.
    pub(crate) window_ms: u64,
    /// Until the period ends, or until the bucket is full again. Milliseconds.
    pub(crate) reset_ms: u64,
}

#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    /// Whether the request may pass.
    pub(crate) allowed: bool,
    /// The bound that refused. None if allowed.
    pub(crate) refused_by: Option<BoundKind>,
    /// The time until another try succeeds if nobody else takes. Milliseconds; 0 if allowed,
    /// [`NEVER_MS`] if none can.
    pub(crate) retry_after_ms: u64,
    /// The rate's level after this step, if there is a rate: the lower one of the plan's own and
    /// the method's.
    pub(crate) rate: Option<Level>,
    /// The quota's level after this step, if there is a quota.
    pub(crate) quota: Option<Level>,
    /// The level of the route's or the gateway's rate, if that refused.
    pub(crate) shared: Option<Level>,
    /// The ticket for giving back. None if nothing was taken.
    pub(crate) ticket: Option<LimitTicket>,
    /// Whether nothing is decided yet: the request is refused, and another try after a
    /// [wait](LimitStore::wait) may succeed.
    pub(crate) pending: bool,
    /// Whether it is refused because there is no room for another counter.
    pub(crate) lacks_room: bool,
}

impl Decision {
    /// The decision of a cost of 0 if nothing is bounded.
    const NOTHING: Self = Self {
        allowed: true,
        refused_by: None,
        retry_after_ms: 0,
        rate: None,
        quota: None,
        shared: None,
        ticket: None,
        pending: false,
        lacks_room: false,
    };

    fn refuse(&mut self, refusal: LimitRefusal) {
        self.allowed = false;
        self.refused_by = Some(refusal.by);
        self.retry_after_ms = refusal.retry_after_ms;
    }
}

/// The state of a key's quota in the period of some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaStatus {
    pub(crate) period: Period,
    /// Its number, as [`Period::number`] counts.
    pub(crate) number: u32,
    /// The usage in it.
    pub(crate) used: u64,
    /// Requests that may be made beyond the limit; negative if fewer may be.
    pub(crate) extra: i64,
    /// The remaining requests.
    pub(crate) remaining: u64,
}

/// Why a quota cannot be extended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExtendError {
    /// The plan has no quota.
    #[error("the plan has no quota")]
    NoQuota,
    /// There is no room for another counter.
    #[error("there is no room for another counter; raise `[store] max_counters`")]
    NoRoom,
    /// The store that several gateways share is out of reach.
    #[error("the storage of limits is out of reach: {0}")]
    Unreachable(String),
}
