//! The buckets and windows of one gateway, behind short locks.
//!
//! A request holds the locks of all its meters while it is decided, and takes them in one order,
//! so it is one atomic step. At most the given number of meters is kept, and each bound has a
//! share of it. If a bound's room is used up, values without a meter share one that always has
//! room: no other meter is dropped for them. A meter that is as good as new is dropped.

use std::sync::atomic::{AtomicUsize, Ordering};

use ahash::RandomState;
use hashbrown::HashTable;
use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;

use super::RateKey;
use super::window::{Window, WindowSpan};
use crate::limits::bucket::{Bucket, Shape};
use crate::limits::room::{Division, Room};
use crate::limits::{Level, shard_count};

/// How many meters are checked with every new one, and before one is refused room.
const STEPS: usize = 4;
const STEPS_WHEN_FULL: usize = 64;
/// Interval between two checks while no new meter comes. Requests.
const TAKINGS: u8 = 16;
/// Below this size it is not worthwhile to free memory. Meters.
const SMALL: usize = 256;

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
pub(crate) struct RateTable {
    shards: Box<[MeterShard]>,
    /// The capacity of each shard. Meters.
    shard_capacity: usize,
    /// The number of bounds that share the room.
    bounds: AtomicUsize,
    hasher: RandomState,
}

/// On a cache line of its own (two, for processors that fetch pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
struct MeterShard(Mutex<Meters>);

#[derive(Debug, Default)]
struct Meters {
    index: HashTable<u32>,
    entries: Vec<MeterEntry>,
    /// The room of all but the shared meters.
    room: Room,
    cursor: usize,
    takings: u8,
}

#[derive(Debug)]
struct MeterEntry {
    space: u32,
    key: RateKey,
    hash: u64,
    meter: Meter,
}

/// A demand with the position of its meter.
struct LocatedDemand<'a> {
    demand: BoundDemand<'a>,
    hash: u64,
    shard: usize,
    meter: Meter,
    outcome: BoundOutcome,
}

/// The locked shards of one request, in the order of their numbers.
type Guards<'a> = SmallVec<[(usize, MutexGuard<'a, Meters>); 4]>;

impl RateTable {
    /// Room for this many meters, at least one.
    pub(crate) fn new(most: usize) -> Self {
        let shards = shard_count(most);
        Self {
            shards: (0..shards).map(|_| MeterShard::default()).collect(),
            shard_capacity: (most / shards).max(1),
            bounds: AtomicUsize::new(0),
            hasher: RandomState::new(),
        }
    }

    /// Divides the room among this many bounds.
    pub(crate) fn divide(&self, bounds: usize) {
        self.bounds.store(bounds, Ordering::Relaxed);
    }

    /// The number of meters. Takes every lock.
    pub(crate) fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.0.lock().entries.len())
            .sum()
    }

    /// Takes from all of these, or from none if one that is not in shadow refuses. The outcomes
    /// come in the order of `asks`.
    pub(crate) fn take(
        &self,
        asks: &[BoundDemand<'_>],
        cost: u64,
        now_ns: u64,
    ) -> SmallVec<[BoundOutcome; 4]> {
        let mut asked: SmallVec<[LocatedDemand<'_>; 4]> =
            asks.iter().map(|ask| self.locate(*ask, now_ns)).collect();
        let mut guards = self.lock(&asked);
        for (_, meters) in &mut guards {
            meters.tick(now_ns);
        }
        while self.find(&mut asked, &mut guards, cost, now_ns) {
            // Demands without room use the shared meters, which always exist.
            drop(guards);
            guards = self.lock(&asked);
        }
        let all_give = asked
            .iter()
            .all(|asked| asked.demand.shadow || asked.outcome.wait_ms == 0);
        for asked in &mut asked {
            let gives = all_give && cost > 0 && asked.outcome.wait_ms == 0;
            if gives {
                asked.meter.take(cost);
            }
            if let Some(meters) = meters_of(&mut guards, asked.shard) {
                meters.store_meter(asked, gives);
            }
        }
        drop(guards);
        asked
            .into_iter()
            .map(|asked| BoundOutcome {
                level: asked.meter.level(asked.demand.gauge, now_ns),
                ..asked.outcome
            })
            .collect()
    }

    /// Gives back an amount of the bound with this number. A meter that was dropped meanwhile was
    /// full.
    pub(crate) fn give_back(&self, space: u32, key: RateKey, cost: u64) {
        let hash = self.hasher.hash_one((space, key));
        let Some(shard) = self.shards.get(self.shard_number(hash)) else {
            return;
        };
        let mut meters = shard.0.lock();
        let place = meters.position(space, key, hash);
        if let Some(entry) = place.and_then(|place| meters.entries.get_mut(place)) {
            entry.meter.give_back(cost);
        }
    }

    fn shard_number(&self, hash: u64) -> usize {
        // Its low and highest bits are the table's own.
        (hash >> 32) as usize & (self.shards.len() - 1)
    }

    fn locate<'a>(&self, ask: BoundDemand<'a>, now_ns: u64) -> LocatedDemand<'a> {
        let hash = self.hasher.hash_one((ask.space, ask.key));
        let meter = Meter::new(ask.gauge);
        LocatedDemand {
            outcome: BoundOutcome {
                wait_ms: 0,
                level: meter.level(ask.gauge, now_ns),
                key: ask.key,
            },
            demand: ask,
            hash,
            shard: self.shard_number(hash),
            meter,
        }
    }

    fn lock(&self, asked: &[LocatedDemand<'_>]) -> Guards<'_> {
        let mut places: SmallVec<[usize; 4]> = asked.iter().map(|asked| asked.shard).collect();
        // In one order everywhere, so that no two requests wait for each other; and each once,
        // since a second lock of the same shard would wait for itself.
        places.sort_unstable();
        places.dedup();
        let places = places.into_iter();
        let guards = places.filter_map(|place| Some((place, self.shards.get(place)?.0.lock())));
        guards.collect()
    }

    /// Finds the meters of all demands, settles them, and computes how long each makes this cost
    /// wait. Returns whether some had no room and have to share.
    fn find(
        &self,
        asked: &mut [LocatedDemand<'_>],
        guards: &mut Guards<'_>,
        cost: u64,
        now_ns: u64,
    ) -> bool {
        let mut moved = false;
        let division = Division {
            capacity: self.shard_capacity,
            bounds: self.bounds.load(Ordering::Relaxed),
        };
        for each in asked {
            let Some(meters) = meters_of(guards, each.shard) else {
                continue;
            };
            let mut meter = Meter::new(each.demand.gauge);
            let known = meters
                .find(&each.demand, each.hash)
                .map(|entry| entry.meter);
            match known {
                Some(known) => meter = known,
                None if cost == 0 || each.demand.key == RateKey::OVERFLOW => {}
                None if meters.make_room(each.demand.space, division, now_ns) => {}
                None => {
                    let key = RateKey::OVERFLOW;
                    *each = self.locate(BoundDemand { key, ..each.demand }, now_ns);
                    moved = true;
                    continue;
                }
            }
            meter.settle(each.demand.gauge, now_ns);
            each.outcome.wait_ms = meter.wait_ms(each.demand.gauge, cost, now_ns);
            each.meter = meter;
        }
        moved
    }
}

fn meters_of<'a>(guards: &'a mut Guards<'_>, shard: usize) -> Option<&'a mut Meters> {
    let mut guards = guards.iter_mut();
    let (_, meters) = guards.find(|(known, _)| *known == shard)?;
    Some(meters)
}

impl Meters {
    fn position(&self, space: u32, key: RateKey, hash: u64) -> Option<usize> {
        let entries = &self.entries;
        let place = *self.index.find(hash, |place| {
            entries
                .get(*place as usize)
                .is_some_and(|entry| entry.space == space && entry.key == key)
        })?;
        Some(place as usize)
    }

    fn find(&self, ask: &BoundDemand<'_>, hash: u64) -> Option<&MeterEntry> {
        self.entries.get(self.position(ask.space, ask.key, hash)?)
    }

    /// Stores a meter. A new one is kept only if something was taken.
    fn store_meter(&mut self, asked: &LocatedDemand<'_>, taken: bool) {
        if let Some(place) = self.position(asked.demand.space, asked.demand.key, asked.hash) {
            if let Some(entry) = self.entries.get_mut(place) {
                entry.meter = asked.meter;
            }
            return;
        }
        if !taken {
            return;
        }
        let place = self.entries.len();
        if asked.demand.key != RateKey::OVERFLOW {
            self.room.add(asked.demand.space);
        }
        self.entries.push(MeterEntry {
            space: asked.demand.space,
            key: asked.demand.key,
            hash: asked.hash,
            meter: asked.meter,
        });
        let entries = &self.entries;
        let of = |place: &u32| hash_of(entries, *place as usize);
        self.index.insert_unique(asked.hash, narrow(place), of);
    }

    /// Whether there is room for another meter of a bound; meters that are as good as new make
    /// room.
    fn make_room(&mut self, space: u32, division: Division, now_ns: u64) -> bool {
        let steps = if self.room.has(space, division) {
            STEPS
        } else {
            STEPS_WHEN_FULL
        };
        self.sweep(steps, now_ns);
        self.room.has(space, division)
    }

    /// Counts a request, and checks some meters now and then.
    fn tick(&mut self, now_ns: u64) {
        self.takings = self.takings.wrapping_add(1);
        if self.takings.is_multiple_of(TAKINGS) {
            self.sweep(STEPS, now_ns);
        }
    }

    /// Checks the next meters, and drops those that are as good as new.
    fn sweep(&mut self, steps: usize, now_ns: u64) {
        for _ in 0..steps.min(self.entries.len()) {
            match self.entries.get(self.cursor) {
                None => self.cursor = 0,
                Some(entry) if entry.meter.is_new(now_ns) => self.remove(self.cursor),
                Some(_) => self.cursor += 1,
            }
        }
        if self.entries.len() < self.entries.capacity() / 4 && self.entries.capacity() > SMALL {
            let kept = self.entries.len() * 2;
            self.entries.shrink_to(kept);
            let entries = &self.entries;
            let of = |place: &u32| hash_of(entries, *place as usize);
            self.index.shrink_to(kept, of);
        }
    }

    /// Drops the meter at this position; the last one moves there.
    fn remove(&mut self, place: usize) {
        if let Some(entry) = self.entries.get(place)
            && entry.key != RateKey::OVERFLOW
        {
            self.room.remove(entry.space);
        }
        let last = self.entries.len().saturating_sub(1);
        let removed = hash_of(&self.entries, place);
        let is_it = |each: &u32| *each as usize == place;
        if let Ok(found) = self.index.find_entry(removed, is_it) {
            found.remove();
        }
        if place != last {
            let moved = hash_of(&self.entries, last);
            if let Some(each) = self.index.find_mut(moved, |each| *each as usize == last) {
                *each = narrow(place);
            }
        }
        self.entries.swap_remove(place);
    }
}

/// There are never more than [`Meters::make_room`] allows, except for a few shared ones.
fn narrow(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

fn hash_of(entries: &[MeterEntry], place: usize) -> u64 {
    entries.get(place).map_or(0, |entry| entry.hash)
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
