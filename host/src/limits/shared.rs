//! Rates that many keys share: a route's, and the whole gateway's.
//!
//! Each is one bucket behind one short lock. Locks are taken in the order counter, route, gateway,
//! and all are released when the step is decided, so that no two workers wait for each other. Each
//! gateway has its own: if several share a store of counters, these rates apply to each.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::bounds::{BoundWaits, LimitRefusal};
use super::bucket::{Bucket, Shape};
use super::plan::RateError;
use super::ticket::LimitTicket;
use super::{BoundKind, Decision, Level, TakeRequest, Timestamp};
use crate::model::plan::RateLimit;

/// The rate of a route or of the gateway, with its bucket.
#[derive(Debug, Clone)]
pub(crate) struct SharedRate {
    shape: Shape,
    number: u32,
    bucket: Arc<SharedBucket>,
}

/// On a cache line of its own (two, for processors that fetch pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
struct SharedBucket(Mutex<Bucket>);

/// The buckets of all names that ever had a rate. A name that returns has its bucket again.
#[derive(Debug, Default)]
pub(super) struct SharedRates(Mutex<SharedBuckets>);

#[derive(Debug, Default)]
struct SharedBuckets {
    numbers: HashMap<String, u32>,
    buckets: Vec<Arc<SharedBucket>>,
}

impl SharedRates {
    /// The rate of this name.
    pub(super) fn enroll(&self, name: &str, rate: RateLimit) -> Result<SharedRate, RateError> {
        rate.check()?;
        let mut shared = self.0.lock();
        let next = u32::try_from(shared.buckets.len()).unwrap_or(u32::MAX);
        let number = *shared.numbers.entry(name.to_owned()).or_insert(next);
        if number == next {
            shared.buckets.push(Arc::default());
        }
        let bucket = shared.buckets.get(number as usize).cloned();
        Ok(SharedRate {
            shape: rate.shape(),
            number,
            bucket: bucket.unwrap_or_default(),
        })
    }

    /// Gives back to the bucket with this number.
    pub(super) fn give_back(&self, number: Option<u32>, cost: u64) {
        let Some(number) = number else { return };
        let bucket = self.0.lock().buckets.get(number as usize).cloned();
        if let Some(bucket) = bucket {
            bucket.0.lock().give_back(cost);
        }
    }
}

/// The numbers of the route's rate and the gateway's.
pub(super) type SharedRateNumbers = (Option<u32>, Option<u32>);

/// The locked shared rates of one request.
pub(super) struct LockedRates<'a> {
    route: Option<LockedRate<'a>>,
    gateway: Option<LockedRate<'a>>,
}

struct LockedRate<'a> {
    shape: Shape,
    number: u32,
    bucket: MutexGuard<'a, Bucket>,
}

impl<'a> LockedRates<'a> {
    /// Locks them, in this order. The counter's lock, if there is one, is taken already.
    pub(super) fn lock(route: Option<&'a SharedRate>, gateway: Option<&'a SharedRate>) -> Self {
        let lock = |rate: &'a SharedRate| LockedRate {
            shape: rate.shape,
            number: rate.number,
            bucket: rate.bucket.0.lock(),
        };
        let route = route.map(lock);
        Self {
            route,
            gateway: gateway.map(lock),
        }
    }

    /// The refusal of this cost by these rates, or by other bounds with these waits. With the level
    /// of the rate if it is one of these.
    pub(super) fn refusal(
        &mut self,
        mut waits: BoundWaits,
        cost: u64,
        now: Timestamp,
    ) -> Option<(LimitRefusal, Option<Level>)> {
        let wait = |rate: &mut Option<LockedRate<'_>>| {
            rate.as_mut().map_or(0, |rate| {
                rate.bucket.settle(&rate.shape, now.monotonic_ns);
                rate.bucket.wait_ms(&rate.shape, cost, now.monotonic_ns)
            })
        };
        waits.route = wait(&mut self.route);
        waits.gateway = wait(&mut self.gateway);
        let refusal = waits.refusal()?;
        let rate = match refusal.by {
            BoundKind::Route => self.route.as_ref(),
            BoundKind::Gateway => self.gateway.as_ref(),
            BoundKind::Method | BoundKind::Plan | BoundKind::Quota | BoundKind::Unavailable => None,
        };
        let level = rate.map(|rate| rate.bucket.level(&rate.shape, now.monotonic_ns));
        Some((refusal, level))
    }

    /// Takes from both, unless they or other bounds with these waits refuse. Returns their
    /// numbers for the ticket, if something was taken.
    pub(super) fn take(
        mut self,
        waits: BoundWaits,
        cost: u64,
        now: Timestamp,
        decision: &mut Decision,
    ) -> Option<SharedRateNumbers> {
        if let Some((refusal, level)) = self.refusal(waits, cost, now) {
            decision.refuse(refusal);
            decision.shared = level;
            return None;
        }
        let take = |rate: &mut Option<LockedRate<'_>>| {
            rate.as_mut().map(|rate| {
                rate.bucket.take(cost);
                rate.number
            })
        };
        (cost > 0).then(|| (take(&mut self.route), take(&mut self.gateway)))
    }
}

/// Takes from shared rates alone.
pub(super) fn take_shared(take: &TakeRequest<'_>) -> Decision {
    let mut decision = Decision::NOTHING;
    let (waits, cost) = (BoundWaits::default(), take.cost);
    let locked = LockedRates::lock(take.route, take.gateway);
    if let Some((route, gateway)) = locked.take(waits, cost, take.now, &mut decision) {
        decision.ticket = Some(LimitTicket {
            cost,
            counter: None,
            route,
            gateway,
        });
    }
    decision
}
