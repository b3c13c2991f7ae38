//! Bounds without a key: by client address, or by any value that a filter counts by.
//!
//! A filter defines its bounds, and one step takes from all of them or from none. Each bound is a
//! token bucket or a sliding window for each value that it counts by. These counters have room of
//! their own: a flood of addresses takes none from the counters of usage plans, and each bound has
//! a share that a flood at another bound leaves free. When the room is used up, new values share
//! one bucket for each bound, and no counter is dropped for them.
//!
//! On one gateway both are exact: a token bucket gives no more than `burst + limit / window *
//! span` in any span of time, a sliding window no more than its limit in any span of one window.
//! If several gateways share a Redis, leases share token buckets as they share those of usage
//! plans, with the same bound (see [`leased`](super::leased)); there, all or none is achieved by
//! giving back. Sliding windows are not shared: the build refuses a configuration that has them
//! there.

mod key;
mod table;
mod window;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use smallvec::SmallVec;

use super::bucket::Shape;
use super::leased::LeasedLimits;
use super::plan::{EnrolledPlan, UsagePlan};
use super::{
    BoundKind, Decision, DecisionSignal, Level, LimitStore, LimitTicket, NEVER_MS, TakeRequest,
};
use crate::model::plan::RateLimit;
use crate::runtime::clock::Timestamp;
use key::KeyText;
use table::{BoundDemand, Gauge, RateTable};
use window::WindowSpan;

pub(crate) use key::RateKey;

/// A bound of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RateBound {
    /// Its name; the bucket belongs to it and to the filter's name.
    pub(crate) name: Arc<str>,
    /// Whether it is a sliding window, and not a token bucket.
    pub(crate) is_window: bool,
    /// The amount for each window.
    pub(crate) limit: u64,
    /// The length of the window. Milliseconds; at least 10.
    pub(crate) window_ms: u64,
    /// The size of a token bucket.
    pub(crate) burst: u64,
    /// Whether it refuses nothing.
    pub(crate) shadow: bool,
}

/// The bounds of one filter, with their numbers in the store.
#[derive(Debug)]
pub(crate) struct RateBounds(Box<[EnrolledBound]>);

#[derive(Debug)]
struct EnrolledBound {
    space: u32,
    gauge: Gauge,
    shadow: bool,
    /// A window's length, or the time in which an empty bucket fills. Milliseconds.
    window_ms: u64,
    /// The plan, if gateways share it.
    plan: Option<EnrolledPlan>,
}

/// The value that each bound counts by for one request, in their order. None: the bound does not
/// apply to it.
pub(crate) type RateKeys = SmallVec<[Option<RateKey>; 4]>;

/// The level of one bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateLevel {
    /// Its index among the filter's bounds.
    pub(crate) bound: u32,
    pub(crate) level: Level,
    /// Whether it refused.
    pub(crate) refused: bool,
}

#[derive(Debug, Default)]
#[must_use]
pub(crate) struct RateDecision {
    /// Whether the request may pass.
    pub(crate) allowed: bool,
    /// Whether it may not pass because the shared store does not answer.
    pub(crate) unavailable: bool,
    /// The time until another try can succeed. Milliseconds; 0 if allowed, [`NEVER_MS`] if none
    /// can.
    pub(crate) retry_after_ms: u64,
    /// The levels of the bounds that apply to the request.
    pub(crate) levels: SmallVec<[RateLevel; 4]>,
    /// The ticket for giving back. None if nothing was taken.
    pub(crate) ticket: Option<RateTicket>,
    /// The undecided part: keys whose share of a shared budget must be waited for. If all of it is
    /// in shadow, the request may pass and something was taken: a caller that waits and asks again
    /// gives it back first.
    pub(crate) pending: Option<RateKeys>,
}

/// Identifies what was taken, to give it back. Dropping it leaves things taken.
#[derive(Debug)]
pub(crate) struct RateTicket {
    cost: u64,
    /// The counters of this gateway: the bound's number, and the key.
    counted: SmallVec<[(u32, RateKey); 4]>,
    /// The counters that gateways share.
    shared: SmallVec<[LimitTicket; 4]>,
}

/// The state of the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateFigures {
    /// In memory.
    pub(crate) counters: usize,
    /// How often a request was counted in a shared bucket, for lack of room.
    pub(crate) overflowed: u64,
}

/// All counters of bounds without a key. They survive reloads, not restarts.
#[derive(Debug)]
pub(crate) struct RateCounters {
    table: RateTable,
    leased: Option<Arc<LeasedLimits>>,
    spaces: Mutex<HashMap<String, u32>>,
    overflowed: AtomicU64,
    warned: AtomicBool,
}

impl RateBound {
    fn gauge(&self) -> Gauge {
        if self.is_window {
            return Gauge::Window(WindowSpan::new(self.limit, self.window_ms));
        }
        Gauge::Bucket(Shape::new(self.burst, self.per_second()))
    }

    /// The fill time in the configuration: a bucket's speed is exact to the billionth of a token a
    /// second.
    fn fill_ms(&self) -> u64 {
        let fills = u128::from(self.window_ms) * u128::from(self.burst);
        if self.is_window {
            self.window_ms
        } else {
            u64::try_from(fills.div_ceil(u128::from(self.limit.max(1)))).unwrap_or(NEVER_MS)
        }
    }

    /// Tokens that return each second.
    #[allow(
        clippy::cast_precision_loss,
        reason = "a limit and a window of more than 2^53 bound nothing"
    )]
    fn per_second(&self) -> f64 {
        self.limit as f64 * 1_000.0 / self.window_ms.max(1) as f64
    }
}

impl RateCounters {
    /// The counters of one gateway, with room for this many.
    #[must_use]
    pub(crate) fn local(most: usize) -> Self {
        Self {
            table: RateTable::new(most),
            leased: None,
            spaces: Mutex::default(),
            overflowed: AtomicU64::new(0),
            warned: AtomicBool::new(false),
        }
    }

    /// Counters that several gateways share: these leases have their token buckets.
    #[must_use]
    pub(crate) fn shared(leased: Arc<LeasedLimits>) -> Self {
        Self {
            leased: Some(leased),
            ..Self::local(1)
        }
    }

    /// Enrolls the bounds of a filter. Bounds of the same names keep their counters.
    #[must_use]
    pub(crate) fn enroll(&self, filter: &str, bounds: &[RateBound]) -> RateBounds {
        let mut spaces = self.spaces.lock();
        let bounds = bounds.iter().map(|bound| {
            let name = format!("rate-limit/{filter}/{}", bound.name);
            let next = u32::try_from(spaces.len()).unwrap_or(u32::MAX);
            let plan = self.leased.as_ref().and_then(|leased| {
                let plan = UsagePlan {
                    name: name.as_str().into(),
                    rate: Some(RateLimit {
                        per_second: bound.per_second(),
                        burst: bound.burst,
                    }),
                    quota: None,
                    methods: Vec::new(),
                    apis: Vec::new(),
                };
                leased.local().enroll(plan).ok()
            });
            let kind = if bound.is_window { "window" } else { "bucket" };
            EnrolledBound {
                space: *spaces.entry(format!("{name}/{kind}")).or_insert(next),
                gauge: bound.gauge(),
                shadow: bound.shadow,
                window_ms: bound.fill_ms(),
                plan,
            }
        });
        let bounds = RateBounds(bounds.collect());
        self.table.divide(spaces.len());
        if let Some(leased) = &self.leased {
            leased.divide(spaces.len());
        }
        bounds
    }

    /// The leases, if several gateways share the counters.
    #[must_use]
    pub(crate) fn leased(&self) -> Option<&LeasedLimits> {
        self.leased.as_deref()
    }

    /// Takes from all bounds, or from none if one that is not in shadow refuses. A cost of 0 takes
    /// nothing and always passes.
    pub(crate) fn take(
        &self,
        bounds: &RateBounds,
        keys: &[Option<RateKey>],
        cost: u64,
        now: Timestamp,
    ) -> RateDecision {
        if let Some(leased) = &self.leased {
            return self.take_leased(leased, bounds, keys, cost, now);
        }
        let asked = bounds.0.iter().zip(keys).enumerate();
        let demands = asked.filter_map(|(index, (bound, key))| {
            let demand = self.table.demand(index, bound, (*key)?);
            Some(demand)
        });
        let mut demands: SmallVec<[BoundDemand<'_>; 4]> = demands.collect();
        self.table.take(&mut demands, cost, now);
        let mut decision = RateDecision {
            allowed: true,
            ..RateDecision::default()
        };
        for demand in &demands {
            if demand.owner.key == RateKey::OVERFLOW {
                self.count_overflow();
            }
            let (shadow, level) = (demand.bound.shadow, demand.level(now));
            decision.add(demand.index, shadow, demand.wait_ms, level);
        }
        if decision.allowed && cost > 0 {
            let taken = demands.iter().filter(|demand| demand.wait_ms == 0);
            let counted = taken.map(|demand| (demand.owner.space, demand.owner.key));
            decision.ticket = Some(RateTicket {
                cost,
                counted: counted.collect(),
                shared: SmallVec::new(),
            });
        }
        decision
    }

    fn count_overflow(&self) {
        self.overflowed.fetch_add(1, Ordering::Relaxed);
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a `rate-limit` has no room for another counter, so new values share one bucket for each bound; raise `[server] max_rate_counters`, or count by something that clients cannot choose"
            );
        }
    }

    /// The same with budgets that gateways share: takes from one after the other, and gives all
    /// back unless all give.
    fn take_leased(
        &self,
        leased: &LeasedLimits,
        bounds: &RateBounds,
        keys: &[Option<RateKey>],
        cost: u64,
        now: Timestamp,
    ) -> RateDecision {
        let mut decision = RateDecision {
            allowed: true,
            ..RateDecision::default()
        };
        let mut asked: SmallVec<[(usize, &EnrolledBound, RateKey, Decision); 4]> = SmallVec::new();
        for (index, (bound, key)) in bounds.0.iter().zip(keys).enumerate() {
            let Some(key) = key else {
                continue;
            };
            let Some(plan) = &bound.plan else {
                // No other bound counts it, and it must not be let through.
                decision.unavailable |= !bound.shadow;
                decision.allowed &= bound.shadow;
                continue;
            };
            let (key, taken) = self.take_shared_budget(leased, plan, *key, (cost, now));
            asked.push((index, bound, key, taken));
        }
        // If one bound refuses for certain, the answers of the others do not matter.
        let is_open =
            |taken: &Decision| taken.pending || taken.refused_by == Some(BoundKind::Unavailable);
        let refuses = |bound: &EnrolledBound, taken: &Decision| {
            !bound.shadow && !taken.allowed && !is_open(taken)
        };
        let is_refused = asked
            .iter()
            .any(|(_, bound, _, taken)| refuses(bound, taken));
        decision.unavailable &= !is_refused;
        let mut pending: RateKeys = SmallVec::from_elem(None, bounds.0.len());
        let mut tickets: SmallVec<[LimitTicket; 4]> = SmallVec::new();
        for (index, bound, key, taken) in asked {
            if taken.pending
                && !is_refused
                && let Some(pending) = pending.get_mut(index)
            {
                *pending = Some(key);
            }
            let wait_ms = if taken.allowed || is_refused && is_open(&taken) {
                0
            } else {
                taken.retry_after_ms.max(1)
            };
            let is_unavailable = taken.refused_by == Some(BoundKind::Unavailable);
            decision.unavailable |= !bound.shadow && is_unavailable && !is_refused;
            tickets.extend(taken.ticket);
            if let Some(level) = taken.rate {
                let window_ms = bound.window_ms;
                let level = Level { window_ms, ..level };
                decision.add(index, bound.shadow, wait_ms, level);
            } else if wait_ms > 0 && !bound.shadow {
                decision.refuse(wait_ms);
            }
        }
        if pending.iter().any(Option::is_some) {
            decision.pending = Some(pending);
        }
        if !decision.allowed {
            for ticket in tickets {
                leased.give_back(ticket);
            }
        } else if !tickets.is_empty() {
            decision.ticket = Some(RateTicket {
                cost,
                counted: SmallVec::new(),
                shared: tickets,
            });
        }
        decision
    }

    /// Gives back what was taken.
    pub(crate) fn give_back(&self, ticket: RateTicket) {
        for (space, key) in ticket.counted {
            self.table.give_back(space, key, ticket.cost);
        }
        if let Some(leased) = &self.leased {
            for ticket in ticket.shared {
                leased.give_back(ticket);
            }
        }
    }

    /// Takes from one shared budget, or from the one that always has room if there is none.
    fn take_shared_budget(
        &self,
        leased: &LeasedLimits,
        plan: &EnrolledPlan,
        key: RateKey,
        (cost, now): (u64, Timestamp),
    ) -> (RateKey, Decision) {
        let taken = leased.take(&take(plan, KeyText::of(key).as_str(), cost, now));
        if !taken.lacks_room {
            return (key, taken);
        }
        let shared = leased.take(&take(plan, "", cost, now));
        if shared.refused_by == Some(BoundKind::Unavailable) && !shared.pending {
            return (key, taken);
        }
        self.count_overflow();
        (RateKey::OVERFLOW, shared)
    }

    /// A signal to wait for before a request can be decided. None: it is decided now.
    #[must_use]
    pub(crate) fn wait(
        &self,
        bounds: &RateBounds,
        keys: &[Option<RateKey>],
        cost: u64,
        now: Timestamp,
    ) -> Option<DecisionSignal> {
        let leased = self.leased.as_ref()?;
        let mut unknown = false;
        for (bound, key) in bounds.0.iter().zip(keys) {
            let (Some(plan), Some(key)) = (&bound.plan, key) else {
                continue;
            };
            match leased.refuses(&take(plan, KeyText::of(*key).as_str(), cost, now)) {
                // No request waits for others if this bound refuses it.
                Some(true) if !bound.shadow => return None,
                Some(_) => {}
                None => unknown = true,
            }
        }
        let mut asked = bounds.0.iter().zip(keys).filter(|_| unknown);
        asked.find_map(|(bound, key)| {
            let plan = bound.plan.as_ref()?;
            leased.wait(&take(plan, KeyText::of((*key)?).as_str(), cost, now))
        })
    }

    /// The state of the counters, for metrics. Takes every lock.
    #[must_use]
    pub(crate) fn figures(&self) -> RateFigures {
        RateFigures {
            counters: match &self.leased {
                Some(leased) => leased.local().figures().counters,
                None => self.table.len(),
            },
            overflowed: self.overflowed.load(Ordering::Relaxed),
        }
    }
}

fn take<'a>(plan: &'a EnrolledPlan, key: &'a str, cost: u64, now: Timestamp) -> TakeRequest<'a> {
    TakeRequest {
        plan: Some(plan),
        key,
        method: None,
        route: None,
        gateway: None,
        cost,
        now,
    }
}

impl RateDecision {
    fn add(&mut self, index: usize, shadow: bool, wait_ms: u64, level: Level) {
        let refused = wait_ms > 0;
        if refused && !shadow {
            self.refuse(wait_ms);
        }
        self.levels.push(RateLevel {
            bound: u32::try_from(index).unwrap_or(u32::MAX),
            level,
            refused,
        });
    }

    fn refuse(&mut self, wait_ms: u64) {
        self.allowed = false;
        self.retry_after_ms = self.retry_after_ms.max(wait_ms);
    }
}
