//! Counters in the memory of one gateway.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use parking_lot::Mutex;

use super::bucket::Shape;
use super::counter::{Bounds, Counter, Refusal, Taken};
use super::plan::{EnrolledPlan, Plan, PlanError, Scope};
use super::table::{Owner, Table};
use super::ticket::Ticket;
use super::time::Timestamp;
use super::{Bound, Decision, Level, LimitStore, NEVER};

/// How many counters are kept if nothing else is said: some 150 MB at worst.
pub const DEFAULT_MAX_COUNTERS: usize = 1_000_000;

/// The most shards.
const SHARDS: usize = 64;
/// Counters that make a shard of its own worth while.
const SHARE: usize = 256;
/// What a caller is told when there is no room.
const NO_ROOM: Refusal = Refusal {
    by: Bound::Unavailable,
    retry_after_ms: 1000,
};

/// Exact counters for one gateway, in memory. They survive reloads, not restarts.
///
/// One short lock out of 64 is held while one decision is made. At most the given number of
/// counters is kept (one lock's share may be used up a few per cent earlier). A counter goes when
/// it is as good as new: its bucket full, its period over for an hour or nothing used in it.
/// When all room is taken by others, what would need a new counter is refused as
/// [`Bound::Unavailable`]: who could fill the room could otherwise take without bounds.
#[derive(Debug)]
pub struct LocalLimits {
    shards: Box<[Shard]>,
    /// Of each shard. Counters.
    most: usize,
    hasher: RandomState,
    names: Mutex<Names>,
}

/// On a cache line of its own (two, for processors that fetch pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(Mutex<Table>);

/// The numbers that names were given, and when. Grows with the names that an operator ever put
/// into configs.
#[derive(Debug, Default)]
struct Names {
    plans: HashMap<Arc<str>, (u32, u64)>,
    filters: HashMap<Arc<str>, u32>,
}

impl Names {
    fn next(&self) -> u32 {
        u32::try_from(self.plans.len() + self.filters.len()).unwrap_or(u32::MAX)
    }
}

impl Default for LocalLimits {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_COUNTERS)
    }
}

impl LocalLimits {
    /// Room for so many counters, at least one.
    #[must_use]
    pub fn new(max_counters: usize) -> Self {
        let shards = (max_counters / SHARE).clamp(1, SHARDS);
        // A power of two, so that a part of the hash picks.
        let shards = if shards.is_power_of_two() {
            shards
        } else {
            shards.next_power_of_two() / 2
        };
        Self {
            shards: (0..shards).map(|_| Shard::default()).collect(),
            most: (max_counters / shards).max(1),
            hasher: RandomState::new(),
            names: Mutex::default(),
        }
    }

    /// How many counters are kept. For metrics: it visits every lock.
    #[must_use]
    pub fn counters(&self) -> usize {
        self.shards.iter().map(|shard| shard.0.lock().len()).sum()
    }

    /// The table of this hash. Its low and highest bits are the table's own.
    fn table(&self, hash: u64) -> Option<&Mutex<Table>> {
        let place = (hash >> 32) as usize & (self.shards.len() - 1);
        self.shards.get(place).map(|shard| &shard.0)
    }

    fn decide(
        &self,
        space: u32,
        key: &str,
        bounds: &Bounds,
        cost: u64,
        now: Timestamp,
    ) -> Decision {
        let hash = self.hasher.hash_one((space, key));
        let owner = Owner { space, key, hash };
        let (counter, outcome) = match self.table(hash) {
            Some(table) => take(&mut table.lock(), self.most, &owner, bounds, cost, now),
            None => (untouched(bounds, now), Err(NO_ROOM)),
        };
        // Outside of the lock.
        let (rate, quota) = counter.levels(bounds, now);
        match outcome {
            Ok(key) => Decision {
                allowed: true,
                refused_by: None,
                retry_after_ms: 0,
                rate,
                quota,
                ticket: key.map(|key| {
                    let place = bounds.quota.map(|_| counter.place());
                    let taken = Taken {
                        cost,
                        rate: bounds.rate.is_some(),
                        quota: place,
                    };
                    Ticket {
                        space,
                        hash,
                        key,
                        taken,
                    }
                }),
            },
            Err(refusal) => Decision {
                allowed: false,
                refused_by: Some(refusal.by),
                retry_after_ms: refusal.retry_after_ms,
                rate,
                quota,
                ticket: None,
            },
        }
    }
}

impl LimitStore for LocalLimits {
    fn enroll(&self, plan: Plan, now: Timestamp) -> Result<EnrolledPlan, PlanError> {
        plan.check()?;
        let mut names = self.names.lock();
        let next = names.next();
        let name = plan.name.clone();
        let (space, since_ms) = *names.plans.entry(name).or_insert((next, now.wall_ms));
        EnrolledPlan::new(plan, space, since_ms)
    }

    fn scope(&self, filter: &str) -> Scope {
        let mut names = self.names.lock();
        let next = names.next();
        Scope::new(*names.filters.entry(filter.into()).or_insert(next))
    }

    fn take(&self, plan: &EnrolledPlan, key: &str, cost: u64, now: Timestamp) -> Decision {
        self.decide(plan.space, key, &plan.bounds, cost, now)
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
        let rate = Some(Shape::new(capacity, refill_per_second));
        self.decide(
            scope.0,
            key,
            &Bounds {
                rate,
                quota: None,
                since_ms: 0,
            },
            cost,
            now,
        )
    }

    fn give_back(&self, ticket: Ticket) {
        let Ticket {
            space,
            hash,
            key,
            taken,
        } = ticket;
        let Some(table) = self.table(hash) else {
            return;
        };
        // No counter: it was as good as new, and there is nothing to give back to.
        if let Some(entry) = table.lock().find(&Owner {
            space,
            key: &key,
            hash,
        }) {
            entry.counter.give_back(&taken);
        }
    }
}

/// Take for this owner; gives the counter as it stands then, and the key's shared text when
/// something was taken.
fn take(
    table: &mut Table,
    most: usize,
    owner: &Owner<'_>,
    bounds: &Bounds,
    cost: u64,
    now: Timestamp,
) -> (Counter, Result<Option<Arc<str>>, Refusal>) {
    table.tick(now);
    if let Some(entry) = table.find(owner) {
        let outcome = entry.counter.take(bounds, cost, now);
        return (
            entry.counter,
            outcome.map(|()| (cost > 0).then(|| entry.key.clone())),
        );
    }
    let mut counter = Counter::new();
    match counter.take(bounds, cost, now) {
        Err(refusal) => (counter, Err(refusal)),
        Ok(()) if cost == 0 => (counter, Ok(None)),
        Ok(()) => match table.insert(owner, counter, most, now) {
            Some(key) => (counter, Ok(Some(key))),
            None => (untouched(bounds, now), Err(NO_ROOM)),
        },
    }
}

/// The counter of who took nothing yet.
fn untouched(bounds: &Bounds, now: Timestamp) -> Counter {
    let mut counter = Counter::new();
    // A cost of 0 is never refused.
    let _ = counter.take(bounds, 0, now);
    counter
}

/// What a filter is told whose bucket makes no sense.
fn senseless(capacity: u64) -> Decision {
    let rate = Level {
        limit: capacity,
        remaining: 0,
        window_ms: NEVER,
        reset_ms: NEVER,
    };
    Decision {
        allowed: false,
        refused_by: Some(Bound::Plan),
        retry_after_ms: NEVER,
        rate: Some(rate),
        quota: None,
        ticket: None,
    }
}
