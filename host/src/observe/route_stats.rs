//! The counters of routes: requests by status class, their times and their bytes.
//!
//! A route has a [`RouteStats`] for each worker, made when its configuration is built. A route with the same
//! name and API in the next configuration gets the same counters, so that a reload sets none back.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;

use super::histogram::{HistogramTotals, TimeHistogram};
use super::stats::Counter;

/// The status classes of requests. The last one is for requests that ended without a response.
pub(crate) const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];

/// Counts by the classes of [`CLASSES`].
#[derive(Debug, Default)]
pub(crate) struct ClassCounters([Counter; CLASSES.len()]);

impl ClassCounters {
    /// Counts a response, or a request without one. Only the owning worker may do this.
    pub(crate) fn count(&self, status: Option<StatusCode>) {
        let class = match status {
            Some(status) => usize::from(status.as_u16() / 100).saturating_sub(1),
            None => CLASSES.len() - 1,
        };
        if let Some(counter) = self.0.get(class) {
            counter.add(1);
        }
    }

    /// Adds the counts to these sums.
    pub(crate) fn add_to(&self, sums: &mut [u64; CLASSES.len()]) {
        for (sum, counter) in sums.iter_mut().zip(&self.0) {
            *sum = sum.wrapping_add(counter.value());
        }
    }
}

/// One worker's counters of one route: 192 bytes, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct RouteStats {
    classes: ClassCounters,
    times: TimeHistogram,
    request_bytes: Counter,
    response_bytes: Counter,
}

// The documentation states it.
const _: () = assert!(size_of::<RouteStats>() == 192);

impl RouteStats {
    /// Counts a request that has ended. Only the owning worker may do this.
    pub(crate) fn ended(
        &self,
        status: Option<StatusCode>,
        time: Duration,
        request_bytes: u64,
        response_bytes: u64,
    ) {
        self.classes.count(status);
        self.times
            .observe_us(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        self.request_bytes.add(request_bytes);
        self.response_bytes.add(response_bytes);
    }
}

/// The counters of one route, one for each worker.
#[derive(Debug)]
pub(crate) struct RouteStatsSet(Box<[RouteStats]>);

/// The counts of one route, summed over the workers.
#[derive(Debug, Default)]
pub(crate) struct RouteTotals {
    /// Requests by the classes of [`CLASSES`].
    pub(crate) classes: [u64; CLASSES.len()],
    pub(crate) times: HistogramTotals,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
}

impl RouteStatsSet {
    /// Counters for so many workers.
    #[must_use]
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| RouteStats::default()).collect())
    }

    /// The counters of the worker with this index.
    #[must_use]
    pub(crate) fn of_worker(&self, worker: usize) -> Option<&RouteStats> {
        self.0.get(worker)
    }

    #[must_use]
    pub(crate) fn totals(&self) -> RouteTotals {
        let mut totals = RouteTotals::default();
        for stats in &self.0 {
            stats.classes.add_to(&mut totals.classes);
            totals.times.add(&stats.times);
            totals.request_bytes += stats.request_bytes.value();
            totals.response_bytes += stats.response_bytes.value();
        }
        totals
    }
}

/// The API of a route, if it has one, and the route's name.
type RouteKey = (Option<Arc<str>>, Arc<str>);

/// The counters of the routes of all configurations in memory.
#[derive(Debug, Default)]
pub(crate) struct RouteStatsRegistry(Mutex<HashMap<RouteKey, Weak<RouteStatsSet>>>);

impl RouteStatsRegistry {
    /// The counters of a route: those that another configuration has for it, or new ones.
    pub(crate) fn enroll(
        &self,
        api: Option<&Arc<str>>,
        name: &Arc<str>,
        workers: usize,
    ) -> Arc<RouteStatsSet> {
        let mut all = self.0.lock();
        let entry = all.entry((api.cloned(), Arc::clone(name))).or_default();
        entry.upgrade().unwrap_or_else(|| {
            let stats = Arc::new(RouteStatsSet::new(workers));
            *entry = Arc::downgrade(&stats);
            stats
        })
    }

    /// Forgets the routes that no configuration has any more.
    pub(crate) fn remove_unused(&self) {
        self.0.lock().retain(|_, stats| stats.strong_count() > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_keeps_its_counters_while_a_configuration_has_it() {
        let registry = RouteStatsRegistry::default();
        let (api, name): (Arc<str>, Arc<str>) = (Arc::from("shop"), Arc::from("orders"));
        let first = registry.enroll(Some(&api), &name, 2);
        let time = Duration::from_millis(3);
        let stats = first.of_worker(1).unwrap();
        stats.ended(Some(StatusCode::NOT_FOUND), time, 1, 20);
        stats.ended(None, time, 0, 0);
        let next = registry.enroll(Some(&api), &name, 2);
        drop(first);
        registry.remove_unused();
        let next = (
            next.totals(),
            registry.enroll(Some(&api), &name, 2).totals(),
        );
        for totals in [&next.0, &next.1] {
            assert_eq!(totals.classes, [0, 0, 0, 1, 0, 1]);
            assert_eq!((totals.request_bytes, totals.response_bytes), (1, 20));
            assert_eq!(totals.times.count(), 2);
        }
        let other = registry.enroll(None, &name, 2);
        assert_eq!(other.totals().times.count(), 0);
    }

    #[test]
    fn a_route_that_no_configuration_has_is_forgotten() {
        let registry = RouteStatsRegistry::default();
        drop(registry.enroll(None, &Arc::from("gone"), 1));
        registry.remove_unused();
        assert!(registry.0.lock().is_empty());
    }
}
