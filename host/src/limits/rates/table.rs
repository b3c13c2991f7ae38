//! The buckets and windows of one gateway, behind short locks.
//!
//! A request holds the locks of all its meters while it is decided, and takes them in one order,
//! so it is one atomic step. At most the given number of meters is kept, and each bound has a
//! share of it. If a bound's room is used up, values without a meter share one that always has
//! room: no other meter is dropped for them. A meter that is as good as new is dropped.

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use super::window::{Window, WindowSpan};
use super::{EnrolledBound, RateKey};
use crate::limits::Level;
use crate::limits::bucket::{Bucket, Shape};
use crate::limits::dense_table::{DenseTable, TableEntry};
use crate::limits::shards::Shards;
use crate::runtime::clock::Timestamp;

/// How a bound counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gauge {
    Bucket(Shape),
    Window(WindowSpan),
}

/// One bucket or window.
#[derive(Debug, Clone, Copy)]
enum Meter {
    Bucket(Bucket),
    Window(Window),
}

/// The demand of one request on one bound.
pub(super) struct BoundDemand<'a> {
    /// The index of the bound.
    pub(crate) index: usize,
    pub(crate) bound: &'a EnrolledBound,
    /// The owner of its meter: with the shared key if there is no room.
    pub(crate) owner: MeterOwner,
    /// The number of the shard.
    shard: usize,
    meter: Meter,
    /// The time until the bound gives this much; 0 if it does. Milliseconds.
    pub(crate) wait_ms: u64,
}

#[derive(Debug)]
pub(crate) struct RateTable(Shards<Meters>);

/// The meters of one shard.
type Meters = DenseTable<MeterEntry>;

/// The owner of a meter.
#[derive(Debug, Clone, Copy)]
pub(super) struct MeterOwner {
    pub(crate) space: u32,
    pub(crate) key: RateKey,
    /// The hash of both.
    hash: u64,
}

#[derive(Debug)]
struct MeterEntry {
    owner: MeterOwner,
    meter: Meter,
}

impl TableEntry for MeterEntry {
    fn hash(&self) -> u64 {
        self.owner.hash
    }

    fn space(&self) -> Option<u32> {
        (self.owner.key != RateKey::OVERFLOW).then_some(self.owner.space)
    }

    fn is_idle(&self, now: Timestamp) -> bool {
        self.meter.is_new(now.monotonic_ns)
    }
}

/// The locked shards of one request, in the order of their numbers.
type Guards<'a> = SmallVec<[(usize, MutexGuard<'a, Meters>); 4]>;

impl RateTable {
    /// Room for this many meters, at least one.
    pub(crate) fn new(most: usize) -> Self {
        Self(Shards::new(most))
    }

    /// Divides the room among this many bounds.
    pub(crate) fn divide(&self, bounds: usize) {
        self.0.divide(bounds);
    }

    /// The number of meters. Takes every lock.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|shard| shard.lock().len()).sum()
    }

    /// The demand on this bound by the meter of this key.
    pub(super) fn demand<'a>(
        &self,
        index: usize,
        bound: &'a EnrolledBound,
        key: RateKey,
    ) -> BoundDemand<'a> {
        let owner = self.owner(bound.space, key);
        BoundDemand {
            index,
            bound,
            owner,
            shard: self.0.number(owner.hash),
            meter: Meter::new(&bound.gauge),
            wait_ms: 0,
        }
    }

    /// Takes from all of these, or from none if one that is not in shadow refuses.
    pub(super) fn take(&self, demands: &mut [BoundDemand<'_>], cost: u64, now: Timestamp) {
        let mut guards = self.lock(demands);
        for (_, meters) in &mut guards {
            meters.tick(now, |_, _| ());
        }
        while self.find(demands, &mut guards, cost, now) {
            // Demands without room use the shared meters, which always exist.
            drop(guards);
            guards = self.lock(demands);
        }
        let gives = |demand: &BoundDemand<'_>| demand.wait_ms == 0;
        let all_give = demands
            .iter()
            .all(|demand| demand.bound.shadow || gives(demand));
        for demand in demands {
            let taken = all_give && cost > 0 && gives(demand);
            if taken {
                demand.meter.take(cost);
            }
            if let Some(meters) = meters_of(&mut guards, demand.shard) {
                store(meters, demand, taken);
            }
        }
    }

    /// Gives back an amount of the bound with this number. A meter that was dropped meanwhile was
    /// full.
    pub(crate) fn give_back(&self, space: u32, key: RateKey, cost: u64) {
        let owner = self.owner(space, key);
        let mut meters = self.0.lock_for(owner.hash);
        if let Some(meter) = owner.meter(&mut meters) {
            meter.give_back(cost);
        }
    }

    fn owner(&self, space: u32, key: RateKey) -> MeterOwner {
        let hash = self.0.hash(space, key);
        MeterOwner { space, key, hash }
    }

    fn lock(&self, demands: &[BoundDemand<'_>]) -> Guards<'_> {
        let shards = demands.iter().map(|demand| demand.shard);
        let mut shards: SmallVec<[usize; 4]> = shards.collect();
        // In one order everywhere, so that no two requests wait for each other; and each once,
        // since a second lock of the same shard would wait for itself.
        shards.sort_unstable();
        shards.dedup();
        let guards = shards.into_iter().map(|shard| (shard, self.0.lock(shard)));
        guards.collect()
    }

    /// Finds the meters of all demands, settles them, and computes how long each makes this cost
    /// wait. Returns whether some had no room and have to share.
    fn find(
        &self,
        demands: &mut [BoundDemand<'_>],
        guards: &mut Guards<'_>,
        cost: u64,
        now: Timestamp,
    ) -> bool {
        let mut moved = false;
        let division = self.0.division();
        for demand in demands {
            let Some(meters) = meters_of(guards, demand.shard) else {
                continue;
            };
            let gauge = &demand.bound.gauge;
            let MeterOwner { space, key, .. } = demand.owner;
            demand.meter = match demand.owner.meter(meters).copied() {
                Some(meter) => meter,
                None if cost == 0
                    || key == RateKey::OVERFLOW
                    || meters.make_room(space, division, now, |_, _| ()) =>
                {
                    Meter::new(gauge)
                }
                None => {
                    demand.owner = self.owner(space, RateKey::OVERFLOW);
                    demand.shard = self.0.number(demand.owner.hash);
                    moved = true;
                    continue;
                }
            };
            demand.wait_ms = demand.meter.settle(gauge, cost, now.monotonic_ns);
        }
        moved
    }
}

impl BoundDemand<'_> {
    /// The level of the bound after that.
    pub(super) fn level(&self, now: Timestamp) -> Level {
        Level {
            window_ms: self.bound.window_ms,
            ..self.meter.level(&self.bound.gauge, now.monotonic_ns)
        }
    }
}

fn meters_of<'a>(guards: &'a mut Guards<'_>, shard: usize) -> Option<&'a mut Meters> {
    let mut guards = guards.iter_mut();
    let (_, meters) = guards.find(|(number, _)| *number == shard)?;
    Some(meters)
}

/// Stores a meter. A new one is kept only if something was taken.
fn store(meters: &mut Meters, demand: &BoundDemand<'_>, taken: bool) {
    let BoundDemand { owner, meter, .. } = *demand;
    if let Some(stored) = owner.meter(meters) {
        *stored = meter;
    } else if taken {
        meters.insert(MeterEntry { owner, meter });
    }
}

impl MeterOwner {
    fn meter(self, meters: &mut Meters) -> Option<&mut Meter> {
        let is_it =
            |entry: &MeterEntry| entry.owner.space == self.space && entry.owner.key == self.key;
        let position = meters.find(self.hash, is_it)?;
        Some(&mut meters.at(position)?.meter)
    }
}

impl Meter {
    fn new(gauge: &Gauge) -> Self {
        match gauge {
            Gauge::Bucket(_) => Self::Bucket(Bucket::default()),
            Gauge::Window(_) => Self::Window(Window::default()),
        }
    }

    /// Brings it to this time, and computes how long it makes this cost wait. Bounds of one name
    /// count in one way, so each gauge meets a meter of its kind.
    fn settle(&mut self, gauge: &Gauge, cost: u64, now_ns: u64) -> u64 {
        match (&mut *self, gauge) {
            (Self::Bucket(bucket), Gauge::Bucket(shape)) => {
                bucket.settle(shape, now_ns);
                bucket.wait_ms(shape, cost, now_ns)
            }
            (Self::Window(window), Gauge::Window(span)) => {
                window.settle(span, now_ns);
                window.wait_ms(span, cost, now_ns)
            }
            _ => {
                *self = Self::new(gauge);
                self.settle(gauge, cost, now_ns)
            }
        }
    }

    fn take(&mut self, cost: u64) {
        match self {
            Self::Bucket(bucket) => bucket.take(cost),
            Self::Window(window) => window.take(cost),
        }
    }

    fn give_back(&mut self, cost: u64) {
        match self {
            Self::Bucket(bucket) => bucket.give_back(cost),
            Self::Window(window) => window.give_back(cost),
        }
    }

    fn level(&self, gauge: &Gauge, now_ns: u64) -> Level {
        match (self, gauge) {
            (Self::Window(window), Gauge::Window(span)) => window.level(span, now_ns),
            (Self::Bucket(bucket), Gauge::Bucket(shape)) => bucket.level(shape, now_ns),
            _ => Self::new(gauge).level(gauge, now_ns),
        }
    }

    fn is_new(&self, now_ns: u64) -> bool {
        match self {
            Self::Bucket(bucket) => bucket.is_full(now_ns),
            Self::Window(window) => window.is_empty(now_ns),
        }
    }
}
