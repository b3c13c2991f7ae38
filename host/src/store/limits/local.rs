//! Counters in the memory of one gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ahash::RandomState;
use parking_lot::Mutex;

use super::bucket::Shape;
use super::counter::{Bounds, Counter, Refusal, Seen, Waits, Want};
use super::names::Names;
use super::period::Period;
use super::plan::{EnrolledPlan, Plan, PlanError, Rate, RateError, Scope};
use super::room::Division;
use super::shard_count;
use super::shared::{Held, SharedRate, SharedRates, take_shared};
use super::table::{Owner, Table};
use super::ticket::{TakenFrom, Ticket};
use super::time::Timestamp;
use super::{
    Bound, Decision, Earlier, ExtendError, Extended, Level, LimitFigures, LimitStore, NEVER,
    QuotaStanding, Take,
};
use crate::store::ledger::{LateUse, LedgerError, QuotaRow, UsageDelta};

mod saved;

/// How many counters are kept if nothing else is said: some 250 MB at worst.
pub(crate) const DEFAULT_MAX_COUNTERS: usize = 1_000_000;

/// What a caller is told when there is no room.
const NO_ROOM: Refusal = Refusal {
    by: Bound::Unavailable,
    retry_after_ms: 1000,
};

/// Exact counters for one gateway, in memory. They survive reloads, and restarts where what was
/// used is saved.
///
/// One short lock out of 64 is held while one decision is made, and with it those of the route's
/// and the gateway's rates where there are such. At most the given number of
/// counters is kept (one lock's share may be used up a few per cent earlier). A counter goes when
/// it is as good as new: its buckets full, its period over for an hour or nothing used in it, and
/// all that was used told. When all room is taken by others, what would need a new counter is
/// refused as [`Bound::Unavailable`]: who could fill the room could otherwise take without bounds. The empty
/// key, which no API key has, always has room.
#[derive(Debug)]
pub struct LocalLimits {
    shards: Box<[Shard]>,
    /// Of each shard. Counters.
    most: usize,
    /// How many plans share the room; 0: it is for whoever comes.
    plans: AtomicUsize,
    /// Whether what is used is kept until it was told.
    recording: bool,
    hasher: RandomState,
    names: Mutex<Names>,
    /// Whether the usage of any plan counts in more than one kind of period.
    many_periods: AtomicBool,
    shared: SharedRates,
}

/// On a cache line of its own (two, for processors that fetch pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(Mutex<Table>);

impl Default for LocalLimits {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_COUNTERS)
    }
}

/// One taking from one counter.
struct Asked<'a> {
    space: u32,
    key: &'a str,
    want: Want<'a>,
    route: Option<&'a SharedRate>,
    gateway: Option<&'a SharedRate>,
}

impl LocalLimits {
    /// Room for so many counters, at least one. What is used is told to nobody.
    #[must_use]
    pub(crate) fn new(max_counters: usize) -> Self {
        let shards = shard_count(max_counters);
        Self {
            shards: (0..shards).map(|_| Shard::default()).collect(),
            most: (max_counters / shards).max(1),
            plans: AtomicUsize::new(0),
            recording: false,
            hasher: RandomState::new(),
            names: Mutex::default(),
            many_periods: AtomicBool::new(false),
            shared: SharedRates::default(),
        }
    }

    /// The same, for somebody who asks for what is [`unsaved`](LimitStore::unsaved) now and then:
    /// it is kept until then.
    #[must_use]
    pub fn recording(mut self) -> Self {
        self.recording = true;
        self
    }

    /// Divide the room among so many plans.
    pub(super) fn divide(&self, plans: usize) {
        self.plans.store(plans, Ordering::Relaxed);
    }

    fn division(&self) -> Division {
        Division {
            most: self.most,
            bounds: self.plans.load(Ordering::Relaxed),
        }
    }

    /// How many counters are kept. For metrics: it visits every lock.
    #[must_use]
    pub(crate) fn counters(&self) -> usize {
        self.shards.iter().map(|shard| shard.0.lock().len()).sum()
    }

    /// The table of this hash. Its low and highest bits are the table's own.
    fn table(&self, hash: u64) -> Option<&Mutex<Table>> {
        let place = (hash >> 32) as usize & (self.shards.len() - 1);
        self.shards.get(place).map(|shard| &shard.0)
    }

    fn owner<'a>(&self, space: u32, key: &'a str) -> Owner<'a> {
        let hash = self.hasher.hash_one((space, key));
        Owner { space, key, hash }
    }

    /// The rate that refuses a taking, whatever is left elsewhere, with where it stands if many keys share
    /// it. A quota is not asked: another gateway may have extended it.
    pub(super) fn refusal_by_rate(&self, take: &Take<'_>) -> Option<(Refusal, Option<Level>)> {
        let asked = asked(take, take.plan?);
        let want = &asked.want;
        let owner = self.owner(asked.space, asked.key);
        let mut table = self.table(owner.hash)?.lock();
        let place = table.find(&owner);
        let mut waits = match place.and_then(|place| table.entry(place)) {
            Some(entry) => entry.counter.settle_rates(want),
            None => Counter::new().settle_rates(want),
        };
        let mut held = Held::lock(asked.route, asked.gateway);
        held.settle(&mut waits, want.cost, want.now);
        let refusal = waits.refusal()?;
        Some((refusal, held.level(refusal.by, want.now)))
    }

    fn decide(&self, asked: &Asked<'_>) -> Decision {
        let owner = self.owner(asked.space, asked.key);
        let mut decision = Decision::NOTHING;
        let seen = match self.table(owner.hash) {
            Some(table) => self.step(&mut table.lock(), &owner, asked, &mut decision),
            None => no_room(&asked.want, &mut decision),
        };
        // Outside of the locks.
        (decision.rate, decision.quota) = seen.levels(&asked.want);
        decision
    }

    /// One atomic step over all bounds. Gives the counter as it stands then.
    fn step(
        &self,
        table: &mut Table,
        owner: &Owner<'_>,
        asked: &Asked<'_>,
        decision: &mut Decision,
    ) -> Seen {
        let want = &asked.want;
        table.tick(want.now);
        let place = table.find(owner);
        let Some((place, entry)) = place.and_then(|place| Some((place, table.entry(place)?)))
        else {
            return self.first_step(table, owner, asked, decision);
        };
        let noted = self.notes(want);
        let (waits, over) = entry.counter.settle(want);
        let taken = take_all(&mut entry.counter, asked, waits, noted, decision);
        let seen = entry.counter.seen(want);
        if let Some(numbers) = taken {
            let key = Arc::clone(&entry.key);
            decision.ticket = Some(ticket(owner, key, &entry.counter, want, numbers));
            if noted {
                table.enqueue(place);
            }
        }
        if let Some(over) = over {
            table.post(owner, over, self.most);
        }
        seen
    }

    /// The same for an owner without a counter, who gets one if something is taken.
    fn first_step(
        &self,
        table: &mut Table,
        owner: &Owner<'_>,
        asked: &Asked<'_>,
        decision: &mut Decision,
    ) -> Seen {
        let want = &asked.want;
        let mut counter = self.new_counter(owner.space);
        let (waits, _) = counter.settle(want);
        // Before locks are taken that others wait for too.
        let needs_room = want.cost > 0 && waits.refusal().is_none() && !owner.key.is_empty();
        if needs_room && !table.make_room(owner.space, self.division(), want.now) {
            return no_room(want, decision);
        }
        let noted = self.notes(want);
        let taken = take_all(&mut counter, asked, waits, noted, decision);
        let seen = counter.seen(want);
        if let Some(numbers) = taken {
            let key: Arc<str> = owner.key.into();
            decision.ticket = Some(ticket(owner, Arc::clone(&key), &counter, want, numbers));
            let place = table.insert(owner, key, counter);
            if noted {
                table.enqueue(place);
            }
        }
        seen
    }

    /// Whether what this taking uses is to be told.
    fn notes(&self, want: &Want<'_>) -> bool {
        self.recording && want.bounds.is_plan
    }
}

impl LimitStore for LocalLimits {
    fn enroll(&self, plan: Plan) -> Result<EnrolledPlan, PlanError> {
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

    fn add_used(&self, rows: &[QuotaRow], _: Earlier) -> Result<(), LedgerError> {
        rows.iter().for_each(|row| self.add_row(row));
        Ok(())
    }

    fn scope(&self, filter: &str) -> Scope {
        self.names.lock().scope(filter)
    }

    fn shared_rate(&self, name: &str, rate: Rate) -> Result<SharedRate, RateError> {
        self.shared.enroll(name, rate)
    }

    fn take(&self, take: &Take<'_>) -> Decision {
        let Some(plan) = take.plan else {
            return take_shared(take);
        };
        self.decide(&asked(take, plan))
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
            return senseless(capacity);
        }
        let bounds = Bounds {
            rate: Some(Shape::new(capacity, refill_per_second)),
            quota: None,
            is_plan: false,
        };
        self.decide(&Asked {
            space: scope.0,
            key,
            want: Want {
                bounds: &bounds,
                method: None,
                cost,
                now,
            },
            route: None,
            gateway: None,
        })
    }

    fn give_back(&self, ticket: Ticket) {
        let Ticket {
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

    fn unsaved(&self, visit: &mut dyn FnMut(UsageDelta)) {
        self.tell(visit);
    }

    fn put_back(&self, delta: UsageDelta) {
        self.untell(delta);
    }

    fn figures(&self) -> LimitFigures {
        LimitFigures {
            counters: self.counters(),
            lost: self.lost(),
        }
    }

    fn restore(&self, row: &QuotaRow) {
        self.restore_row(row);
    }

    fn add_late(&self, late: &LateUse) {
        self.add_late_use(late);
    }

    fn extend(
        &self,
        plan: &EnrolledPlan,
        key: &str,
        remaining: u64,
        now: Timestamp,
    ) -> Result<Extended, ExtendError> {
        self.extend_quota(plan, key, remaining, now)
    }

    fn standing(&self, plan: &EnrolledPlan, key: &str, now: Timestamp) -> Option<QuotaStanding> {
        self.quota_standing(plan, key, now)
    }
}

/// The request to take from the counter of a plan.
fn asked<'a>(take: &Take<'a>, plan: &'a EnrolledPlan) -> Asked<'a> {
    Asked {
        space: plan.number,
        key: take.key,
        want: Want {
            bounds: &plan.bounds,
            method: take.method.and_then(|place| plan.bound(place)),
            cost: take.cost,
            now: take.now,
        },
        route: take.route,
        gateway: take.gateway,
    }
}

/// Take from the counter and the shared rates, or from none; which is what is decided. Gives the
/// numbers of the shared ones when something was taken.
fn take_all(
    counter: &mut Counter,
    asked: &Asked<'_>,
    mut waits: Waits,
    noted: bool,
    decision: &mut Decision,
) -> Option<Numbers> {
    let want = &asked.want;
    let mut held = Held::lock(asked.route, asked.gateway);
    held.settle(&mut waits, want.cost, want.now);
    if let Some(refusal) = waits.refusal() {
        decision.refuse(refusal);
        decision.shared = held.level(refusal.by, want.now);
        return None;
    }
    if want.cost == 0 {
        return None;
    }
    counter.take(want, noted);
    Some(held.take(want.cost))
}

/// Of the route's rate and the gateway's.
type Numbers = (Option<u32>, Option<u32>);

fn ticket(
    owner: &Owner<'_>,
    key: Arc<str>,
    counter: &Counter,
    want: &Want<'_>,
    (route, gateway): Numbers,
) -> Ticket {
    Ticket {
        cost: want.cost,
        counter: Some(TakenFrom {
            space: owner.space,
            hash: owner.hash,
            key,
            taken: counter.taken(want),
        }),
        route,
        gateway,
    }
}

/// What is decided for who would need a counter, and there is no room.
fn no_room(want: &Want<'_>, decision: &mut Decision) -> Seen {
    let mut counter = Counter::new();
    let _ = counter.settle(want);
    decision.refuse(NO_ROOM);
    decision.lacks_room = true;
    counter.seen(want)
}

/// What a filter is told whose bucket makes no sense.
fn senseless(capacity: u64) -> Decision {
    let rate = Level {
        limit: capacity,
        remaining: 0,
        window_ms: NEVER,
        reset_ms: NEVER,
    };
    let refusal = Refusal {
        by: Bound::Plan,
        retry_after_ms: NEVER,
    };
    let mut decision = Decision::NOTHING;
    decision.refuse(refusal);
    decision.rate = Some(rate);
    decision
}
