//! Counters in the memory of one gateway.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;

use super::bucket::Shape;
use super::counter::{
    BoundWaits, Bounds, CounterRequest, CounterSnapshot, LimitRefusal, UsageCounter,
};
use super::names::NumberedNames;
use super::plan::{EnrolledPlan, PlanError, RateError, Scope, UsagePlan};
use super::shards::Shards;
use super::shared::{LockedRates, SharedRate, SharedRates, take_shared};
use super::table::{CounterOwner, CounterTable};
use super::ticket::{LimitTicket, TakenCounter};
use super::{
    AppliedExtension, BoundKind, Decision, ExtendError, Level, LimitFigures, LimitStore, NEVER_MS,
    QuotaStatus, TakeRequest, UncountedUsage,
};
use crate::limits::usage_rows::{DrainUsage, QuotaRow, UsageDelta};
use crate::model::period::Period;
use crate::model::plan::RateLimit;
use crate::runtime::clock::Timestamp;
use crate::shared_store::StorageError;

mod persistence;

/// The default limit of counters: some 250 MB at worst.
pub(crate) const DEFAULT_MAX_COUNTERS: usize = 1_000_000;

/// The refusal if there is no room.
const NO_ROOM: LimitRefusal = LimitRefusal {
    by: BoundKind::Unavailable,
    retry_after_ms: 1000,
};

/// Exact counters of one gateway, in memory. They survive reloads, and also restarts if their
/// usage is stored.
///
/// A decision holds one short lock out of 64, and those of the route's and the gateway's rates if
/// there are any. At most the given number of counters is kept (one lock's share may be used up a
/// few per cent earlier). A counter is dropped when it is as good as new: its buckets full, its
/// period ended an hour ago or without usage, and all of its usage reported. If other counters use
/// all room, a request that would need a new counter is refused as [`BoundKind::Unavailable`]:
/// otherwise a client that fills the room could take without bounds. The empty key, which no API
/// key has, always has room.
#[derive(Debug)]
pub struct LocalLimits {
    counters: Shards<CounterTable>,
    /// Whether usage is kept until it is reported.
    recording: bool,
    names: Mutex<NumberedNames>,
    /// Whether the usage of any plan counts in more than one kind of period.
    many_periods: AtomicBool,
    shared: SharedRates,
}

impl Default for LocalLimits {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_COUNTERS)
    }
}

/// A request to take from one counter.
struct CounterTake<'a> {
    space: u32,
    key: &'a str,
    request: CounterRequest<'a>,
    route: Option<&'a SharedRate>,
    gateway: Option<&'a SharedRate>,
}

impl LocalLimits {
    /// Room for this many counters, at least one. Usage is not reported.
    #[must_use]
    pub(crate) fn new(max_counters: usize) -> Self {
        Self {
            counters: Shards::new(max_counters),
            recording: false,
            names: Mutex::default(),
            many_periods: AtomicBool::new(false),
            shared: SharedRates::default(),
        }
    }

    /// Keeps usage until the caller takes it by
    /// [`take_pending_usage`](LimitStore::take_pending_usage), which it must do now and then.
    #[must_use]
    pub fn with_recording(mut self) -> Self {
        self.recording = true;
        self
    }

    /// Divides the room among this many plans.
    pub(super) fn divide(&self, plans: usize) {
        self.counters.divide(plans);
    }

    /// The number of counters, for metrics: it takes every lock.
    #[must_use]
    pub(crate) fn counters(&self) -> usize {
        self.counters.iter().map(|shard| shard.lock().len()).sum()
    }

    fn owner<'a>(&self, space: u32, key: &'a str) -> CounterOwner<'a> {
        let hash = self.counters.hash(space, key);
        CounterOwner { space, key, hash }
    }

    /// The rate that refuses a request, whatever the others have left, with its level if many keys
    /// share it. The quota is not asked: another gateway may have extended it.
    pub(super) fn refusal_by_rate(
        &self,
        take: &TakeRequest<'_>,
    ) -> Option<(LimitRefusal, Option<Level>)> {
        let asked = counter_take(take, take.plan?);
        let want = &asked.request;
        let owner = self.owner(asked.space, asked.key);
        let mut table = self.counters.lock_for(owner.hash);
        let position = table.find(&owner);
        let mut waits = match position.and_then(|position| table.entry(position)) {
            Some(entry) => entry.counter.settle_rates(want),
            None => UsageCounter::new().settle_rates(want),
        };
        let mut locked = LockedRates::lock(asked.route, asked.gateway);
        locked.settle(&mut waits, want.cost, want.now);
        let refusal = waits.refusal()?;
        Some((refusal, locked.level(refusal.by, want.now)))
    }

    fn decide(&self, asked: &CounterTake<'_>) -> Decision {
        let owner = self.owner(asked.space, asked.key);
        let mut decision = Decision::NOTHING;
        let seen = {
            let mut table = self.counters.lock_for(owner.hash);
            self.step(&mut table, &owner, asked, &mut decision)
        };
        // Computed outside of the locks.
        (decision.rate, decision.quota) = seen.levels(&asked.request);
        decision
    }

    /// One atomic step over all bounds. Returns the counter after it.
    fn step(
        &self,
        table: &mut CounterTable,
        owner: &CounterOwner<'_>,
        asked: &CounterTake<'_>,
        decision: &mut Decision,
    ) -> CounterSnapshot {
        let want = &asked.request;
        table.tick(want.now);
        let position = table.find(owner);
        let found = position.and_then(|position| Some((position, table.entry(position)?)));
        let Some((position, entry)) = found else {
            return self.first_step(table, owner, asked, decision);
        };
        let noted = self.records_usage(want);
        let (waits, over) = entry.counter.settle(want);
        let taken = take_all(&mut entry.counter, asked, waits, noted, decision);
        let seen = entry.counter.seen(want);
        if let Some(numbers) = taken {
            let key = Arc::clone(&entry.key);
            decision.ticket = Some(ticket(owner, key, &entry.counter, want, numbers));
            if noted {
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
        owner: &CounterOwner<'_>,
        asked: &CounterTake<'_>,
        decision: &mut Decision,
    ) -> CounterSnapshot {
        let want = &asked.request;
        let mut counter = self.new_counter(owner.space);
        let (waits, _) = counter.settle(want);
        // Checked before the locks that other requests wait for.
        let needs_room = want.cost > 0 && waits.refusal().is_none() && !owner.key.is_empty();
        if needs_room && !table.make_room(owner.space, self.counters.division(), want.now) {
            return refuse_for_room(want, decision);
        }
        let noted = self.records_usage(want);
        let taken = take_all(&mut counter, asked, waits, noted, decision);
        let seen = counter.seen(want);
        if let Some(numbers) = taken {
            let key: Arc<str> = owner.key.into();
            decision.ticket = Some(ticket(owner, Arc::clone(&key), &counter, want, numbers));
            let position = table.insert(owner, key, counter);
            if noted {
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

impl LimitStore for LocalLimits {
    fn enroll(&self, plan: UsagePlan) -> Result<EnrolledPlan, PlanError> {
        if let Some(quota) = plan.quota {
            self.note_periods(&plan.name, quota.period);
        }
        self.names.lock().enroll(plan)
    }

    fn periods(&self, plan: &str) -> Vec<Period> {
        self.names.lock().periods(plan).to_vec()
    }

    fn track(&self, plan: &str, period: Period, now: Timestamp) {
        self.track_period(plan, period, now);
    }

    fn add_used(&self, rows: &[QuotaRow], _: UncountedUsage) -> Result<(), StorageError> {
        rows.iter().for_each(|row| self.add_row(row));
        Ok(())
    }

    fn scope(&self, filter: &str) -> Scope {
        self.names.lock().scope(filter)
    }

    fn shared_rate(&self, name: &str, rate: RateLimit) -> Result<SharedRate, RateError> {
        self.shared.enroll(name, rate)
    }

    fn take(&self, take: &TakeRequest<'_>) -> Decision {
        let Some(plan) = take.plan else {
            return take_shared(take);
        };
        self.decide(&counter_take(take, plan))
    }

    fn take_inline(
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
            space: scope.0,
            key,
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

    fn give_back(&self, ticket: LimitTicket) {
        let LimitTicket {
            cost,
            counter,
            route,
            gateway,
        } = ticket;
        if let Some(from) = counter {
            self.give_back_to(&from, cost);
        }
        self.shared.give_back(route, cost);
        self.shared.give_back(gateway, cost);
    }

    fn take_pending_usage(&self, visit: &mut dyn FnMut(UsageDelta)) {
        self.report_usage(visit);
    }

    fn return_pending_usage(&self, delta: UsageDelta) {
        self.return_usage(delta);
    }

    fn figures(&self) -> LimitFigures {
        LimitFigures {
            counters: self.counters(),
            lost: self.lost_count(),
        }
    }

    fn restore(&self, row: &QuotaRow) {
        self.restore_row(row);
    }

    fn add_drain_usage(&self, late: &DrainUsage) {
        self.apply_drain_usage(late);
    }

    fn extend(
        &self,
        plan: &EnrolledPlan,
        key: &str,
        remaining: u64,
        now: Timestamp,
    ) -> Result<AppliedExtension, ExtendError> {
        self.extend_quota(plan, key, remaining, now)
    }

    fn quota_status(&self, plan: &EnrolledPlan, key: &str, now: Timestamp) -> Option<QuotaStatus> {
        self.find_quota_status(plan, key, now)
    }
}

/// The request to take from the counter of a plan.
fn counter_take<'a>(take: &TakeRequest<'a>, plan: &'a EnrolledPlan) -> CounterTake<'a> {
    CounterTake {
        space: plan.number,
        key: take.key,
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

/// Takes from the counter and the shared rates, or from none, and writes the decision. Returns the
/// numbers of the shared rates if something was taken.
fn take_all(
    counter: &mut UsageCounter,
    asked: &CounterTake<'_>,
    mut waits: BoundWaits,
    noted: bool,
    decision: &mut Decision,
) -> Option<SharedRateNumbers> {
    let want = &asked.request;
    let mut locked = LockedRates::lock(asked.route, asked.gateway);
    locked.settle(&mut waits, want.cost, want.now);
    if let Some(refusal) = waits.refusal() {
        decision.refuse(refusal);
        decision.shared = locked.level(refusal.by, want.now);
        return None;
    }
    if want.cost == 0 {
        return None;
    }
    counter.take(want, noted);
    Some(locked.take(want.cost))
}

/// The numbers of the route's rate and the gateway's.
type SharedRateNumbers = (Option<u32>, Option<u32>);

fn ticket(
    owner: &CounterOwner<'_>,
    key: Arc<str>,
    counter: &UsageCounter,
    want: &CounterRequest<'_>,
    (route, gateway): SharedRateNumbers,
) -> LimitTicket {
    LimitTicket {
        cost: want.cost,
        counter: Some(TakenCounter {
            space: owner.space,
            hash: owner.hash,
            key,
            amounts: counter.taken_amounts(want),
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
