//! Usage plans' counters and filters' own token buckets: exact, atomic, bounded.
//!
//! The rules, Amazon API Gateway's where it states them (developer guide, "Throttle requests to
//! your REST APIs"; API reference, `QuotaSettings`):
//!
//! - A **rate** is a token bucket: `burst` tokens at most, `per_second` of them come back a
//!   second (kept to the billionth of a token). In any span of time no more is taken, net of
//!   what is given back, than `burst + per_second * span`.
//! - A **quota** counts within a day, week or month of UTC. Weeks begin on Sunday: Amazon names
//!   no weekday, but its API counts the days of a week from 0 to 6 in the American way.
//! - The **offset** of a quota is subtracted from the limit of its first period: that in which
//!   the store first met a plan of that name. Every key of the plan is meant, for the purpose
//!   is a plan that starts in the middle of a month.
//! - The rate is asked before the quota, as Amazon throttles before it counts: where both
//!   refuse, the rate is named. The waiting time told is that of all bounds that refuse.
//! - A request that is refused takes nothing anywhere. A cost of 0 always passes, takes
//!   nothing, and shows where the bounds stand.
//!
//! Counters belong to a plan's *name* and a key. So they survive a reload: the store lives
//! outside of a `Gateway`, and what a key used stays used when the plan's numbers change (a
//! lowered burst leaves the bucket empty at worst, never in debt). A quota whose period changes
//! (from day to month, say) counts anew.
//!
//! Two clocks come in with every call ([`Timestamp`]). Buckets run on the one that never steps,
//! quotas on the wall clock, whose steps are met like this: back over the start of the period
//! just begun, and the counter stays in that period, so nobody gets a period twice; farther
//! back, and the clock was wrong before: the counter moves to the period now shown and keeps
//! what was used.
//!
//! Deliberately absent: waiting, and knowledge of who asks. A store that is shared by several
//! gateways is another [`LimitStore`].

mod bucket;
mod counter;
mod local;
mod period;
mod plan;
mod standing;
mod table;
#[cfg(test)]
mod tests;
mod ticket;
mod time;
mod usage;

pub use local::{DEFAULT_MAX_COUNTERS, LocalLimits};
pub use period::Period;
pub use plan::{EnrolledPlan, MethodRate, Plan, PlanError, Plans, Quota, Rate, Scope};
pub use standing::{Standing, Standings};
pub use ticket::{Ticket, Tickets};
pub use time::{Clock, Timestamp};

/// The waiting time of what can never succeed: a cost above the burst or the quota's limit, or
/// a bucket that does not fill. Milliseconds.
pub const NEVER: u64 = u64::MAX;

/// Where counters live.
///
/// An implementation promises that no call blocks or waits for another process (enrolling
/// aside, which happens while a config is built), and that each call is one atomic step across
/// all workers: a bound of N admits N, never N + 1.
pub trait LimitStore: Send + Sync {
    /// Make a plan known; its counters are those of the last plan with its name. For the start
    /// and reloads.
    ///
    /// # Errors
    /// The plan makes no sense.
    fn enroll(&self, plan: Plan, now: Timestamp) -> Result<EnrolledPlan, PlanError>;

    /// Where the buckets of the filter with this name are kept. For the start and reloads.
    fn scope(&self, filter: &str) -> Scope;

    /// Take from every bound of the plan for this key, or from none. The plan must have been
    /// enrolled with this store.
    fn take(&self, plan: &EnrolledPlan, key: &str, cost: u64, now: Timestamp) -> Decision;

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

    /// Give back what was taken: to the bucket, which never holds more than its size, and to
    /// the quota if the period is still that of the taking.
    fn give_back(&self, ticket: Ticket);
}

/// Which bound refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The rate of the plan for one method of the API.
    Method,
    /// The plan's rate, or a filter's own bucket.
    Plan,
    /// The plan's quota.
    Quota,
    /// The route's rate.
    Route,
    /// The gateway's rate.
    Gateway,
    /// The store cannot tell: it is out of reach, or has no room for another counter.
    Unavailable,
}

/// Where one bound stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// How many may be taken: the burst of a rate, the limit of a quota (without its offset).
    pub limit: u64,
    /// How many may still be taken now.
    pub remaining: u64,
    /// The length of the quota's period, or the time in which an empty bucket fills.
    /// Milliseconds; [`NEVER`] for a bucket that does not fill.
    pub window_ms: u64,
    /// Until the period ends, or until the bucket is full again. Milliseconds.
    pub reset_ms: u64,
}

/// What was decided.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    /// Whether the request may pass.
    pub allowed: bool,
    /// Which bound refused. None when allowed.
    pub refused_by: Option<Bound>,
    /// Until another try succeeds if nobody else takes. Milliseconds; 0 when allowed,
    /// [`NEVER`] when none can.
    pub retry_after_ms: u64,
    /// The rate's state after this step, where there is a rate.
    pub rate: Option<Level>,
    /// The quota's state after this step, where there is a quota.
    pub quota: Option<Level>,
    /// Names what was taken. None when nothing was.
    pub ticket: Option<Ticket>,
}
