//! Rates that many keys share: a route's, and the whole gateway's.
//!
//! Each is one bucket behind one short lock. Locks are taken in the order counter, route, gateway,
//! and all are released when the step is decided, so that no two workers wait for each other. Each
//! gateway has its own: if several share a store of counters, these rates apply to each.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::bounds::BoundWaits;
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

    /// Records how long this cost must wait for them.
    pub(super) fn settle(&mut self, waits: &mut BoundWaits, cost: u64, now: Timestamp) {
        let wait = |rate: &mut Option<LockedRate<'_>>| {
            rate.as_mut().map_or(0, |rate| {
                rate.bucket.settle(&rate.shape, now.monotonic_ns);
                rate.bucket.wait_ms(&rate.shape, cost, now.monotonic_ns)
            })
        };
        waits.route = wait(&mut self.route);
        waits.gateway = wait(&mut self.gateway);
    }

    /// Takes from both. Returns their numbers, for the ticket.
    pub(super) fn take(&mut self, cost: u64) -> (Option<u32>, Option<u32>) {
        let take = |rate: &mut Option<LockedRate<'_>>| {
            rate.as_mut().map(|rate| {
                rate.bucket.take(cost);
                rate.number
            })
        };
        (take(&mut self.route), take(&mut self.gateway))
    }

    /// The level of the rate that refused, if it is one of these.
    pub(super) fn level(&self, by: BoundKind, now: Timestamp) -> Option<Level> {
        let rate = match by {
            BoundKind::Route => self.route.as_ref(),
            BoundKind::Gateway => self.gateway.as_ref(),
            BoundKind::Method | BoundKind::Plan | BoundKind::Quota | BoundKind::Unavailable => None,
        };
        rate.map(|rate| rate.bucket.level(&rate.shape, now.monotonic_ns))
    }
}

/// Takes from shared rates alone.
pub(super) fn take_shared(take: &TakeRequest<'_>) -> Decision {
    let mut decision = Decision::NOTHING;
    let mut waits = BoundWaits::default();
    let mut locked = LockedRates::lock(take.route, take.gateway);
    locked.settle(&mut waits, take.cost, take.now);
    if let Some(refusal) = waits.refusal() {
        decision.refuse(refusal);
        decision.shared = locked.level(refusal.by, take.now);
    } else if take.cost > 0 {
        let (route, gateway) = locked.take(take.cost);
        decision.ticket = Some(LimitTicket {
            cost: take.cost,
            counter: None,
            route,
            gateway,
        });
    }
    decision
}
