//! Usage plans' counters, shared rates and filters' own token buckets: exact, atomic, bounded.
//!
//! The rules, Amazon API Gateway's where it states them (developer guide, "Throttle requests to
//! your REST APIs"; API reference, `QuotaSettings`):
//!
//! - A **rate** is a token bucket: `burst` tokens at most, `per_second` of them come back a
//!   second (kept to the billionth of a token). In any span of time no more is taken, net of
//!   what is given back, than `burst + per_second * span`.
//! - A **quota** counts within a day, week or month of UTC. A week begins on Sunday and a month on
//!   the first, unless the quota names another first day.
//! - An **extension** changes what remains of one key's quota in one period, and no other.
//! - The **order** in which bounds are asked, and named where they refuse: the plan's rate for the
//!   method, the plan's rate, its quota, the route's rate, the gateway's rate. Amazon throttles
//!   before it counts. The waiting time told is that of all bounds that refuse.
//! - All give in one atomic step, or nothing is taken anywhere. A cost of 0 always passes, takes
//!   nothing, and shows where the bounds stand.
//!
//! Counters belong to a plan's *name* and a key: an API's routes and a plan's APIs share them. So
//! they survive a reload: the store lives outside of a `Gateway`, and what a key used stays used
//! when the plan's numbers change (a lowered burst leaves the bucket empty at worst, never in
//! debt). A quota whose period changes (from day to month, say) counts what was used since the new
//! period began: whoever saves brings that ([`track`](LimitStore::track),
//! [`add_used`](LimitStore::add_used)), and what is used counts in both periods from then on. The
//! buckets of routes and of the gateway belong to their names in the same way.
//!
//! What was used is told by key and day, once, to whoever saves it
//! ([`take_pending_usage`](LimitStore::unsaved)), and what was used of a quota comes back at the start
//! ([`restore`](LimitStore::restore)). Buckets are full after a start.
//!
//! Two clocks come in with every call ([`Timestamp`]). Buckets run on the one that never steps,
//! quotas on the wall clock, whose steps are met like this: back over the start of the period
//! just begun, and the counter stays in that period, so nobody gets a period twice; farther
//! back, and the clock was wrong before: the counter moves to the period now shown and keeps
//! what was used. If the clock comes to that later period again, what was used in it counts again.
//!
//! Deliberately absent: waiting, and knowledge of who asks. A store that is shared by several
//! gateways is another [`LimitStore`].

mod bucket;
mod counter;
mod leased;
mod levels;
mod local;
mod names;
mod outbox;
mod plan;
mod plan_book;
mod rates;
mod room;
mod shared;
mod table;
#[cfg(test)]
mod tests;
mod ticket;
mod usage;
pub(crate) mod usage_rows;

use std::time::Duration;

use crate::limits::usage_rows::{DrainUsage, QuotaRow, UsageDelta};
use crate::shared_store::StorageError;
use counter::LimitRefusal;

use crate::model::period::Period;

use crate::runtime::clock::Timestamp;
pub(crate) use leased::{LeasePolicy, LeaseState, LeasedLimits};
pub(crate) use levels::FilterLevels;
pub use local::LocalLimits;
pub(crate) use plan::{
    EnrolledPlan, MethodRate, PlanError, RateError, RateLimit, Scope, UsagePlan,
};
pub(crate) use plan_book::{EnrolledPlans, LivePlans, PlanBook};
pub(crate) use rates::{
    RateBound, RateBounds, RateCounters, RateDecision, RateFigures, RateKey, RateKeys, RateLevel,
    RateTicket,
};
pub(crate) use shared::SharedRate;
pub(crate) use ticket::{LimitTicket, LimitTickets};
pub(crate) use usage::QuotaLimit;

/// The most shards of a table.
const MAX_SHARDS: usize = 64;

/// The least room of a shard, so that one that is full is rare while the table is not.
const LEAST_SHARD: usize = 256;

/// How many shards a table of so much room has: a power of two, so that a part of the hash picks one.
fn shard_count(room: usize) -> usize {
    let shards = (room / LEAST_SHARD).clamp(1, MAX_SHARDS);
    // The largest power of two that is not above it.
    1 << shards.ilog2()
}

/// The waiting time of what can never succeed: a cost above the burst or the quota's limit, or
/// a bucket that does not fill. Milliseconds.
pub(crate) const NEVER_MS: u64 = u64::MAX;

/// Where counters live.
///
/// An implementation promises that no call on a request's way ([`take`](Self::take),
/// [`take_inline`](Self::take_inline), [`give_back`](Self::give_back)) blocks or waits for another
/// process, and that each is one atomic step across all workers: a bound of N admits N, never
/// N + 1 (where several gateways share a store, as far as its own documentation says).
pub trait LimitStore: Send + Sync {
    /// Make a plan known; its counters are those of the last plan with its name. For the start,
    /// reloads and changes of plans.
    ///
    /// # Errors
    /// The plan makes no sense.
    fn enroll(&self, plan: UsagePlan) -> Result<EnrolledPlan, PlanError>;

    /// The kinds of periods in which what is used of this plan counts.
    fn periods(&self, plan: &str) -> Vec<Period>;

    /// From now on what is used of this plan counts in this kind of period, too, as its quota is
    /// about to have it: at first what was used and not told. What was told before must be
    /// [added](Self::add_used), and nothing may be [told](Self::unsaved) in between. Off the workers.
    fn track(&self, plan: &str, period: Period, now: Timestamp);

    /// What was used and was not counted, in the periods that run. Off the workers.
    ///
    /// # Errors
    /// The counters are out of reach.
    fn add_used(&self, rows: &[QuotaRow], what: UncountedUsage) -> Result<(), StorageError>;

    /// Where the buckets of the filter with this name are kept. For the start and reloads.
    fn scope(&self, filter: &str) -> Scope;

    /// The rate of a route or of the gateway; its bucket is that of the last rate with this name.
    /// For the start and reloads.
    ///
    /// # Errors
    /// The rate makes no sense.
    fn shared_rate(&self, name: &str, rate: RateLimit) -> Result<SharedRate, RateError>;

    /// Take from every bound, or from none. The plan and the shared rates must have been made known
    /// to this store.
    fn take(&self, take: &TakeRequest<'_>) -> Decision;

    /// How long a taking may have to wait to be decided, at the longest. None: each is decided at
    /// once, and nobody needs to ask [`wait`](Self::wait).
    fn max_wait(&self) -> Option<Duration> {
        None
    }

    /// The answer to wait for before a taking can be decided. None: [`take`](Self::take) decides it
    /// now. It takes nothing; whoever waited asks again.
    fn wait(&self, _take: &TakeRequest<'_>) -> Option<DecisionSignal> {
        None
    }

    /// Take from a token bucket that the filter defines: `capacity` tokens at most,
    /// `refill_per_second` of them a second. A capacity of 0, or a refill that is not a positive
    /// finite number, refuses.
    fn take_inline(
        &self,
        scope: Scope,
        key: &str,
        cost: u64,
        capacity: u64,
        refill_per_second: f64,
        now: Timestamp,
    ) -> Decision;

    /// Give back what was taken: to the buckets, which never hold more than their size, and to
    /// the quota if the period is still that of the taking.
    fn give_back(&self, ticket: LimitTicket);

    /// Show what was used under plans since it was last shown, by key and day. What is shown is not
    /// shown again, unless it is [put back](Self::put_back). Locks are short and none is held while
    /// `visit` runs. For one thread at a time, off the workers.
    fn take_pending_usage(&self, visit: &mut dyn FnMut(UsageDelta));

    /// What could not be saved: it is shown again the next time, with what came meanwhile.
    fn return_pending_usage(&self, delta: UsageDelta);

    /// What was used of a quota before the start. After the plans were enrolled (a row of a kind of
    /// period in which its plan is not counted is left out), before requests come.
    fn restore(&self, row: &QuotaRow);

    /// From now on so much remains of this key's quota in the period of this moment. For that period
    /// only: the next begins as ever. Off the workers.
    ///
    /// # Errors
    /// The plan has no quota, or the store cannot do it now.
    fn extend(
        &self,
        plan: &EnrolledPlan,
        key: &str,
        remaining: u64,
        now: Timestamp,
    ) -> Result<AppliedExtension, ExtendError>;

    /// Where this key's quota stands. None: the plan has no quota. Off the workers.
    fn quota_status(&self, plan: &EnrolledPlan, key: &str, now: Timestamp) -> Option<QuotaStatus>;

    /// Count what was used by way of a gateway that drains, and stands in the store. For a store that
    /// one gateway has.
    fn add_drain_usage(&self, _late: &DrainUsage) {}

    /// How the counters stand, for metrics: it visits every lock.
    fn figures(&self) -> LimitFigures;
}

/// What was used and not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UncountedUsage {
    /// All that was told of a period before it was [tracked](LimitStore::track).
    Total,
    /// Something more: it was used elsewhere, and brought in.
    Additional,
}

/// How the counters of this gateway stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitFigures {
    /// Counters in memory: of plans by key, and of filters' own buckets.
    pub(crate) counters: usize,
    /// How often something that was used was lost, as nobody saved for so long that there was no room.
    pub(crate) lost: u64,
}

/// An answer that a taking waits for.
pub(crate) type DecisionSignal = tokio::sync::oneshot::Receiver<()>;

/// What one step takes, and from what.
#[derive(Debug, Clone, Copy)]
pub struct TakeRequest<'a> {
    /// The usage plan. None: only the shared rates are meant.
    pub(crate) plan: Option<&'a EnrolledPlan>,
    /// Whose counter of the plan; no matter without a plan.
    pub(crate) key: &'a str,
    /// The plan's rate for the method, as [`EnrolledPlan::method`] found it.
    pub(crate) method: Option<usize>,
    pub(crate) route: Option<&'a SharedRate>,
    pub(crate) gateway: Option<&'a SharedRate>,
    /// From each of them.
    pub(crate) cost: u64,
    pub(crate) now: Timestamp,
}

/// Which bound refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BoundKind {
    /// The rate of the plan for one method of the API.
    Method,
    /// The plan's rate, or a filter's own bucket.
    Plan,
    Quota,
    Route,
    Gateway,
    /// The store cannot tell: it is out of reach, or has no room for another counter.
    Unavailable,
}

/// Where one bound stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    /// How many may be taken: the burst of a rate, the limit of a quota with its extension.
    pub(crate) limit: u64,
    /// How many may still be taken now.
    pub(crate) remaining: u64,
    /// The length of the quota's period, or the time in which an empty bucket fills.
    /// Milliseconds; [`NEVER_MS`] for a bucket that does not fill.
    pub(crate) window_ms: u64,
    /// Until the period ends, or until the bucket is full again. Milliseconds.
    pub(crate) reset_ms: u64,
}

#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    /// Whether the request may pass.
    pub(crate) allowed: bool,
    /// Which bound refused. None when allowed.
    pub(crate) refused_by: Option<BoundKind>,
    /// Until another try succeeds if nobody else takes. Milliseconds; 0 when allowed,
    /// [`NEVER_MS`] when none can.
    pub(crate) retry_after_ms: u64,
    /// The rate's state after this step, where there is a rate: of the plan's own and that of the
    /// method the one that gives less.
    pub(crate) rate: Option<Level>,
    /// The quota's state after this step, where there is a quota.
    pub(crate) quota: Option<Level>,
    /// The state of the route's or the gateway's rate, where it is the one that refused.
    pub(crate) shared: Option<Level>,
    /// Names what was taken. None when nothing was.
    pub(crate) ticket: Option<LimitTicket>,
    /// Whether nothing is decided yet: it is refused, and another try after a
    /// [wait](LimitStore::wait) may succeed.
    pub(crate) pending: bool,
    /// Whether it is refused since there is no room for another counter.
    pub(crate) lacks_room: bool,
}

impl Decision {
    /// That of a cost of 0 where nothing is bounded.
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

/// Where a key's quota stands in the period of some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaStatus {
    pub(crate) period: Period,
    /// Its number, as [`Period::number`] counts.
    pub(crate) number: u32,
    /// What was used in it.
    pub(crate) used: u64,
    /// What may be used beyond the limit in it; below 0 where less may be.
    pub(crate) extra: i64,
    /// What may still be used in it.
    pub(crate) remaining: u64,
}

/// A quota that was extended, for the ledger's [`Extension`](crate::store::ledger::Extension).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppliedExtension {
    pub(crate) period: Period,
    /// Its number, as [`Period::number`] counts.
    pub(crate) number: u32,
    /// What may be used beyond the limit in it; below 0 where less may be.
    pub(crate) extra: i64,
    /// What may still be used in it.
    pub(crate) remaining: u64,
}

/// Why a quota cannot be extended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExtendError {
    /// The plan has none.
    #[error("the plan has no quota")]
    NoQuota,
    /// There is no room for another counter.
    #[error("there is no room for another counter: raise `[store] max_counters`")]
    NoRoom,
    /// The store that several gateways share is out of reach.
    #[error("the store of limits is out of reach: {0}")]
    Unreachable(String),
}
