//! The buckets and windows of one gateway, behind short locks.
//!
//! A request holds the locks of all its meters while it is decided, and takes them in one order,
//! so it is one atomic step. At most the given number of meters is kept, and each bound has a
//! share of it. If a bound's room is used up, values without a meter share one that always has
//! room: no other meter is dropped for them. A meter that is as good as new is dropped.

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use super::RateKey;
use super::window::{Window, WindowSpan};
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
#[derive(Debug, Clone, Copy)]
pub(crate) struct BoundDemand<'a> {
    /// The number of the bound's name.
    pub(crate) space: u32,
    pub(crate) key: RateKey,
    pub(crate) gauge: &'a Gauge,
    /// Whether it decides nothing.
    pub(crate) shadow: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BoundOutcome {
    /// The time until it gives this much; 0 if it does. Milliseconds.
    pub(crate) wait_ms: u64,
    /// Its level after that.
    pub(crate) level: Level,
    /// The key: the shared one for lack of room, or the requested one.
    pub(crate) key: RateKey,
}

#[derive(Debug)]
pub(crate) struct RateTable(Shards<Meters>);

/// The meters of one shard.
type Meters = DenseTable<MeterEntry>;

/// The owner of a meter.
#[derive(Debug, Clone, Copy)]
struct MeterOwner {
    space: u32,
    key: RateKey,
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

/// A demand with its meter.
struct LocatedDemand<'a> {
    gauge: &'a Gauge,
    shadow: bool,
    owner: MeterOwner,
    /// The number of the shard.
    shard: usize,
    meter: Meter,
    wait_ms: u64,
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

    /// Takes from all of these, or from none if one that is not in shadow refuses. The outcomes
    /// come in the order of `demands`.
    pub(crate) fn take(
        &self,
        demands: &[BoundDemand<'_>],
        cost: u64,
        now: Timestamp,
    ) -> SmallVec<[BoundOutcome; 4]> {
        let located = demands.iter().map(|demand| self.locate(demand));
        let mut located: SmallVec<[LocatedDemand<'_>; 4]> = located.collect();
        let mut guards = self.lock(&located);
        for (_, meters) in &mut guards {
            meters.tick(now, |_, _| ());
        }
        while self.find(&mut located, &mut guards, cost, now) {
            // Demands without room use the shared meters, which always exist.
            drop(guards);
            guards = self.lock(&located);
        }
        let all_give = located.iter().all(|each| each.shadow || each.wait_ms == 0);
        for each in &mut located {
            let gives = all_give && cost > 0 && each.wait_ms == 0;
            if gives {
                each.meter.take(cost);
            }
            if let Some(meters) = meters_of(&mut guards, each.shard) {
                store(meters, each, gives);
            }
        }
        drop(guards);
        located
            .into_iter()
            .map(|each| BoundOutcome {
                wait_ms: each.wait_ms,
                level: each.meter.level(each.gauge, now.monotonic_ns),
                key: each.owner.key,
            })
            .collect()
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

    fn locate<'a>(&self, demand: &BoundDemand<'a>) -> LocatedDemand<'a> {
        let owner = self.owner(demand.space, demand.key);
        LocatedDemand {
            gauge: demand.gauge,
            shadow: demand.shadow,
            owner,
            shard: self.0.number(owner.hash),
            meter: Meter::new(demand.gauge),
            wait_ms: 0,
        }
    }

    fn lock(&self, located: &[LocatedDemand<'_>]) -> Guards<'_> {
        let mut shards: SmallVec<[usize; 4]> = located.iter().map(|each| each.shard).collect();
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
        located: &mut [LocatedDemand<'_>],
        guards: &mut Guards<'_>,
        cost: u64,
        now: Timestamp,
    ) -> bool {
        let mut moved = false;
        let division = self.0.division();
        for each in located {
            let Some(meters) = meters_of(guards, each.shard) else {
                continue;
            };
            let MeterOwner { space, key, .. } = each.owner;
            each.meter = Meter::new(each.gauge);
            match each.owner.meter(meters).copied() {
                Some(meter) => each.meter = meter,
                None if cost == 0 || key == RateKey::OVERFLOW => {}
                None if meters.make_room(space, division, now, |_, _| ()) => {}
                None => {
                    each.owner = self.owner(space, RateKey::OVERFLOW);
                    each.shard = self.0.number(each.owner.hash);
                    moved = true;
                    continue;
                }
            }
            each.meter.settle(each.gauge, now.monotonic_ns);
            each.wait_ms = each.meter.wait_ms(each.gauge, cost, now.monotonic_ns);
        }
        moved
    }
}

fn meters_of<'a>(guards: &'a mut Guards<'_>, shard: usize) -> Option<&'a mut Meters> {
    let mut guards = guards.iter_mut();
    let (_, meters) = guards.find(|(number, _)| *number == shard)?;
    Some(meters)
}

/// Stores a meter. A new one is kept only if something was taken.
fn store(meters: &mut Meters, located: &LocatedDemand<'_>, taken: bool) {
    let LocatedDemand { owner, meter, .. } = *located;
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

    /// Bounds of one name count in one way, so each gauge meets a meter of its kind.
    fn settle(&mut self, gauge: &Gauge, now_ns: u64) {
        match (&mut *self, gauge) {
            (Self::Bucket(bucket), Gauge::Bucket(shape)) => bucket.settle(shape, now_ns),
            (Self::Window(window), Gauge::Window(span)) => window.settle(span, now_ns),
            _ => {
                *self = Self::new(gauge);
                self.settle(gauge, now_ns);
            }
        }
    }

    fn wait_ms(&self, gauge: &Gauge, cost: u64, now_ns: u64) -> u64 {
        match (self, gauge) {
            (Self::Bucket(bucket), Gauge::Bucket(shape)) => bucket.wait_ms(shape, cost, now_ns),
            (Self::Window(window), Gauge::Window(span)) => window.wait_ms(span, cost, now_ns),
            _ => 0,
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
            (_, Gauge::Window(span)) => Window::default().level(span, now_ns),
            (_, Gauge::Bucket(shape)) => Bucket::default().level(shape, now_ns),
        }
    }

    fn is_new(&self, now_ns: u64) -> bool {
        match self {
            Self::Bucket(bucket) => bucket.is_full(now_ns),
            Self::Window(window) => window.is_empty(now_ns),
        }
    }
}
