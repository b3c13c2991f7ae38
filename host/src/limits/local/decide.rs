//! Decisions by the counters of one gateway: each is one atomic step over all bounds.

use std::sync::Arc;

use super::LocalLimits;
use crate::limits::bounds::{BoundWaits, Bounds, CounterRequest, LimitRefusal};
use crate::limits::bucket::Shape;
use crate::limits::counter::{CounterSnapshot, UsageCounter};
use crate::limits::plan::{EnrolledPlan, Scope};
use crate::limits::shared::{LockedRates, SharedRate, SharedRateNumbers};
use crate::limits::table::{CounterOwner, CounterTable};
use crate::limits::ticket::{LimitTicket, TakenCounter};
use crate::limits::{BoundKind, Decision, Level, NEVER_MS, TakeRequest};
use crate::runtime::clock::Timestamp;

/// The refusal if there is no room.
const NO_ROOM: LimitRefusal = LimitRefusal {
    by: BoundKind::Unavailable,
    retry_after_ms: 1000,
};

/// A request to take from one counter.
pub(super) struct CounterTake<'a> {
    owner: CounterOwner<'a>,
    request: CounterRequest<'a>,
    route: Option<&'a SharedRate>,
    gateway: Option<&'a SharedRate>,
}

impl LocalLimits {
    /// Takes from a token bucket that the filter defines: at most `capacity` tokens, of which
    /// `refill_per_second` return each second. A capacity of 0, or a refill that is not a positive
    /// finite number, refuses.
    pub(crate) fn take_inline(
        &self,
        scope: Scope,
        key: &str,
        cost: u64,
        capacity: u64,
        refill_per_second: f64,
        now: Timestamp,
    ) -> Decision {
        if capacity == 0 || !refill_per_second.is_finite() || refill_per_second <= 0.0 {
            return invalid_bucket(capacity);
        }
        let bounds = Bounds {
            rate: Some(Shape::new(capacity, refill_per_second)),
            quota: None,
            is_plan: false,
        };
        self.decide(&CounterTake {
            owner: self.owner(scope.0, key),
            request: CounterRequest {
                bounds: &bounds,
                method: None,
                cost,
                now,
            },
            route: None,
            gateway: None,
        })
    }

    /// The rate that refuses a request, whatever the others have left, with its level if many keys
    /// share it. The quota is not asked: another gateway may have extended it.
    pub(in crate::limits) fn refusal_by_rate(
        &self,
        take: &TakeRequest<'_>,
    ) -> Option<(LimitRefusal, Option<Level>)> {
        let asked = self.counter_take(take, take.plan?);
        let want = &asked.request;
        let mut table = self.counters.lock_for(asked.owner.hash);
        let position = table.find(&asked.owner);
        let entry = position.and_then(|position| table.entry(position));
        let mut new = UsageCounter::new();
        let counter = entry.map_or(&mut new, |entry| &mut entry.counter);
        let waits = counter.settle_rates(want);
        LockedRates::lock(asked.route, asked.gateway).refusal(waits, want.cost, want.now)
    }

    /// The request to take from the counter of a plan.
    pub(super) fn counter_take<'a>(
        &self,
        take: &TakeRequest<'a>,
        plan: &'a EnrolledPlan,
    ) -> CounterTake<'a> {
        CounterTake {
            owner: self.owner(plan.number, take.key),
            request: CounterRequest {
                bounds: &plan.bounds,
                method: take.method.and_then(|index| plan.bound(index)),
                cost: take.cost,
                now: take.now,
            },
            route: take.route,
            gateway: take.gateway,
        }
    }

    pub(super) fn decide(&self, asked: &CounterTake<'_>) -> Decision {
        let mut decision = Decision::NOTHING;
        let seen = {
            let mut table = self.counters.lock_for(asked.owner.hash);
            self.step(&mut table, asked, &mut decision)
        };
        // Computed outside of the locks.
        (decision.rate, decision.quota) = seen.levels(&asked.request);
        decision
    }

    /// One atomic step over all bounds. Returns the counter after it.
    fn step(
        &self,
        table: &mut CounterTable,
        asked: &CounterTake<'_>,
        decision: &mut Decision,
    ) -> CounterSnapshot {
        let (owner, want) = (&asked.owner, &asked.request);
        table.tick(want.now);
        let position = table.find(owner);
        let found = position.and_then(|position| Some((position, table.entry(position)?)));
        let Some((position, entry)) = found else {
            return self.first_step(table, asked, decision);
        };
        let records = self.records_usage(want);
        let (waits, over) = entry.counter.settle(want);
        let taken = take_all(&mut entry.counter, asked, waits, records, decision);
        let seen = entry.counter.seen(want);
        if let Some(numbers) = taken {
            let key = Arc::clone(&entry.key);
            decision.ticket = Some(ticket(asked, key, &entry.counter, numbers));
            if records {
                table.enqueue(position);
            }
        }
        if let Some(over) = over {
            table.enqueue_usage(owner, over, self.counters.capacity);
        }
        seen
    }

    /// The same for an owner without a counter, who gets one if something is taken.
    fn first_step(
        &self,
        table: &mut CounterTable,
        asked: &CounterTake<'_>,
        decision: &mut Decision,
    ) -> CounterSnapshot {
        let (owner, want) = (&asked.owner, &asked.request);
        let mut counter = self.new_counter(owner.space);
        let (waits, _) = counter.settle(want);
        // Checked before the locks that other requests wait for.
        let needs_room = want.cost > 0 && waits.refusal().is_none() && !owner.key.is_empty();
        if needs_room && !table.make_room(owner.space, self.counters.division(), want.now) {
            return refuse_for_room(want, decision);
        }
        let records = self.records_usage(want);
        let taken = take_all(&mut counter, asked, waits, records, decision);
        let seen = counter.seen(want);
        if let Some(numbers) = taken {
            let key: Arc<str> = owner.key.into();
            decision.ticket = Some(ticket(asked, Arc::clone(&key), &counter, numbers));
            let position = table.insert(owner, key, counter);
            if records {
                table.enqueue(position);
            }
        }
        seen
    }

    /// Whether the usage of this request is to be reported.
    fn records_usage(&self, want: &CounterRequest<'_>) -> bool {
        self.recording && want.bounds.is_plan
    }
}

/// Takes from the counter and the shared rates, or from none, and writes the decision. Returns the
/// numbers of the shared rates if something was taken.
fn take_all(
    counter: &mut UsageCounter,
    asked: &CounterTake<'_>,
    waits: BoundWaits,
    records: bool,
    decision: &mut Decision,
) -> Option<SharedRateNumbers> {
    let want = &asked.request;
    let locked = LockedRates::lock(asked.route, asked.gateway);
    let numbers = locked.take(waits, want.cost, want.now, decision)?;
    counter.take(want, records);
    Some(numbers)
}

fn ticket(
    asked: &CounterTake<'_>,
    key: Arc<str>,
    counter: &UsageCounter,
    (route, gateway): SharedRateNumbers,
) -> LimitTicket {
    LimitTicket {
        cost: asked.request.cost,
        counter: Some(TakenCounter {
            space: asked.owner.space,
            hash: asked.owner.hash,
            key,
            amounts: counter.taken_amounts(&asked.request),
        }),
        route,
        gateway,
    }
}

/// Decides for an owner who needs a counter and finds no room.
fn refuse_for_room(want: &CounterRequest<'_>, decision: &mut Decision) -> CounterSnapshot {
    let mut counter = UsageCounter::new();
    let _ = counter.settle(want);
    decision.refuse(NO_ROOM);
    decision.lacks_room = true;
    counter.seen(want)
}

/// The refusal of a filter's bucket with invalid numbers.
fn invalid_bucket(capacity: u64) -> Decision {
    let rate = Level {
        limit: capacity,
        remaining: 0,
        window_ms: NEVER_MS,
        reset_ms: NEVER_MS,
    };
    let refusal = LimitRefusal {
        by: BoundKind::Plan,
        retry_after_ms: NEVER_MS,
    };
    let mut decision = Decision::NOTHING;
    decision.refuse(refusal);
    decision.rate = Some(rate);
    decision
}
